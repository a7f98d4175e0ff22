"""Whether a graph leads to the pictures that it holds, bursts or not.

A uniform sample of a library is mostly its largest bursts, which a graph serves well. What it
misses are the others, so the sample is chosen for novelty: each picture is the one farthest from
those chosen before.
"""

from collections.abc import Mapping

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.index import embeddings, graph_rebuild, vector_indexes
from app.index.hnsw_search import MAX_EF_SEARCH, find_nearest, nearest_query, prepare
from app.vectors import Vectors

POOL = 2_000  # pictures that a sample is chosen from
SAMPLE = 200  # pictures that are searched for by their own vectors: about a second
DEPTH = 10  # hits among which a picture must find itself
TIE = 1e-5  # of distances: a picture's copies may be shown in its place
GROWTH = 1.1  # times the vectors at the last rebuild: below that another would do no better
MAX_LOST = 0.02  # of the sample: from here on the graph is rebuilt
WALK_SETTINGS = {
    "hnsw.max_scan_tuples": str(2**31 - 1),
    "work_mem": "64MB",  # times hnsw.scan_mem_multiplier
    "statement_timeout": "10min",
}


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


def count_unreachable(session: Session, index: VectorIndex) -> int:
    """How many of its vectors a walk through the whole graph never comes to.

    Takes about 20 µs a vector. A `bit` graph is walked as the others are.
    """
    (start,) = embeddings.sample(session, index, 1).values()
    count = vector_indexes.count_vectors(session, index)
    prepare(session, MAX_EF_SEARCH)
    for name, value in WALK_SETTINGS.items():
        session.execute(select(func.set_config(name, value, True)))
    walked = nearest_query(index, start, count).subquery()
    return count - session.execute(select(func.count()).select_from(walked)).scalar_one()


def maintain(sessions: Sessions, index: VectorIndex) -> bool:
    """Rebuild a graph that loses pictures, once it has grown; whether that was done.

    Raises IndexGone.
    """
    with sessions.begin() as session:
        if vector_indexes.is_searched_exactly(session, index):
            return False
        built = graph_rebuild.vectors_at_rebuild(session, index)
        if built and vector_indexes.count_vectors(session, index) < GROWTH * built:
            return False
        sample = choose_novel(embeddings.sample(session, index, POOL), SAMPLE)
    with sessions.begin() as session:
        lost = find_lost(session, index, sample)
    return len(lost) > MAX_LOST * len(sample) and graph_rebuild.rebuild(sessions, index)
