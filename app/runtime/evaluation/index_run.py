"""Golden queries answered by a generation: its own model encodes them, its own index is searched.

As a search without a filter answers them, but before feedback adjusts the query: the ratings that
golden queries are made from would move it towards the very pictures that are looked for.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.encoders.batching import Priority
from app.encoders.resident_model import ResidentModel, normalised
from app.feedback.golden.golden_rows import GoldenQuery
from app.feedback.golden.retrieval_metrics import DEPTH
from app.index import embeddings, generations
from app.index.hnsw_search import find_nearest
from app.runtime.evaluation.evaluation_result import Costs, Run, System
from app.vectors import Vectors

TIMED_TEXTS = 20  # encoded apart, past the cache of texts, to see how long one takes
COUNTED = 20  # queries between two notes of the progress


@dataclass(frozen=True)
class IndexRun:
    """Searches one generation; `count` is told of every few queries and may raise.

    `picture_ms` is what its model was seen to take for a picture.
    """

    sessions: Sessions
    index: VectorIndex
    encoder: ResidentModel
    picture_ms: float | None
    count: Callable[[int], None]

    def run(self, queries: Sequence[GoldenQuery]) -> Run:
        """The hits of each query. Raises ModelUnavailable, and what `count` raises."""
        hits: dict[int, Sequence[int]] = {}
        ms = []
        for start in range(0, len(queries), COUNTED):
            some = queries[start : start + COUNTED]
            for query in some:
                vector = self._vector(query)
                if vector is not None:
                    began = time.perf_counter()
                    hits[query.id] = self._search(query, vector)
                    ms.append((time.perf_counter() - began) * 1000)
            self.count(len(some))
        return Run(System(self.index.space, self.index), hits, self._costs(queries, ms))

    def _vector(self, query: GoldenQuery) -> Vectors | None:
        if query.text is not None:
            vector: Vectors = self.encoder.encode_texts([query.text], Priority.INDEXING)[0]
            return vector
        image_id = query.image_id or 0
        with self.sessions.begin() as session:
            found = embeddings.get_vectors(session, self.index, [image_id])
        return found.get(image_id)

    def _search(self, query: GoldenQuery, vector: Vectors) -> list[int]:
        limit = DEPTH if query.image_id is None else DEPTH + 1  # with itself
        with self.sessions.begin() as session:
            near = find_nearest(session, self.index, vector, limit)
        found = [one.image.id for one in near if one.image.id != query.image_id]
        return found[:DEPTH]

    def _costs(self, queries: Sequence[GoldenQuery], ms: Sequence[float]) -> Costs:
        with self.sessions.begin() as session:
            size = generations.size(session, self.index)
        p50, p95 = np.percentile(ms, [50, 95]) if ms else (None, None)
        return Costs(
            size.vectors,
            size.bytes,
            encode_ms(self.encoder, queries),
            None if p50 is None else float(p50),
            None if p95 is None else float(p95),
            self.picture_ms,
        )


def encode_ms(encoder: ResidentModel, queries: Sequence[GoldenQuery]) -> float | None:
    """The median milliseconds that the model takes for one of the texts; None without a text."""
    texts = [normalised(one.text) for one in queries if one.text is not None][:TIMED_TEXTS]
    loaded = encoder.load()
    ms = []
    for text in texts:
        began = time.perf_counter()
        loaded.encode_texts([text])
        ms.append((time.perf_counter() - began) * 1000)
    return float(np.median(ms)) if ms else None
