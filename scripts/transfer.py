"""Bring pictures with what is said of them, and that to other programs: `import`, `export`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.catalog import collections
from app.ingest.xmp_export import REFUSED, SAME, SILENT, WRITTEN, Exported, XmpExport
from app.runtime.assembly import open_services
from app.settings import ROOT
from scripts import ingest
from scripts.command_line import by_make, open_database, open_settings, sentences
from scripts.ingest import RESUMED, DryRun, Reread, print_outcome, work_on

OUTCOMES = (WRITTEN, SAME, SILENT, REFUSED)
Sync = Annotated[bool, typer.Option(help="also forget pictures whose file is gone")]

imports = typer.Typer(help="Bring pictures with what is said of them.")
exports = typer.Typer(help="Bring what is said of pictures to other programs.")


@imports.command()
def folder(
    place: Annotated[Path, typer.Argument(help="the folder, with all below", metavar="FOLDER")],
    sync: Sync = False,
    reread: Reread = False,
    dry_run: DryRun = False,
) -> None:
    """Index a folder's pictures where they lie, with what is written in them and beside them."""
    ingest.main(folder=place, sync=sync, reread=reread, dry_run=dry_run)


@imports.command()
def bucket(
    name: Annotated[str, typer.Argument(help="the bucket's name; S3_… has its keys")],
    prefix: Annotated[str, typer.Option(help="only keys that begin with this")] = "",
    sync: Sync = False,
    reread: Reread = False,
    dry_run: DryRun = False,
) -> None:
    """Index a bucket's pictures where they lie, likewise."""
    ingest.main(bucket=name, prefix=prefix, sync=sync, reread=reread, dry_run=dry_run)


@imports.command()
def takeout(
    parts: Annotated[list[Path], typer.Argument(help="the zip or tgz files of one export")],
    dry_run: DryRun = False,
) -> None:
    """Index a Google Takeout archive of any number of parts, without unpacking it first."""
    places = sorted({_absolute(part) for part in parts})
    with sentences("Not imported", RESUMED), open_services(open_settings()) as services:
        job = work_on(services, services.job_submission.archives(places, dry_run=dry_run))
        print_outcome(services.job_submission, job)
    if job.reason:
        sys.exit(f"The import did not finish: {job.reason}")
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
        where = "TO=folder, or BESIDE=1 for" if by_make() else "--to FOLDER, or --beside for"
        sys.exit(f"Say where: {where} a place beside each picture.")
    with sentences("Not exported"), open_database() as sessions:
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


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  # keeps links
