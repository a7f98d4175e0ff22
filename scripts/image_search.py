"""The command `image-search`: `import folder`, `bucket` or `takeout`, `export xmp`, `golden …`.

`make install` puts it into .venv/bin.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from sqlalchemy.exc import DBAPIError

from app.catalog import collections
from app.database import connections
from app.database.connections import Sessions
from app.errors import ImageSearchError
from app.feedback.golden.golden_files import MAX_FILE_BYTES, line_of, parse
from app.feedback.golden.golden_queries import GoldenQueries
from app.feedback.golden.golden_rows import MAX_QUERIES
from app.feedback.golden.judged_queries import Judged
from app.feedback.golden.proposals import SOURCES
from app.ingest.xmp_export import REFUSED, SAME, SILENT, WRITTEN, Exported, XmpExport
from app.runtime.assembly import open_services
from app.runtime.backing_services import database
from app.runtime.services import Services
from app.runtime.shutdown import unwind_on_signals
from app.settings import ROOT, Settings
from scripts import ingest
from scripts.ingest import print_outcome, run_command, work_on

OUTCOMES = (WRITTEN, SAME, SILENT, REFUSED)
DryRun = Annotated[bool, typer.Option(help="say what would be done, and do nothing")]
Sync = Annotated[bool, typer.Option(help="also forget pictures whose file is gone")]
Namespace = Annotated[str, typer.Option(help="of the collection")]
InCollection = Annotated[str, typer.Option("--collection", help="whose golden queries")]
Reread = Annotated[bool, typer.Option(help="read known files again for what they say")]

commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
imports = typer.Typer(help="Bring pictures with what is said of them.")
commands.add_typer(imports, name="import")
exports = typer.Typer(help="Bring what is said of pictures to other programs.")
commands.add_typer(exports, name="export")
golden = typer.Typer(help="Golden queries: searches with the pictures they should find.")
commands.add_typer(golden, name="golden")


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
    prefix: Annotated[str, typer.Option(help="only its keys that begin so")] = "",
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


@golden.command("add")
def add_golden(
    words: Annotated[str, typer.Argument(help="the words to search")],
    relevant: Annotated[list[int], typer.Argument(help="ids of pictures that should come")],
    irrelevant: Annotated[
        list[int] | None, typer.Option("--not", help="id of a picture that should not come")
    ] = None,
    namespace: Namespace = "default",
    collection: InCollection = "default",
) -> None:
    """Add a golden query, or judgements to the same one."""
    with _golden(namespace, collection) as (queries, collection_id):
        query, _ = queries.add(collection_id, Judged(words, None, relevant, irrelevant or []))
        print(line_of(query), end="")


@golden.command("list")
def list_golden(namespace: Namespace = "default", collection: InCollection = "default") -> None:
    """Print all golden queries, as `golden import` reads them."""
    with _golden(namespace, collection) as (queries, collection_id):
        for query in queries.every(collection_id):
            print(line_of(query), end="")


@golden.command("import")
def import_golden(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="JSONL or CSV; - is the input")],
    namespace: Namespace = "default",
    collection: InCollection = "default",
) -> None:
    """Add the golden queries of a file, or judgements to the same ones: all, or none."""
    with _golden(namespace, collection) as (queries, collection_id):
        read = parse(file.read(MAX_FILE_BYTES + 1))
        added = queries.add_many(collection_id, read)
    print(f"{added} added, {len(read) - added} there already.")


@golden.command("propose")
def propose_golden(
    source: Annotated[str, typer.Argument(help="ratings, captions or tags")],
    limit: Annotated[int, typer.Option(min=1, max=MAX_QUERIES, help="at most so many")] = 200,
    namespace: Namespace = "default",
    collection: InCollection = "default",
) -> None:
    """Print golden queries made from what is known, to be read and then imported."""
    chosen = next((one for one in SOURCES if one == source), None)
    if chosen is None:
        sys.exit(f"Say what from: {', '.join(SOURCES)}.")
    with _golden(namespace, collection) as (queries, collection_id):
        for query in queries.proposed(collection_id, chosen, limit):
            print(line_of(query), end="")


@contextmanager
def _golden(namespace: str, collection: str) -> Iterator[tuple[GoldenQueries, int]]:
    with _sessions() as sessions:
        with sessions.begin() as session:
            found = collections.get(session, namespace, collection)
        yield GoldenQueries(sessions), found.id


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


def run() -> NoReturn:
    """The entry point of the command."""
    run_command(lambda: commands(prog_name="image-search"))


if __name__ == "__main__":
    run()
