"""Look for inconsistencies, and mend them: `make doctor`, `make doctor FIX=1`."""

import sys
from typing import Annotated

import typer

from app.errors import ImageSearchError
from app.runtime.assembly import open_services
from app.runtime.doctor.doctor import Report
from app.runtime.shutdown import unwind_on_signals
from app.settings import Settings

SHOWN = 5  # examples shown of each kind


def main(
    fix: Annotated[bool, typer.Option(help="mend what is found")] = False,
    sure: Annotated[bool, typer.Option(help="with --fix: also remove what is uncertain")] = False,
) -> None:
    """Print each kind of fault with its count; the exit status is 1 if any is left."""
    unwind_on_signals()
    try:
        with open_services(Settings.load()) as services:
            report = services.doctor.examine()
            if fix:
                for finding in report.findings:
                    if mended := finding.mend(sure=sure):
                        print(f"Mended: {mended} {finding.name}")
                report = services.doctor.examine()
    except ImageSearchError as error:
        sys.exit(f"Not examined: {error}")
    _print(report)
    if any(finding.found for finding in report.findings):
        sys.exit(1)


def _print(report: Report) -> None:
    for finding in report.findings:
        print(f"{len(finding.found):6} {finding.name}")
        for example in finding.found[:SHOWN]:
            print(f"         {example}")
        for doubt in finding.doubts:
            print(f"       ! {doubt}")
    if any(finding.doubts for finding in report.findings):
        print(
            "What is marked ! is uncertain and stays; `make doctor FIX=1 SURE=1` removes that too."
        )
    for note in report.notes:
        print(note)


if __name__ == "__main__":
    typer.run(main)
