"""What was measured: lines with their spread, and the ratios that were to be reached."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
        """Of at least one value."""
        low, median, high = np.percentile(values, QUARTILES).tolist()
        return cls(what, unit, median, low, high, len(values))

    @classmethod
    def milliseconds(cls, what: str, seconds: Sequence[float]) -> Self:
        """Of durations in seconds."""
        return cls.of(what, "ms", [1e3 * each for each in seconds])

    @classmethod
    def one(cls, what: str, unit: str, value: float) -> Self:
        """Of a quantity that was measured once."""
        return cls.of(what, unit, [value])


@dataclass(frozen=True)
class Goal:
    """A figure to reach: `value` in `unit`, at least or at most `bound`."""

    what: str
    unit: str
    value: float
    bound: float
    at_least: bool

    @property
    def is_met(self) -> bool:
        """Whether the value is on the right side of the bound, or on it."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def reached(self) -> float:
        """How much of the goal: 1 is just met, 2 twice as good as asked."""
        better, worse = (self.value, self.bound) if self.at_least else (self.bound, self.value)
        return better / worse if worse > 0 else float("inf")


def at_least(what: str, unit: str, value: float, bound: float) -> Goal:
    """A goal that more is better for."""
    return Goal(what, unit, value, bound, at_least=True)


def at_most(what: str, unit: str, value: float, bound: float) -> Goal:
    """A goal that less is better for."""
    return Goal(what, unit, value, bound, at_least=False)


@dataclass(frozen=True)
class Figure:
    """One figure's run: goals, what they are made of, and what else is to be known of it."""

    goals: Sequence[Goal]
    lines: Sequence[Line]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Run:
    """A figure as it was measured: on which machine, on which day, and how many seconds it took."""

    figure: Figure
    machine: Mapping[str, str]
    day: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        figure = told["figure"]
        goals = [Goal(**each) for each in figure["goals"]]
        lines = [Line(**each) for each in figure["lines"]]
        return cls(
            Figure(goals, lines, figure["notes"]), told["machine"], told["day"], told["seconds"]
        )


def p95(seconds: Sequence[float]) -> float:
    """The 95th percentile."""
    return float(np.percentile(seconds, 95))


def p50(seconds: Sequence[float]) -> float:
    """The median."""
    return float(np.median(seconds))
