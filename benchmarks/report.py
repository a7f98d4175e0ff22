"""The results as JSON, as Markdown between two marks of a page, and as a plot."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks import chart
from benchmarks.chart import Bar, Panel
from benchmarks.figures import FIGURES
from benchmarks.results import Goal, Line, Run, value_name

BEGIN = "<!-- benchmark: begin; `make benchmark` writes what is between the marks -->"
END = "<!-- benchmark: end -->"
PAGE, DATA, PLOT = "performance.md", "performance.json", "performance.svg"
SHOWN_PLOT = f"![Each goal, and what it is made of]({PLOT})"
EMPTY_PAGE = f"# Performance\n\n{BEGIN}\n{END}\n"
DIGITS = 3  # significant digits of a printed value


@dataclass(frozen=True)
class Report:
    """The results files in a folder."""

    folder: Path

    def add(self, name: str, run: Run) -> None:
        """Add one figure's run, replacing its previous one."""
        known_runs = self.runs()
        if name in known_runs:
            run = run.after(known_runs[name])
        runs = {**known_runs, name: run}
        runs = {known: runs[known] for known in FIGURES if known in runs}
        self.folder.mkdir(parents=True, exist_ok=True)
        told = {known: each.to_json() for known, each in runs.items()}
        _write(self.folder / DATA, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        _write(self.folder / PLOT, chart.draw(panels(runs)))
        page = self.folder / PAGE
        known_page = page.read_text() if page.exists() else EMPTY_PAGE
        _write(page, replaced(known_page, f"{SHOWN_PLOT}\n\n{markdown(runs)}"))

    def runs(self) -> dict[str, Run]:
        """The runs stored so far, by name of the figure."""
        path = self.folder / DATA
        told = json.loads(path.read_text()) if path.exists() else {}
        return {name: Run.from_json(each) for name, each in told.items()}


def _write(path: Path, content: str) -> None:
    part = path.with_suffix(path.suffix + ".part")
    part.write_text(content)
    part.rename(path)


def replaced(page: str, content: str) -> str:
    """The page with `content` between its marks. Raises ValueError if a mark is missing."""
    before, begun, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"{PAGE} lacks its marks: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{content.strip()}\n\n{END}{after}"


def markdown(runs: Mapping[str, Run]) -> str:
    """All figures: one table of the goals, then the measurements of each figure."""
    parts = [_machines(runs), _goals(runs)]
    for name, run in runs.items():
        parts += [
            f"### {FIGURES[name].title}",
            table(
                ("", "unit", "median", "quartiles", "values", "formerly"),
                [(*_line(line), _former_median(run, line)) for line in run.figure.lines],
            ),
            "\n".join([*run.figure.notes, *_former_run(run)]),
            f"`make benchmark FIGURE={name}`: {run.seconds:,.0f} s on {run.day}.",
        ]
    return "\n\n".join(parts)


def _machines(runs: Mapping[str, Run]) -> str:
    """A paragraph for each machine; if there are several, it names the figures measured on it."""
    told: dict[str, list[str]] = {}
    for name, run in runs.items():
        described = "; ".join(f"{key} {value}" for key, value in run.machine.items())
        told.setdefault(described, []).append(FIGURES[name].title)
    if len(told) == 1:
        return f"Measured on: {next(iter(told))}."
    return "\n\n".join(
        f"{', '.join(titles)} measured on: {machine}." for machine, titles in told.items()
    )


def _goals(runs: Mapping[str, Run]) -> str:
    rows = [
        (
            FIGURES[name].title,
            goal.what,
            _with_unit(goal.value, goal.unit),
            _former_goal(run, goal),
            f"{'≥' if goal.at_least else '≤'} {_with_unit(goal.bound, goal.unit)}",
            "yes" if goal.is_met else "**no**",
        )
        for name, run in runs.items()
        for goal in run.figure.goals
    ]
    return table(("figure", "ratio", "measured", "formerly", "goal", "met"), rows)


def _former_goal(run: Run, goal: Goal) -> str:
    """What the former run measured, empty if it did not."""
    value = _former(run, goal.what, goal.unit)
    return "" if value is None else _with_unit(value, goal.unit)


def _former_median(run: Run, line: Line) -> str:
    """The same, without its unit."""
    value = _former(run, line.what, line.unit)
    return "" if value is None else number(value)


def _former(run: Run, what: str, unit: str) -> float | None:
    return run.former.values.get(value_name(what, unit)) if run.former else None


def _former_run(run: Run) -> list[str]:
    """A sentence that says which run the former figures are from."""
    return [f"Formerly: {run.former.day}, {run.former.machine}."] if run.former else []


def _line(line: Line) -> tuple[str, ...]:
    spread = "" if line.count == 1 else f"{number(line.low)} – {number(line.high)}"
    return line.what, line.unit, number(line.median), spread, f"{line.count:,}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def number(value: float) -> str:
    """The number with three significant digits, and with all digits before the point."""
    if abs(value) >= 10 ** (DIGITS - 1):
        return f"{value:,.0f}"
    shown = f"{value:.{DIGITS}g}"
    return f"{value:.5f}".rstrip("0").rstrip(".") if "e" in shown else shown


def _with_unit(value: float, unit: str) -> str:
    gap = "" if unit in {"", "×", "/s"} else " "
    return f"{number(value)}{gap}{unit}"


def panels(runs: Mapping[str, Run]) -> list[Panel]:
    """A panel of the goals, then the measurements of each figure, one panel for each unit."""
    goals = [_goal_bar(goal) for run in runs.values() for goal in run.figure.goals]
    found = [Panel("Each goal: right of the line it is met", goals, around_one=True)]
    for name, run in runs.items():
        lines = sorted(run.figure.lines, key=lambda line: line.unit)
        for unit, group in groupby(lines, key=lambda line: line.unit):
            bars = [_line_bar(line) for line in group]
            if len(bars) > 1:
                found.append(Panel(f"{FIGURES[name].title}: {unit}", bars))
    return found


def _goal_bar(goal: Goal) -> Bar:
    colour = chart.GOOD if goal.is_met else chart.BAD
    bound = f"{'≥' if goal.at_least else '≤'} {number(goal.bound)}"
    reached = max(goal.reached, 0.0)
    return Bar(goal.what, reached, f"{_with_unit(goal.value, goal.unit)} ({bound})", colour)


def _line_bar(line: Line) -> Bar:
    quartiles = (line.low, line.high) if line.count > 1 else None
    return Bar(line.what, line.median, number(line.median), quartiles=quartiles)
