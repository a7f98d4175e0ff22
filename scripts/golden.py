"""Golden queries, searches with the pictures they should find: `picture-search golden …`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from app.catalog import collections
from app.feedback.golden.golden_files import MAX_FILE_BYTES, line_of, parse
from app.feedback.golden.golden_queries import GoldenQueries
from app.feedback.golden.golden_rows import MAX_QUERIES
from app.feedback.golden.judged_queries import Judged
from app.feedback.golden.proposals import SOURCES
from scripts.command_line import open_database, sentences

Namespace = Annotated[str, typer.Option(help="of the collection")]
InCollection = Annotated[str, typer.Option("--collection", help="whose golden queries")]

commands = typer.Typer(help="Golden queries: searches with the pictures they should find.")


@commands.command("add")
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


@commands.command("list")
def list_golden(namespace: Namespace = "default", collection: InCollection = "default") -> None:
    """Print all golden queries, as `golden import` reads them."""
    with _golden(namespace, collection) as (queries, collection_id):
        for query in queries.every(collection_id):
            print(line_of(query), end="")


@commands.command("import")
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


@commands.command("propose")
def propose_golden(
    source: Annotated[str, typer.Argument(help="ratings, captions or tags")],
    limit: Annotated[int, typer.Option(min=1, max=MAX_QUERIES, help="at most this many")] = 200,
    namespace: Namespace = "default",
    collection: InCollection = "default",
) -> None:
    """Print golden queries made from what is known, to be read and then imported."""
    chosen = next((one for one in SOURCES if one == source), None)
    if chosen is None:
        sys.exit(f"Say what to make them from: {', '.join(SOURCES)}.")
    with _golden(namespace, collection) as (queries, collection_id):
        for query in queries.proposed(collection_id, chosen, limit):
            print(line_of(query), end="")


@contextmanager
def _golden(namespace: str, collection: str) -> Iterator[tuple[GoldenQueries, int]]:
    with sentences("Not done"), open_database() as sessions:
        with sessions.begin() as session:
            found = collections.get(session, namespace, collection)
        yield GoldenQueries(sessions), found.id
