"""Pictures in the order of an answer: by their vectors, by their words, or by both."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.lexical import WordSearch
from app.nearest import Condition, get_distances
from app.queries import Query
from app.questions import Question
from app.scans import Reading, Scan, plan_scan
from app.tables import Collection, VectorIndex

FUSED = 200  # places of both rankings that are fused at a time


@dataclass(frozen=True)
class Found:
    """A picture in a ranking: the places in its parts begin at 1.

    `score` is the cosine similarity, the rank of the words, or their fusion; `distance` the cosine
    distance, None where the picture has no vector or none was compared.
    """

    image_id: int
    score: float
    distance: float | None = None
    vector_rank: int | None = None
    lexical_rank: int | None = None


class Ranking:
    """The ranking of one question, read a window at a time within one transaction.

    `scan` is how the index is read, to be handed to the ranking of the next page.
    """

    def __init__(
        self,
        session: Session,
        collection: Collection,
        index: VectorIndex,
        question: Question,
        query: Query,
        condition: Condition,
        scan: Scan | None,
    ) -> None:
        self._session = session
        self._index = index
        self._question = question
        self._query = query
        self._reading = Reading(session, index, query.vector, condition)
        self.words = WordSearch(session, collection, query.words, condition)
        if scan is None and question.mode != "lexical":
            limit = question.limit
            if question.mode == "hybrid":
                limit = max(limit, FUSED)
            scan = plan_scan(session, index, condition, limit, exact=question.exact)
        self.scan = scan

    @property
    def method(self) -> str:
        """How it is answered: hnsw, exact, lexical or hybrid."""
        if self._question.mode == "vector" and self.scan:
            return self.scan.method
        return self._question.mode

    def window(self, start: int, stop: int) -> list[Found]:
        """What is at the places from `start`, which begin at 0, up to before `stop`."""
        if self.scan is None:
            matched = self.words.window(start, stop)
            return [
                Found(image_id, rank, lexical_rank=place)
                for place, (image_id, rank) in enumerate(matched, start + 1)
            ]
        if self._question.mode == "hybrid":
            return self._fused(self.scan, stop)[start:stop]
        near, self.scan = self._reading.window(self.scan, start, stop)
        return [
            Found(image_id, 1 - distance, distance, vector_rank=place)
            for place, (image_id, distance) in enumerate(near, start + 1)
        ]

    def _fused(self, scan: Scan, stop: int) -> list[Found]:
        """The first places of both rankings fused, `stop` or more while there are so many."""
        fused: list[tuple[int, float]] = []
        depth = 0
        while len(fused) < stop:
            depth += scan.block
            near, scan = self._reading.window(scan, 0, depth)
            matched = self.words.window(0, depth)
            by_vector, by_words = [one for one, _ in near], [one for one, _ in matched]
            fused = self._question.fusion.fused(by_vector, by_words, scan.block)
            if max(len(near), len(matched)) < depth:
                break
        self.scan = scan
        distances = dict(near) | self._distances(set(by_words) - set(by_vector))
        vector_ranks = {one: place for place, one in enumerate(by_vector, 1)}
        lexical_ranks = {one: place for place, one in enumerate(by_words, 1)}
        return [
            Found(one, score, distances.get(one), vector_ranks.get(one), lexical_ranks.get(one))
            for one, score in fused
        ]

    def _distances(self, image_ids: set[int]) -> dict[int, float]:
        if not image_ids:
            return {}
        return get_distances(self._session, self._index, self._query.vector, sorted(image_ids))
