"""Golden queries answered on a sample of pictures, where a model has no generation.

All systems rank the same pictures exactly, by their first pages: a generation by the vectors it
has, a model by vectors that are made for the purpose and kept in memory only. Fewer pictures are
easier to tell apart, so that figures of a sample are higher than those of the collection; their
difference is what counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.database.connections import Sessions
from app.encoders.batching import Priority
from app.encoders.resident_model import ResidentModel
from app.errors import EvaluationRejected
from app.feedback.golden.golden_rows import GoldenQuery
from app.feedback.golden.retrieval_metrics import DEPTH
from app.index import embeddings, generations
from app.runtime.evaluation.evaluation_result import Costs, Evaluation, Run, Sample, System
from app.runtime.evaluation.index_run import COUNTED, encode_ms
from app.runtime.evaluation.picture_embedding import TIMED_PICTURES, PictureEmbedding
from app.vectors import Vectors, unit_rows

READ_AT_A_TIME = 1_000  # vectors of a generation
HALF_BYTES = 2  # of a vector's component in an index with the storage halfvec

Candidate = tuple[System, ResidentModel]


@dataclass(frozen=True)
class SampleRun:
    """Evaluates on a sample of pictures.

    `named` are the ids of the pictures that golden queries name, `random` those of others.
    """

    sessions: Sessions
    embedding: PictureEmbedding
    named: Sequence[int]
    random: Sequence[int]

    def steps(self, queries: Sequence[GoldenQuery], candidates: Sequence[Candidate]) -> int:
        """How many steps will be counted."""
        pictures = len({*self.named, *self.random})
        timed = min(pictures, TIMED_PICTURES)
        embedded = [timed if system.index else pictures for system, _ in candidates]
        return sum(embedded) + len(queries) * len(candidates)

    def evaluation(
        self, queries: Sequence[GoldenQuery], candidates: Sequence[Candidate]
    ) -> Evaluation:
        """The hits of all candidates.

        Raises EvaluationRejected, and as `PictureEmbedding.run`.
        """
        chosen = sorted({*self.named, *self.random})
        found = [self._vectors(*one, chosen) for one in candidates]
        seen = [image_id for image_id in chosen if all(image_id in rows for rows, _ in found)]
        if not seen:
            raise EvaluationRejected("No picture of the sample has an original that can be read.")
        there = {*seen}
        # What a system cannot know is not expected of any.
        queries = [
            replace(one, relevant=[image_id for image_id in one.relevant if image_id in there])
            for one in queries
        ]
        usable = [one for one in queries if one.relevant and (one.text or one.image_id in there)]
        runs = []
        for (system, encoder), (rows, picture_ms) in zip(candidates, found, strict=True):
            ranking = _Ranking(encoder, seen, rows)
            hits: dict[int, Sequence[int]] = {}
            for start in range(0, len(usable), COUNTED):
                some = usable[start : start + COUNTED]
                hits |= {query.id: ranking.hits(query) for query in some}
                self.embedding.count(len(some))
            costs = self._costs(system, encoder, usable, len(seen), picture_ms)
            runs.append(Run(system, hits, costs))
        named = len(there & {*self.named})
        return Evaluation(
            queries, runs, Sample(len(seen), named, len(seen) - named, len(chosen) - len(seen))
        )

    def _vectors(
        self, system: System, encoder: ResidentModel, ids: Sequence[int]
    ) -> tuple[dict[int, Vectors], float | None]:
        """Vectors, float32 (dimensions,), by picture, and milliseconds to embed one."""
        if system.index is None:
            return self.embedding.run(encoder, ids)
        _, picture_ms = self.embedding.run(encoder, ids[:TIMED_PICTURES])
        found: dict[int, Vectors] = {}
        for start in range(0, len(ids), READ_AT_A_TIME):
            with self.sessions.begin() as session:
                some = ids[start : start + READ_AT_A_TIME]
                found |= embeddings.get_vectors(session, system.index, some)
        return found, picture_ms

    def _costs(
        self,
        system: System,
        encoder: ResidentModel,
        queries: Sequence[GoldenQuery],
        pictures: int,
        picture_ms: float | None,
    ) -> Costs:
        vectors, size = pictures, pictures * system.space.dimensions * HALF_BYTES
        if system.index is not None:
            with self.sessions.begin() as session:
                whole = generations.size(session, system.index)
            vectors, size = whole.vectors, whole.bytes
        return Costs(vectors, size, encode_ms(encoder, queries), None, None, picture_ms)


class _Ranking:
    """Ranks the pictures `ids` by the cosine of their vectors to a query's."""

    def __init__(
        self, encoder: ResidentModel, ids: Sequence[int], vectors: Mapping[int, Vectors]
    ) -> None:
        self._encoder = encoder
        self._ids = ids
        self._vectors = vectors
        self._rows = unit_rows(np.stack([vectors[image_id] for image_id in ids]))

    def hits(self, query: GoldenQuery) -> list[int]:
        """The first DEPTH pictures, without the one that is searched with."""
        scores = self._rows @ self._vector(query)
        order = np.argsort(-scores, kind="stable")[: DEPTH + 1]
        near = [self._ids[place] for place in order if self._ids[place] != query.image_id]
        return near[:DEPTH]

    def _vector(self, query: GoldenQuery) -> Vectors:
        if query.text is None:
            return self._vectors[query.image_id or 0]
        vector: Vectors = self._encoder.encode_texts([query.text], Priority.INDEXING)[0]
        return vector
