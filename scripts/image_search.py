"""The library's own commands: `image-search import takeout`, `image-search export xmp`.

Run as `.venv/bin/python -m scripts.image_search`, or by `make import-takeout` and
`make export-xmp`.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import DBAPIError

from app.catalog import collections
from app.database import connections
from app.database.connections import Sessions
from app.errors import ImageSearchError
from app.ingest.xmp_export import REFUSED, SAME, SILENT, WRITTEN, Exported, XmpExport
from app.main import unwind_on_signals
from app.runtime.assembly import open_services
from app.runtime.backing_services import database
from app.runtime.services import Services
from app.settings import ROOT, Settings
from scripts.ingest import print_outcome, work_on

OUTCOMES = (WRITTEN, SAME, SILENT, REFUSED)
DryRun = Annotated[bool, typer.Option(help="say what would be done, and do nothing")]

commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
imports = typer.Typer(help="Bring pictures with what is said of them.")
commands.add_typer(imports, name="import")
exports = typer.Typer(help="Bring what is said of pictures to other programs.")
commands.add_typer(exports, name="export")


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


@exports.command()
def xmp(
    to: Annotated[Path | None, typer.Option(help="a folder; sidecars lie at their paths")] = None,
    beside: Annotated[bool, typer.Option(help="write them beside the pictures instead")] = False,
    by_stem: Annotated[bool, typer.Option(help="IMG.xmp, as Lightroom, not IMG.jpg.xmp")] = False,
    namespace: Annotated[str, typer.Option(help="of the collection")] = "default",
    collection: Annotated[str, typer.Option(help="whose pictures")] = "default",
) -> None:
    """Write captions, tags and ratings as XMP sidecars; pictures are never written to."""
    if (to is None) is not beside:
        sys.exit("Say where: --to FOLDER, or --beside the pictures.")
    with _sessions() as sessions:
        with sessions.begin() as session:
            found = collections.get(session, namespace, collection)
        export = XmpExport(sessions, found.id, to and _absolute(to), ROOT, by_stem)
        export.run(_tell)
    counts = ", ".join(f"{export.counts[outcome]} {outcome}" for outcome in OUTCOMES)
    print(f"{counts}.")
    if export.counts[REFUSED] and not export.counts[WRITTEN] + export.counts[SAME]:
        sys.exit(1)


def _tell(done: Exported) -> None:
    if done.outcome == REFUSED:
        print(f"Refused: {done.place}: {done.reason}")


@contextmanager
def _sessions() -> Iterator[Sessions]:
    """The database alone, without a model."""
    with _sentences(), database(Settings.load()) as url:
        engine = connections.open_engine(url)
        try:
            connections.migrate(engine)
            yield connections.open_sessions(engine)
        finally:
            engine.dispose()


@contextmanager
def _services() -> Iterator[Services]:
    with _sentences(), open_services(Settings.load()) as services:
        yield services


@contextmanager
def _sentences() -> Iterator[None]:
    """Faults end the command with a sentence."""
    unwind_on_signals()
    try:
        yield
    except ImageSearchError as error:
        sys.exit(f"Not done: {error}")
    except DBAPIError as error:
        sys.exit(f"The database failed: {error.orig} Run the command again: it goes on from here.")


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  # keeps links


if __name__ == "__main__":
    commands(prog_name="image-search")
