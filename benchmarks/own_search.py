"""Our own nearest-neighbour search on generated vectors: by codes in memory, and by the graph."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from sqlalchemy import text

from app.database import connections
from app.database.tables import Storage, VectorIndex
from app.index import vector_indexes
from app.index.hnsw_search import find_nearest
from app.index.resident.resident_index import ResidentIndex
from app.index.resident.resident_indexes import ResidentIndexes
from app.index.resident.resident_search import find_nearest_resident
from app.vectors import Vectors
from scripts.benchmark_search import Bench, vacuum
from scripts.generated_vectors import Gallery, copy_vectors

HITS = 10
RECALL = 0.95  # at least, of the graphs that are compared
# Values of hnsw.ef_search, whose maximum is 1,000.
CANDIDATES = (20, 40, 70, 100, 150, 200, 300, 400, 600, 800, 1_000)
WARM_UP = 10  # queries not counted
LARGE = 500_000  # vectors from which a build is given the memory that its graph needs
BYTES_A_VECTOR = 2_500  # of that memory, for halfvec
MEGA = 1_000_000
UNBOUNDED = 10**12  # bytes of codes


@dataclass(frozen=True)
class Answers:
    """Recall@10 and the seconds of each query at `kept` candidates; None is our default."""

    kept: int | None
    recall: float
    times: Sequence[float]


@dataclass(frozen=True)
class Built:
    """One storage at one size: seconds to load and build, bytes per picture of table and graph."""

    storage: Storage
    load: float
    seconds: float
    table: float
    graph: float
    default: Answers


def fewest(runs: Iterable[Answers]) -> Answers:
    """The first run that reaches RECALL, and none after it; if none does, the closest one."""
    made = []
    for run in runs:
        made.append(run)
        if run.recall >= RECALL:
            return run
    return max(made, key=lambda run: run.recall)


def built_index(
    sessions: connections.Sessions,
    index: VectorIndex,
    gallery: Gallery,
    storage: Storage,
    queries: Vectors,
    expected: list[list[int]],
) -> tuple[VectorIndex, Built]:
    """Replace the index by one with another storage, build its graph, and measure it."""
    count = len(gallery.vectors)
    with sessions.begin() as session:
        vector_indexes.drop_index(session, index)
        shape = vector_indexes.Shape(storage)
        index = vector_indexes.create_index(session, index.collection_id, index.space, shape)
        began = time.perf_counter()
        copy_vectors(session, index, gallery.vectors)
    load = time.perf_counter() - began
    vacuum(Bench(sessions, index, gallery))
    began = time.perf_counter()
    with sessions.begin() as session:
        if count >= LARGE:
            wanted = f"{count * BYTES_A_VECTOR // MEGA}MB"
            session.execute(text(f"SET LOCAL maintenance_work_mem = '{wanted}'"))
        vector_indexes.build_hnsw(session, index)
    seconds = time.perf_counter() - began
    with sessions.begin() as session:
        query = text("SELECT pg_table_size(CAST(:table AS regclass)), pg_relation_size(:graph)")
        names = {"table": index.partition, "graph": vector_indexes.hnsw_name(index)}
        table, graph = session.execute(query, names).one()
    default = asked(sessions, index, gallery, queries, expected, None)
    return index, Built(storage, load, seconds, table / count, graph / count, default)


def asked(
    sessions: connections.Sessions,
    index: VectorIndex,
    gallery: Gallery,
    queries: Vectors,
    expected: list[list[int]],
    kept: int | None,
) -> Answers:
    """Our own searches by the graph at `kept` candidates."""
    ask = _asking(sessions, replace(index, ef_search=kept), gallery)
    return _answers(ask, kept, queries, expected)


def loaded_codes(sessions: connections.Sessions, index: VectorIndex) -> tuple[float, ResidentIndex]:
    """The seconds to load the codes, and the index with them."""
    with ThreadPoolExecutor(1) as threads:
        indexes = ResidentIndexes(sessions, UNBOUNDED, threads, threading.Event(), min_vectors=1)
        began = time.perf_counter()
        indexes.of(index)
    seconds = time.perf_counter() - began
    resident = indexes.of(index)
    if resident is None:
        raise RuntimeError("the codes were not loaded")
    return seconds, resident


def by_codes(
    sessions: connections.Sessions,
    resident: ResidentIndex,
    queries: Vectors,
    expected: list[list[int]],
) -> Answers:
    """Our own searches by codes."""

    def ask(query: Vectors) -> list[int]:
        found = find_nearest_resident(sessions, resident, query, HITS)
        if found is None:
            raise RuntimeError("the codes did not answer")
        return [one.image.id for one in found.answer]

    return _answers(ask, None, queries, expected)


def _answers(
    ask: Callable[[Vectors], list[int]],
    kept: int | None,
    queries: Vectors,
    expected: list[list[int]],
) -> Answers:
    for query in queries[:WARM_UP]:
        ask(query)
    times, found = [], 0
    for query, best in zip(queries, expected, strict=True):
        began = time.perf_counter()
        ids = ask(query)
        times.append(time.perf_counter() - began)
        found += len({*ids} & {*best})
    return Answers(kept, found / (HITS * len(queries)), times)


def _asking(
    sessions: connections.Sessions, index: VectorIndex, gallery: Gallery
) -> Callable[[Vectors], list[int]]:
    """A query as the flat search runs it, picture rows included; bits use the re-ranking search."""

    def flat(query: Vectors) -> list[int]:
        with sessions.begin() as session:
            return [one.image.id for one in find_nearest(session, index, query, HITS)]

    bench = Bench(sessions, index, gallery)
    return (lambda query: bench.search(query, None, 0, HITS)[0]) if index.storage == "bit" else flat
