"""Nearest-neighbour search alone: ours in Postgres against Chroma's, at equal recall."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import text

from app.database import connections
from app.database.tables import Storage, VectorIndex
from app.index import vector_indexes
from app.index.hnsw_search import find_nearest
from app.index.resident.resident_indexes import ResidentIndexes
from app.index.resident.resident_search import find_nearest_resident
from app.vectors import Vectors
from benchmarks.processes import peer
from benchmarks.results import Figure, Goal, Line, at_least, at_most, p50
from benchmarks.server import MODEL
from benchmarks.workshop import DIMENSIONS, QUERY_SEED, VECTOR_SEED, Workshop
from scripts import generated_vectors
from scripts.benchmark_search import Bench, database, load_pictures, vacuum
from scripts.generated_vectors import Gallery, copy_vectors

HITS = 10
RECALL = 0.95  # at least, of the graphs that are compared
CODES_RECALL = 0.99  # at least, of the searches by codes
CODES_SHARE = 0.6  # of Chroma's time
# Values of hnsw.ef_search, whose maximum is 1,000.
CANDIDATES = (20, 40, 70, 100, 150, 200, 300, 400, 600, 800, 1_000)
CHROMA_DEFAULT = 100
WARM_UP = 10  # queries not counted
DEFAULT: Storage = "halfvec"
STORAGES: Sequence[Storage] = ("vector", "bit", DEFAULT)  # the last one is kept
TITLES = {"vector": "vector", "bit": "bit + re-rank", "halfvec": "halfvec"}
LARGE = 500_000  # vectors from which a build is given the memory that its graph needs
BYTES_A_VECTOR = 2_500  # of that memory, for halfvec
MEGA = 1_000_000
MILLION = 1_000_000
UNBOUNDED = 10**12  # bytes of codes
GROWTH_TO_MILLION = 3.0
NO_SLOWER = 1.0


@dataclass(frozen=True)
class Answers:
    """Recall@10 and the seconds of each query at `kept` candidates; None is our default."""

    kept: int | None
    recall: float
    times: Sequence[float]


@dataclass(frozen=True)
class Built:
    """One storage at one size: seconds to build, and bytes per picture of table and graph."""

    storage: Storage
    seconds: float
    table: float
    graph: float
    default: Answers


@dataclass(frozen=True)
class Size:
    """One number of vectors: our storages, then ours and Chroma's at equal recall (`_fewest`).

    `codes` are our searches by codes in memory, `load` the seconds to load these.
    """

    count: int
    built: Sequence[Built]
    codes: Answers
    load: float
    ours: Answers
    chroma: Answers
    chroma_default: Answers
    chroma_build: float


def measure(shop: Workshop) -> Figure:
    """Each number of vectors in turn: the smallest in all storages, the rest in the default one."""
    sizes: list[Size] = []
    for count in sorted(shop.sizes.nearest):
        storages = [DEFAULT] if sizes else STORAGES
        sizes.append(_measured(shop, count, storages))
    goals = [goal for size in sizes for goal in _goals(size)]
    lines = [line for size in sizes for line in _lines(size)]
    small, large = sizes[0], sizes[-1]
    growth = p50(large.ours.times) / p50(small.ours.times)
    if large.count == MILLION:
        goals.append(at_most(_growth(small, large), "×", growth, GROWTH_TO_MILLION))
    elif large is not small:
        lines.append(Line.one(_growth(small, large), "×", growth))
    return Figure(goals, lines, [_note(size) for size in sizes])


def _growth(small: Size, large: Size) -> str:
    return f"growth of p50, {small.count:,} to {large.count:,}"


def _goals(size: Size) -> list[Goal]:
    many, chroma = f"{size.count:,}", p50(size.chroma.times)
    by_codes, by_graph = p50(size.codes.times) / chroma, p50(size.ours.times) / chroma
    return [
        at_least(f"{many}: recall@10 by codes", "", size.codes.recall, CODES_RECALL),
        at_most(f"{many}: p50 by codes to Chroma's", "×", by_codes, CODES_SHARE),
        at_least(f"{many}: recall@10 by the graph", "", size.ours.recall, RECALL),
        at_most(f"{many}: p50 by the graph to Chroma's", "×", by_graph, NO_SLOWER),
    ]


def _lines(size: Size) -> list[Line]:
    many = f"{size.count:,}"
    lines = [
        Line.milliseconds(f"{many}, codes at recall {size.codes.recall:.3f}", size.codes.times),
        Line.one(f"{many}, codes, load", "vectors/s", size.count / size.load),
        Line.milliseconds(f"{many}, halfvec at recall {size.ours.recall:.3f}", size.ours.times),
        Line.milliseconds(f"{many}, Chroma at recall {size.chroma.recall:.3f}", size.chroma.times),
        Line.milliseconds(
            f"{many}, Chroma's default, recall {size.chroma_default.recall:.3f}",
            size.chroma_default.times,
        ),
        Line.one(f"{many}, Chroma added", "s", size.chroma_build),
    ]
    for built in size.built:
        title, default = f"{many}, {TITLES[built.storage]}", built.default
        lines += [
            Line.milliseconds(f"{title}, default, recall {default.recall:.3f}", default.times),
            Line.one(f"{title}, build", "s", built.seconds),
            Line.one(f"{title}, graph", "bytes a picture", built.graph),
            Line.one(f"{title}, table", "bytes a picture", built.table),
        ]
    return lines


def _note(size: Size) -> str:
    return (
        f"{size.count:,} generated vectors of {DIMENSIONS} dimensions; at equal recall ours keeps "
        f"{size.ours.kept} candidates (ef_search), Chroma {size.chroma.kept}."
    )


def _measured(shop: Workshop, count: int, storages: Sequence[Storage]) -> Size:
    queries = generated_vectors.clip_like(shop.sizes.queries, DIMENSIONS, QUERY_SEED)
    gallery = generated_vectors.generate(count, DIMENSIONS, VECTOR_SEED, queries[0])
    expected = gallery.best(queries, gallery.present, HITS)
    with database() as sessions:
        index = load_pictures(sessions, gallery)
        built = []
        for storage in storages:
            index, one = _built(sessions, index, gallery, storage, queries, expected)
            built.append(one)
        load, codes = _by_codes(sessions, index, queries, expected)
        ours = _fewest(
            _asked(sessions, index, gallery, queries, expected, kept) for kept in CANDIDATES
        )
    seconds, default, theirs = _chroma(shop, gallery, queries, expected)
    return Size(count, built, codes, load, ours, _fewest(theirs), default, seconds)


def _fewest(runs: Iterable[Answers]) -> Answers:
    """The first run that reaches RECALL, and none after it; if none does, the closest one."""
    made = []
    for run in runs:
        made.append(run)
        if run.recall >= RECALL:
            return run
    return max(made, key=lambda run: run.recall)


def _built(
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
        copy_vectors(session, index, gallery.vectors)
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
    default = _asked(sessions, index, gallery, queries, expected, None)
    return index, Built(storage, seconds, table / count, graph / count, default)


def _asked(
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


def _by_codes(
    sessions: connections.Sessions,
    index: VectorIndex,
    queries: Vectors,
    expected: list[list[int]],
) -> tuple[float, Answers]:
    """The seconds to load the codes, and our own searches by them."""
    with ThreadPoolExecutor(1) as threads:
        indexes = ResidentIndexes(sessions, UNBOUNDED, threads, threading.Event(), min_vectors=1)
        began = time.perf_counter()
        indexes.of(index)
    seconds = time.perf_counter() - began
    resident = indexes.of(index)

    def ask(query: Vectors) -> list[int]:
        found = find_nearest_resident(sessions, resident, query, HITS) if resident else None
        if found is None:
            raise RuntimeError("the codes were not loaded")
        return [one.image.id for one in found.answer]

    return seconds, _answers(ask, None, queries, expected)


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


def _chroma(
    shop: Workshop, gallery: Gallery, queries: Vectors, expected: list[list[int]]
) -> tuple[float, Answers, list[Answers]]:
    """Chroma's seconds to add all vectors, its answers by default, and those of every run."""
    count = len(gallery.vectors)
    told = peer(
        "chroma",
        {
            "task": "nearest",
            "model": MODEL,
            "store": str(shop.folder / f"chroma-{count}"),
            "vectors": str(shop.saved(f"vectors-{count}", gallery.vectors)),
            "queries": str(shop.saved("queries", queries)),
            "expected": str(shop.saved(f"expected-{count}", np.array(expected))),
            "ef": CANDIDATES,
        },
    )
    runs = [Answers(run["ef"], run["recall"], run["seconds"]) for run in told["runs"]]
    default = next(run for run in runs if run.kept == CHROMA_DEFAULT)
    return float(told["build"]), default, runs
