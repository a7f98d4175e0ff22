"""What searches find and how long they take: `python -m scripts.benchmark_search`.

Puts generated vectors into a temporary database, reads them through `app.index.paged_scans` as
real searches do, and compares the hits with numpy's exact answers. Prints Markdown.
"""

import json
import os
import platform
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from sqlalchemy import text

from app.catalog import collections
from app.catalog.filters import fields, filters
from app.catalog.filters.field_names import METADATA
from app.database import connections, migrating
from app.database.embedded.embedded_postgres import embedded_server
from app.database.embedded.postgres_programs import temporary_folder
from app.database.tables import Storage, VectorIndex
from app.index import vector_indexes
from app.index.hnsw_search import Condition
from app.index.paged_scans import IndexReader
from app.index.resident.resident_index import ResidentIndex
from app.index.scan_plans import Scan, plan_scan
from app.vectors import Vectors, VectorSpace
from scripts import generated_vectors
from scripts.generated_vectors import Gallery, Mask, copy_vectors, insert_images

HITS = 10
STORAGES: Sequence[Storage] = ("vector", "bit", "halfvec")
EF_SEARCH = (40, 100, 200, 800)
SHARES = (0.5, 0.1, 0.01, 0.001, 0.0001)
FAR_SHARES = (0.5, 0.2, 0.1)
DECLARED = {"n": "number", "far": "number"}  # gallery values; `m` equals `n`, undeclared
DELETED = 0.2
DEPTH = 2_000  # how many pictures are paged through
PAGES = (10, 100)  # pictures per page
PAGED = 3  # queries for which every page is read
TIMED = 20  # queries for which the first and last pages are timed


@dataclass(frozen=True)
class Bench:
    """An index, the gallery it holds and the database sessions to search it with.

    Searches go by the codes of `resident` where that is given.
    """

    sessions: connections.Sessions
    index: VectorIndex
    gallery: Gallery
    resident: ResidentIndex | None = None

    def search(
        self, query: Vectors, condition: Condition, start: int, limit: int, scan: Scan | None = None
    ) -> tuple[list[int], Scan]:
        """One page from rank `start`, read as a search does; `scan` is the previous page's."""
        with self.sessions.begin() as session:
            view = self.resident.view(session, condition) if self.resident else None
            scan = scan or plan_scan(session, self.index, condition, limit, view=view)
            reading = IndexReader(session, self.index, query, condition, view=view)
            near, scan = reading.window(scan, start, start + limit)
        return [image_id for image_id, _ in near], scan

    def row(self, title: str, queries: Vectors, body: Mapping[str, Any]) -> list[str]:
        """A table row for one filter: method, recall@10, share of full answers, p50 and p95."""
        condition, passing = self.filter(body)
        exact = self.gallery.best(queries, passing, HITS)
        times, found, full, methods = [], 0, 0, set()
        for query, expected in zip(queries, exact, strict=True):
            began = time.perf_counter()
            ids, scan = self.search(query, condition, 0, HITS)
            times.append(time.perf_counter() - began)
            found += len({*ids} & {*expected})
            full += len(ids) == len(expected)
            methods.add(_method(scan))
        recall = found / sum(map(len, exact))
        shown = [title, ", ".join(sorted(methods)), f"{recall:.3f}", f"{full / len(queries):.0%}"]
        return shown + _milliseconds(times)

    def filter(self, body: Mapping[str, Any]) -> tuple[Condition, Mask]:
        """A filter's condition, and a mask of the pictures that pass it."""
        passing = np.ones(len(self.gallery.vectors), bool)
        for name, asked in body.items():
            passing &= self.gallery.values[name.removeprefix(METADATA)] < asked["lt"]
        return (filters.parse(body, DECLARED).condition if body else None), passing


def main(
    count: Annotated[int, typer.Option(help="vectors")] = 100_000,
    dimensions: Annotated[int, typer.Option(help="of each")] = 512,
    queries: Annotated[int, typer.Option(help="searches behind each line")] = 100,
    seed: Annotated[int, typer.Option(help="of vectors and queries")] = 1,
) -> None:
    """Print the tables."""
    began = time.monotonic()
    asked = generated_vectors.clip_like(queries, dimensions, seed + 1)
    gallery = generated_vectors.generate(count, dimensions, seed, asked[0])
    near = generated_vectors.near_centre(asked)
    with database() as sessions:
        print_versions(sessions, f"{count:,} vectors of {dimensions} dimensions, {queries} queries")
        index = load_pictures(sessions, gallery)
        print_table("Storages", STORAGES_HEAD, storages(sessions, index, gallery, asked))
        with sessions.begin() as session:
            index = vector_indexes.active_index(session, index.collection_id)
        bench = Bench(sessions, index, gallery)
        print_table("Unfiltered, halfvec", HEAD, unfiltered(bench, asked))
        print_table("Filtered", HEAD, filtered(bench, asked, near))
        print_table("Pages", PAGES_HEAD, paged(bench, asked))
        bench = delete(bench, seed)
        print_table(f"{DELETED:.0%} deleted, no vacuum", HEAD, after_deletion(bench, asked, near))
        vacuum(bench)
        print_table("After VACUUM", HEAD, after_deletion(bench, asked, near))
    typer.echo(f"\nThe whole run took {time.monotonic() - began:.0f} s.")


HEAD = ["pictures that pass", "method", "recall@10", "full answers", "p50 ms", "p95 ms"]


@contextmanager
def database() -> Iterator[connections.Sessions]:
    """A temporary embedded Postgres, migrated, that leaves nothing behind."""
    with (
        temporary_folder("pg") as folder,
        embedded_server(folder / "data") as url,
    ):
        engine = connections.open_engine(url)
        migrating.migrate(engine)
        try:
            yield connections.open_sessions(engine)
        finally:
            engine.dispose()


def load_pictures(sessions: connections.Sessions, gallery: Gallery) -> VectorIndex:
    """Insert the pictures, index their declared fields, and open a vector index, still empty."""
    n, far = gallery.values["n"], gallery.values["far"]
    metadata = [
        json.dumps({"n": one, "m": one, "far": other})
        for one, other in zip(n.tolist(), far.tolist(), strict=True)
    ]
    with sessions.begin() as session:
        collection_id = collections.default(session).id
        insert_images(session, collection_id, metadata)
        for name, kind in DECLARED.items():
            session.execute(text(fields.index_statement(collection_id, name, kind)))
        space = VectorSpace("generated", "clip-like", "0" * 64, gallery.vectors.shape[1])
        return vector_indexes.open_index(session, collection_id, space)


STORAGES_HEAD = ["storage", "build", "bytes a picture: table", "graph", *HEAD[2:]]


def storages(
    sessions: connections.Sessions, index: VectorIndex, gallery: Gallery, queries: Vectors
) -> Iterator[list[str]]:
    """Each storage in turn, halfvec last, replacing the previous index; unfiltered searches."""
    for storage in STORAGES:
        with sessions.begin() as session:
            vector_indexes.drop_index(session, index)
            shape = vector_indexes.Shape(storage)
            index = vector_indexes.create_index(session, index.collection_id, index.space, shape)
            copy_vectors(session, index, gallery.vectors)
        bench = Bench(sessions, index, gallery)
        vacuum(bench)
        began = time.perf_counter()
        with sessions.begin() as session:
            vector_indexes.build_hnsw(session, index)
        seconds = time.perf_counter() - began
        with sessions.begin() as session:
            query = text("SELECT pg_table_size(CAST(:table AS regclass)), pg_relation_size(:graph)")
            names = {"table": index.partition, "graph": vector_indexes.hnsw_name(index)}
            sizes = session.execute(query, names).one()
        size = [f"{each / len(gallery.vectors):,.0f}" for each in sizes]
        yield [storage, f"{seconds:.0f} s", *size, *bench.row("", queries, {})[2:]]


def unfiltered(bench: Bench, queries: Vectors) -> Iterator[list[str]]:
    """Without a filter: at the default number of candidates, then at other numbers."""
    yield bench.row("all, default", queries, {})
    for kept in EF_SEARCH:
        tuned = replace(bench, index=replace(bench.index, ef_search=kept))
        yield tuned.row(f"all, ef_search {kept}", queries, {})


def filtered(bench: Bench, queries: Vectors, near: Vectors) -> Iterator[list[str]]:
    """Filtered by values independent of the vectors, then by distance from the queries."""
    for share in SHARES:
        yield bench.row(_percent(share), queries, {"n": {"lt": share}})
    yield bench.row("1 %, not declared", queries, {"metadata.m": {"lt": 0.01}})
    for share in FAR_SHARES:
        yield bench.row(f"the farthest {_percent(share)}", near, {"far": {"lt": share}})


def after_deletion(bench: Bench, queries: Vectors, near: Vectors) -> Iterator[list[str]]:
    """The same searches again, on the pictures that are left."""
    yield bench.row("all, default", queries, {})
    yield from filtered(bench, queries, near)


PAGES_HEAD = ["pages", "distinct", "of", "recall", "p50 ms, first", "p50 ms, last"]


def paged(bench: Bench, queries: Vectors) -> Iterator[list[str]]:
    """Reads every page of a few queries in order; times the first and last pages of more."""
    for title, body in (("all", {}), ("50 %", {"n": {"lt": 0.5}}), ("5 %", {"n": {"lt": 0.05}})):
        condition, passing = bench.filter(body)
        asked = queries[:PAGED]
        exact = bench.gallery.best(asked, passing, DEPTH)
        for size in PAGES:
            read = [read_pages(bench, query, condition, size) for query in asked]
            distinct = sum(len({*ids}) for ids in read)
            found = sum(len({*ids} & {*best}) for ids, best in zip(read, exact, strict=True))
            total = sum(map(len, exact))
            shown = [f"{title}, by {size}", f"{distinct:,}", f"{total:,}", f"{found / total:.3f}"]
            timed = queries[:TIMED]
            yield shown + [_median(bench, timed, condition, at, size) for at in (0, DEPTH - size)]


def read_pages(bench: Bench, query: Vectors, condition: Condition, size: int) -> list[int]:
    """The ids on all pages of `size` pictures, read in order down to DEPTH."""
    found: list[int] = []
    scan = None
    for start in range(0, DEPTH, size):
        ids, scan = bench.search(query, condition, start, size, scan)
        found += ids
    return found


def _median(bench: Bench, queries: Vectors, condition: Condition, start: int, limit: int) -> str:
    times = []
    for query in queries:
        _, scan = bench.search(query, condition, 0, limit)
        began = time.perf_counter()
        bench.search(query, condition, start, limit, scan if start else None)
        times.append(time.perf_counter() - began)
    return _milliseconds(times)[0]


def delete(bench: Bench, seed: int) -> Bench:
    """Delete pictures at random."""
    count = len(bench.gallery.vectors)
    gone = np.random.default_rng(seed + 2).permutation(count)[: int(DELETED * count)]
    with bench.sessions.begin() as session:
        query = text("DELETE FROM images WHERE id = ANY(:ids)")
        session.execute(query, {"ids": (gone + 1).tolist()})
    present = bench.gallery.present.copy()
    present[gone] = False
    return replace(bench, gallery=replace(bench.gallery, present=present))


def vacuum(bench: Bench) -> None:
    """Do what autovacuum does sooner or later: remove dead rows and refresh the statistics."""
    with bench.sessions() as session:
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        session.execute(text(f"VACUUM (ANALYZE) images, {bench.index.partition}"))


def _method(scan: Scan) -> str:
    if scan.method == "hnsw" and scan.head is not None:
        return "hnsw, then exact"
    return scan.method


def _milliseconds(times: Sequence[float]) -> list[str]:
    return [f"{1e3 * np.percentile(times, share):.1f}" for share in (50, 95)]


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def print_versions(sessions: connections.Sessions, what: str) -> None:
    """Print what was measured, on which machine, and with which versions."""
    query = text("SELECT current_setting('server_version'), extversion FROM pg_extension "
                 "WHERE extname = 'vector'")  # fmt: skip
    with sessions.begin() as session:
        postgres, pgvector = session.execute(query).one()
    known = Path("/proc/cpuinfo")
    cpu = re.search(r"model name\s*: (.*)", known.read_text() if known.exists() else "")
    memory = psutil.virtual_memory().total / 2**30
    typer.echo(
        f"{what}; {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, "
        f"{memory:.0f} GiB; Postgres {postgres}, pgvector {pgvector}, "
        f"Python {platform.python_version()}, numpy {np.__version__}."
    )


def print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a heading and a table, each row as soon as it is known."""
    typer.echo(f"\n### {title}\n\n| {' | '.join(head)} |")
    typer.echo(f"|{'---|' * len(head)}")
    for row in rows:
        typer.echo(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    typer.run(main)
