"""Look for inconsistencies, and mend them: `make doctor`, `make doctor FIX=1`."""

import sys
from typing import Annotated

import typer

from app.runtime.assembly import open_services
from app.runtime.doctor.doctor import Report
from scripts.command_line import by_make, open_settings, run_command, sentences

SHOWN = 5  # examples shown of each kind


def main(
    fix: Annotated[bool, typer.Option(help="mend what is found")] = False,
    sure: Annotated[bool, typer.Option(help="with --fix: also remove what is uncertain")] = False,
) -> None:
    """Print each kind of fault with its count; the exit status is 1 if any is left."""
    with sentences("Not examined"), open_services(open_settings()) as services:
        report = services.doctor.examine()
        if fix:
            for finding in report.findings:
                if mended := finding.mend(sure=sure):
                    print(f"Mended: {mended} {finding.name}")
            report = services.doctor.examine()
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
        way = "make doctor FIX=1 SURE=1" if by_make() else "--fix --sure"
        print(f"What is marked ! is uncertain and stays; `{way}` removes that too.")
    if report.coverage:
        print("Looked at:")
    for line in report.coverage:
        print(f"         {line}")
    for note in report.notes:
        print(note)


if __name__ == "__main__":
    run_command(main)
