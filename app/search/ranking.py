"""Pictures in the order of an answer: by their vectors, by their words, or by both."""

from dataclasses import dataclass
from math import ceil

from sqlalchemy.orm import Session

from app.database.tables import Collection, VectorIndex
from app.index.hnsw_search import Condition, Near, get_distances, prepare
from app.index.paged_scans import IndexReader, Scan, plan_scan
from app.search.lexical import LexicalSearch
from app.search.query_encoding import Query
from app.search.reciprocal_rank_fusion import Fused
from app.search.search_request import SearchRequest

MAX_FUSED = 4_000  # places of both rankings that are looked through for scores above a min_score
BLOCK = 200  # places that are read at a time, at least, where many are needed for a page


@dataclass(frozen=True)
class RankedImage:
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
        question: SearchRequest,
        query: Query,
        condition: Condition,
        scan: Scan | None,
    ) -> None:
        self._session = session
        self._index = index
        self._question = question
        self._query = query
        self._reading = IndexReader(session, index, query.vector, condition, question.without)
        self.words = LexicalSearch(session, collection, query.words, condition)
        if scan is None and question.mode != "lexical":
            limit = question.limit
            if question.mode == "hybrid" or question.group_by:
                limit = max(limit, BLOCK)
            scan = plan_scan(session, index, condition, limit, exact=question.exact)
        self.scan = scan

    @property
    def method(self) -> str:
        """How it is answered: hnsw, exact, lexical or hybrid."""
        if self._question.mode == "vector" and self.scan:
            return self.scan.method
        return self._question.mode

    @property
    def is_sorted(self) -> bool:
        """Whether no place has a higher score than one before; a graph's blocks are each sorted."""
        return self.scan is None or self.scan.method == "exact"

    def window(self, start: int, stop: int) -> list[RankedImage]:
        """What is at the places from `start`, which begin at 0, up to before `stop`."""
        if self.scan is None:
            matched = self.words.window(start, stop)
            return [
                RankedImage(image_id, rank, lexical_rank=place)
                for place, (image_id, rank) in enumerate(matched, start + 1)
            ]
        if self._question.mode == "hybrid":
            return self._shown(self._fused(self.scan.block, stop)[start:stop])
        near = self._near(start, stop)
        return [
            RankedImage(image_id, 1 - distance, distance, vector_rank=place)
            for place, (image_id, distance) in enumerate(near, start + 1)
        ]

    def _near(self, start: int, stop: int) -> list[Near]:
        """A window of the vectors' ranking; the planner is free again after it."""
        if self.scan is None:
            return []
        near, self.scan = self._reading.window(self.scan, start, stop)
        if self.scan.method == "hnsw":
            prepare(self._session)
        return near

    def _fused(self, block: int, stop: int) -> list[Fused]:
        """The first places of both rankings fused, `stop` or more while there are so many.

        Without those below min_score: fused in blocks, a later one may be above it.
        """
        fusion, least = self._question.fusion, self._question.min_score or 0.0
        depth = block * ceil(stop / block)
        while True:
            near = self._near(0, depth) if fusion.alpha > 0 else []
            matched = self.words.window(0, depth) if fusion.alpha < 1 else []
            fused = fusion.fused([one for one, _ in near], [one for one, _ in matched], block)
            good = [one for one in fused if one.score >= least]
            # Beyond the depth only a ranking that goes on has more: nothing there scores higher.
            ranks = [depth + 1 if len(ranking) == depth else None for ranking in (near, matched)]
            if len(good) >= stop or ranks == [None, None] or fusion.score(*ranks) < least:
                return good
            if depth >= max(MAX_FUSED, stop):
                return good
            depth *= 2

    def _shown(self, fused: list[Fused]) -> list[RankedImage]:
        ids = [one.id for one in fused]
        far = get_distances(self._session, self._index, self._query.vector, ids)
        return [
            RankedImage(one.id, one.score, far.get(one.id), one.first, one.second) for one in fused
        ]
