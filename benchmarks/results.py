"""Results: measured values with their spread, and the goals they are compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

QUARTILES = (25, 50, 75)  # percentiles


@dataclass(frozen=True)
class Line:
    """One quantity in `unit`: its median and quartiles over `count` values."""

    what: str
    unit: str
    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, what: str, unit: str, values: Sequence[float]) -> Self:
        """A line of at least one value."""
        low, median, high = np.percentile(values, QUARTILES).tolist()
        return cls(what, unit, median, low, high, len(values))

    @classmethod
    def milliseconds(cls, what: str, seconds: Sequence[float]) -> Self:
        """A line in milliseconds, of durations in seconds."""
        return cls.of(what, "ms", [1e3 * each for each in seconds])

    @classmethod
    def one(cls, what: str, unit: str, value: float) -> Self:
        """A line of a quantity that was measured once."""
        return cls.of(what, unit, [value])


@dataclass(frozen=True)
class Goal:
    """A goal: `value`, in `unit`, should be at least or at most `bound`."""

    what: str
    unit: str
    value: float
    bound: float
    at_least: bool

    @property
    def is_met(self) -> bool:
        """Whether the value is on the right side of the bound or equal to it."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def reached(self) -> float:
        """How far the goal is reached: 1 is just met, 2 is twice as good as asked."""
        better, worse = (self.value, self.bound) if self.at_least else (self.bound, self.value)
        return better / worse if worse > 0 else float("inf")


def at_least(what: str, unit: str, value: float, bound: float) -> Goal:
    """A goal where more is better."""
    return Goal(what, unit, value, bound, at_least=True)


def at_most(what: str, unit: str, value: float, bound: float) -> Goal:
    """A goal where less is better."""
    return Goal(what, unit, value, bound, at_least=False)


@dataclass(frozen=True)
class Figure:
    """The results of one figure: its goals, the values behind them, and notes."""

    goals: Sequence[Goal]
    lines: Sequence[Line]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Former:
    """What an earlier run measured: values of its goals and lines, by `value_name`."""

    day: str
    machine: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """A measured figure, with the machine, the day, and the seconds the measurement took.

    `former` is the last run of another day.
    """

    figure: Figure
    machine: Mapping[str, str]
    day: str
    seconds: float
    former: Former | None = None

    def after(self, other: "Run") -> "Run":
        """The run with the figures of `other`, which it replaces, beside its own."""
        if other.day == self.day:
            return replace(self, former=other.former)
        values = {value_name(line.what, line.unit): line.median for line in other.figure.lines}
        goals = {value_name(goal.what, goal.unit): goal.value for goal in other.figure.goals}
        machine = ", ".join(filter(None, map(other.machine.get, ("CPU", "flags"))))
        return replace(self, former=Former(other.day, machine, values | goals))

    def to_json(self) -> dict[str, Any]:
        """The run as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """The run from the values that `to_json` returned."""
        figure = told["figure"]
        goals = [Goal(**each) for each in figure["goals"]]
        lines = [Line(**each) for each in figure["lines"]]
        former = told.get("former")
        return cls(
            Figure(goals, lines, figure["notes"]),
            *(told["machine"], told["day"], told["seconds"]),
            Former(**former) if former else None,
        )


def value_name(what: str, unit: str) -> str:
    """The name of a value: one thing may be measured in several units."""
    return f"{what} in {unit}"


def p95(seconds: Sequence[float]) -> float:
    """The 95th percentile."""
    return float(np.percentile(seconds, 95))


def p50(seconds: Sequence[float]) -> float:
    """The median."""
    return float(np.median(seconds))
