"""Whether a graph leads to the pictures that it holds, bursts or not.

A uniform sample of a library is mostly its largest bursts, which a graph serves well. What it
misses are the others, so the sample is chosen for novelty: each picture is the one farthest from
those chosen before.
"""

import logging
from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from psycopg.errors import QueryCanceled
from sqlalchemy import Select, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.index import embeddings, graph_rebuild, vector_indexes
from app.index.exact_search import exact_neighbours
from app.index.hnsw_search import GRID_ROWS, find_nearest, nearest_query
from app.index.recall_queries import worst_decile
from app.index.scan_settings import MAX_EF_SEARCH, ef_search_for, prepare, rerank_depth
from app.index.search_method import is_searched_exactly
from app.vectors import Vectors

log = logging.getLogger(__name__)

POOL = 2_000  # pictures that a sample is chosen from
SAMPLE = 200  # pictures that are searched for by their own vectors: about a second
DEPTH = 10  # hits among which a picture must find itself
TIE = 1e-5  # distances that differ by less are equal but for rounding
GROWTH = 1.1  # times the vectors at the last rebuild: below that another would do no better
MAX_LOST = 0.02  # of the sample: from here on the graph is rebuilt
WALK_SETTINGS = {
    "hnsw.max_scan_tuples": str(2**31 - 1),
    "work_mem": "64MB",  # times hnsw.scan_mem_multiplier
}
LONGEST_WALK = 600  # seconds


@dataclass(frozen=True)
class GraphHealth:
    """Of `sampled` pictures, those least like each other, `lost` do not find themselves.

    `unreachable` is the number of vectors that a walk through the whole graph never comes to, None
    where that takes too long. `is_due`: another rebuild may do better.
    """

    sampled: int
    lost: int
    unreachable: int | None
    is_due: bool

    @property
    def is_ill(self) -> bool:
        """More are lost than a rebuilt graph loses, or a rebuild may reach what is unreachable."""
        return self.lost > MAX_LOST * self.sampled or bool(self.unreachable and self.is_due)


def choose_novel(pool: Mapping[int, Vectors], size: int) -> dict[int, Vectors]:
    """Of the pool, `size` vectors: each the farthest from all that were chosen before it."""
    if not pool:
        return {}
    ids, vectors = list(pool), np.stack(list(pool.values()))
    nearest = np.full(len(ids), -np.inf)
    chosen = [0]
    while len(chosen) < min(size, len(ids)):
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
        nearest[chosen[-1]] = np.inf
        chosen.append(int(nearest.argmin()))
    return {ids[place]: vectors[place] for place in chosen}


def sample_novel(
    session: Session, index: VectorIndex, size: int, without: Container[int] = ()
) -> dict[int, Vectors]:
    """The `size` vectors least like each other of a uniform sample of POOL, by id."""
    pool = embeddings.sample(session, index, POOL)
    return choose_novel({one: row for one, row in pool.items() if one not in without}, size)


def find_lost(session: Session, index: VectorIndex, sample: Mapping[int, Vectors]) -> list[int]:
    """The ids of those that are not among the first DEPTH hits of their own vector.

    Where copies of the picture fill the hits, it is not lost.
    """
    lost = []
    for image_id, vector in sample.items():
        hits = find_nearest(session, index, vector, DEPTH)
        if all(hit.image.id != image_id and hit.distance > TIE for hit in hits):
            lost.append(image_id)
    return lost


def count_unreachable(
    session: Session, index: VectorIndex, seconds: float = LONGEST_WALK
) -> int | None:
    """How many of the vectors that searches find a walk through the whole graph never comes to.

    Takes about 20 µs a vector; None if that is more than `seconds`. A `bit` graph is walked as the
    others are.
    """
    count = embeddings.count_findable(session, index)
    for start in embeddings.sample(session, index, 1).values():
        walked = nearest_query(index, start, count).subquery()
        reached = _count_in_time(session, select(func.count()).select_from(walked), seconds)
        return None if reached is None else count - reached
    return 0


def _count_in_time(session: Session, query: Select[tuple[int]], seconds: float) -> int | None:
    """The result of a walk; None where its time is over, and then the transaction goes on."""
    settings = WALK_SETTINGS | {"statement_timeout": f"{seconds * 1000:.0f}"}
    try:
        with session.begin_nested():
            prepare(session, MAX_EF_SEARCH)
            set_all = [func.set_config(name, value, True) for name, value in settings.items()]
            session.execute(select(*set_all))
            return session.execute(query).scalar_one()
    except OperationalError as error:
        if isinstance(error.orig, QueryCanceled):
            return None
        raise


def is_due(session: Session, index: VectorIndex) -> bool:
    """Whether another rebuild may do better: there was none yet, or the index has grown since."""
    built = graph_rebuild.vectors_at_rebuild(session, index)
    return not built or vector_indexes.count_vectors(session, index) >= GROWTH * built


def examine(sessions: Sessions, index: VectorIndex) -> GraphHealth | None:
    """A look at a graph, a walk through all of it included; None where searches are exact."""
    with sessions.begin() as session:
        if is_searched_exactly(session, index):
            return None
        sample = sample_novel(session, index, SAMPLE)
        lost = find_lost(session, index, sample)
        unreachable = count_unreachable(session, index)
        return GraphHealth(len(sample), len(lost), unreachable, is_due(session, index))


def maintain(sessions: Sessions, index: VectorIndex) -> bool:
    """Rebuild a graph that loses pictures, once it has grown; whether that was done.

    Then measure it, which decides whether searches use it. Raises IndexGone.
    """
    with sessions.begin() as session:
        if is_searched_exactly(session, index):
            return False
        due = is_due(session, index)
        if not due and not _lacks_measurement(session, index):
            return False
        sample = sample_novel(session, index, SAMPLE)
    rebuilt = False
    if due:
        with sessions.begin() as session:
            lost = find_lost(session, index, sample)
        rebuilt = len(lost) > MAX_LOST * len(sample) and graph_rebuild.rebuild(sessions, index)
    measure(sessions, index, sample)
    return rebuilt


def _lacks_measurement(session: Session, index: VectorIndex) -> bool:
    """Whether its recall is wanted and not known, as after a rebuild."""
    if vector_indexes.get_graph_recall(session, index) is not None:
        return False
    return _decides_on_method(session, index)


def _decides_on_method(session: Session, index: VectorIndex) -> bool:
    """Whether its recall decides if a graph is used; a large index can only be searched by it."""
    most = vector_indexes.MOST_EXACT_ROWS
    return vector_indexes.count_vectors(session, index, limit=most + 1) <= most


def measure(sessions: Sessions, index: VectorIndex, sample: Mapping[int, Vectors]) -> None:
    """Store how well the graph answers the worst tenth of the sample.

    Not where the index is too large to be searched in another way.
    """
    with sessions.begin() as session:
        if not _decides_on_method(session, index):
            return
        recall = worst_decile(graph_recalls(session, index, sample))
    with sessions.begin() as session:
        vector_indexes.keep_graph_recall(session, index, recall)
    if recall < vector_indexes.MIN_GRAPH_RECALL:
        log.info(
            "the graph of index %s finds %.2f of the ten nearest in the worst tenth of queries: "
            "searches compare all vectors until there are more than %s",
            index.id, recall, vector_indexes.MOST_EXACT_ROWS,
        )  # fmt: skip


def graph_recalls(
    session: Session, index: VectorIndex, sample: Mapping[int, Vectors]
) -> NDArray[np.float64]:
    """Recall@DEPTH of the graph for each vector of the sample, shape (n,), 0 to 1.

    As ann-benchmarks counts it: by distance, not by id, so that among ties any will do.
    """
    if not sample:
        return np.ones(0)
    queries = np.stack(list(sample.values()))
    exact = exact_neighbours(session, index, queries, np.zeros(len(queries), np.int64), DEPTH)
    prepare(session, ef_search_for(index, DEPTH))
    found = []
    rows_wanted = DEPTH * GRID_ROWS if index.has_parts else DEPTH
    for query, farthest in zip(queries, exact.farthest, strict=True):
        rows = session.execute(nearest_query(index, query, rerank_depth(index, rows_wanted)))
        of_pictures: dict[int, float] = {}
        for image_id, distance in rows:
            of_pictures[image_id] = min(distance, of_pictures.get(image_id, distance))
        nearest = sorted(of_pictures.values())[:DEPTH]
        found.append(sum(distance <= farthest + TIE for distance in nearest))
    return np.array(found) / np.maximum(exact.counts, 1)
