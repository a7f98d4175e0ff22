"""Index a folder: `make ingest DIR=…`. A server may run beside it."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import DBAPIError

from app.errors import ImageSearchError
from app.ingest import Report
from app.main import open_services, progress_bar, unwind_on_signals
from app.settings import Settings


def main(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="the folder, with all below it")],
    prune: Annotated[bool, typer.Option(help="forget pictures whose file is gone")] = False,
) -> None:
    """Index the pictures of DIR that are new or have changed, and say what was refused."""
    unwind_on_signals()
    try:
        with open_services(Settings.load()) as services, progress_bar(mininterval=1) as show:
            place = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100  # keeps links
            report = services.ingest.index_folder(place, prune=prune, progress=show)
    except ImageSearchError as error:
        sys.exit(f"Not indexed: {error}")
    except DBAPIError as error:
        sys.exit(f"The database failed: {error.orig} Run the command again: it goes on from here.")
    _print(report)
    if report.refused and not report.searchable:
        sys.exit(1)


def _print(report: Report) -> None:
    for refusal in report.refused:
        print(f"Refused: {refusal.path}: {refusal.reason}")
    for path in report.vanished:
        print(f"{'Forgotten' if report.pruned else 'Gone'}: {path}")
    if report.vanished and not report.pruned:
        print("Files that are gone are still in the index; --prune (make: PRUNE=1) forgets them.")
    print(
        f"{report.added} added, {report.changed} changed, {report.moved} moved, "
        f"{report.unchanged} unchanged, {len(report.refused)} refused, "
        f"{len(report.vanished)} gone."
    )


if __name__ == "__main__":
    typer.run(main)
