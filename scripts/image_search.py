"""The library's own commands: `image-search import takeout`, `image-search export xmp`.

Run as `.venv/bin/python -m scripts.image_search`, or by `make import-takeout`.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import DBAPIError

from app.errors import ImageSearchError
from app.main import unwind_on_signals
from app.runtime.assembly import open_services
from app.runtime.services import Services
from app.settings import Settings
from scripts.ingest import print_outcome, work_on

DryRun = Annotated[bool, typer.Option(help="say what would be done, and do nothing")]

commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
imports = typer.Typer(help="Bring pictures with what is said of them.")
commands.add_typer(imports, name="import")


@imports.command()
def takeout(
    parts: Annotated[list[Path], typer.Argument(help="the zip or tgz files of one export")],
    dry_run: DryRun = False,
) -> None:
    """Index a Google Takeout archive of any number of parts, without unpacking it first."""
    places = sorted({_absolute(part) for part in parts})
    with _services() as services:
        job = work_on(services, services.job_submission.archives(places, dry_run=dry_run))
        print_outcome(services.job_submission, job)
    if job.reason:
        sys.exit(f"Not imported whole: {job.reason}")
    if job.failed and job.failed == job.total:
        sys.exit(1)


@contextmanager
def _services() -> Iterator[Services]:
    """The services, with faults as sentences."""
    unwind_on_signals()
    try:
        with open_services(Settings.load()) as services:
            yield services
    except ImageSearchError as error:
        sys.exit(f"Not done: {error}")
    except DBAPIError as error:
        sys.exit(f"The database failed: {error.orig} Run the command again: it goes on from here.")


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  # keeps links


if __name__ == "__main__":
    commands(prog_name="image-search")
