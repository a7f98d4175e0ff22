"""Measure this project against others on this machine: `make benchmark`.

Each figure is printed as soon as it has been measured, and replaces its previous results in
docs/performance.json, docs/performance.md and docs/performance.svg.
"""

import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app.database.embedded.postgres_programs import temporary_folder
from app.runtime.shutdown import unwind_on_signals
from app.settings import ROOT
from benchmarks import machine
from benchmarks.figures import FIGURES
from benchmarks.load import RequestFailed
from benchmarks.processes import MeasurementFailed
from benchmarks.report import Report, markdown
from benchmarks.results import Run
from benchmarks.workshop import TINY, Sizes, Workshop

KEPT = ROOT / "benchmarks" / ".kept"
MILLION = 1_000_000  # vectors
MILLION_MINUTES = 30  # roughly, on two cores; most of it goes into building the two graphs


def main(
    figures: Annotated[list[str] | None, typer.Argument(help=" ".join(FIGURES))] = None,
    photos: Annotated[Path | None, typer.Option(help="a folder of JPEGs, else generated")] = None,
    minutes: Annotated[float, typer.Option(help="of mixed load")] = Sizes.minutes,
    million: Annotated[
        bool, typer.Option(help=f"1,000,000 vectors too: about {MILLION_MINUTES} minutes more")
    ] = False,
    tiny: Annotated[bool, typer.Option(help="sizes that say nothing: to try it")] = False,
    into: Annotated[Path | None, typer.Option(help="where results go, by default docs")] = None,
) -> None:
    """Measure the named figures, by default all. With --tiny nothing is kept unless --into says."""
    unwind_on_signals()
    logging.getLogger().setLevel(logging.ERROR)
    named = _checked(figures or list(FIGURES))
    sizes = TINY if tiny else replace(Sizes(), minutes=minutes)
    if million:
        sizes = replace(sizes, nearest=(*sizes.nearest, MILLION))
    typer.echo(_plan(named, sizes, million=million, tiny=tiny))
    report = None if tiny and into is None else Report(into or ROOT / "docs")
    with temporary_folder("bm") as folder:
        shop = Workshop(sizes, folder, KEPT, photos and photos.expanduser().resolve())
        for name in named:
            try:
                run = _run(name, shop)
            except (MeasurementFailed, RequestFailed) as error:
                sys.exit(f"{name}: {error}")
            typer.echo(f"\n{markdown({name: run})}", nl=True)
            if report:
                report.add(name, run)


def _checked(names: Sequence[str]) -> list[str]:
    for name in names:
        if name not in FIGURES:
            raise typer.BadParameter(f"{name}: one of {', '.join(FIGURES)}")
    return [name for name in FIGURES if name in names]


def _plan(names: Sequence[str], sizes: Sizes, *, million: bool, tiny: bool) -> str:
    """What will be measured, and roughly how long it will take."""
    if tiny:
        return f"Trying {', '.join(names)}: some minutes, and figures that say nothing."
    minutes = {name: FIGURES[name].minutes for name in names}
    if "memory" in minutes:
        minutes["memory"] += sizes.minutes
    if "nearest" in minutes and million:
        minutes["nearest"] += MILLION_MINUTES
    told = ", ".join(f"{name} {each:.0f}" for name, each in minutes.items())
    return f"This takes about {sum(minutes.values()):.0f} minutes on two cores: {told}."


def _run(name: str, shop: Workshop) -> Run:
    began = time.perf_counter()
    figure = FIGURES[name].measure(shop)
    seconds = time.perf_counter() - began
    return Run(figure, machine.described(), datetime.now(UTC).date().isoformat(), seconds)


if __name__ == "__main__":
    typer.run(main)
