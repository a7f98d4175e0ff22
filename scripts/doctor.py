"""Look for what does not fit together, and mend it: `make doctor`, `make doctor FIX=1`."""

import sys
from typing import Annotated

import typer

from app.errors import ImageSearchError
from app.main import unwind_on_signals
from app.runtime.assembly import open_services
from app.settings import Settings

SHOWN = 5  # examples of each kind


def main(fix: Annotated[bool, typer.Option(help="mend what is found")] = False) -> None:
    """Print each kind of fault with its count; the exit status is 1 if any is left."""
    unwind_on_signals()
    try:
        with open_services(Settings.load()) as services:
            findings = services.doctor.look()
            if fix:
                for finding in findings:
                    if finding.found:
                        finding.mend()
                        print(f"Mended: {len(finding.found)} {finding.name}")
                findings = services.doctor.look()
    except ImageSearchError as error:
        sys.exit(f"Not examined: {error}")
    for finding in findings:
        print(f"{len(finding.found):6} {finding.name}")
        for example in finding.found[:SHOWN]:
            print(f"         {example}")
    if any(finding.found for finding in findings):
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
