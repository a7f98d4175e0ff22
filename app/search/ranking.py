"""Ranks pictures by vectors, by words, or by both."""

from dataclasses import dataclass, replace
from math import ceil

from sqlalchemy import and_
from sqlalchemy.orm import Session

from app.database.tables import Collection, VectorIndex
from app.index.distances import get_distances
from app.index.hnsw_search import Condition, Near, prepare
from app.index.paged_scans import IndexReader, Scan, plan_scan
from app.search.lexical import LexicalSearch
from app.search.queries.query_encoding import Query
from app.search.reciprocal_rank_fusion import Fused
from app.search.search_request import WORDS_FIRST, SearchRequest

MAX_FUSED = 4_000  # ranks of each list that are read to find scores above min_score
MIN_BLOCK = 200  # ranks that are read at a time if a page needs many

WORDS_FIRST_BLOCK = 1_000  # further lexical matches follow the pictures of the first block


@dataclass(frozen=True)
class RankedImage:
    """A ranked picture; ranks start at 1.

    `score` is the cosine similarity, the text search rank, or the fused score. `distance` is the
    cosine distance; None if the picture has no vector or none was compared.
    """

    image_id: int
    score: float
    distance: float | None = None
    vector_rank: int | None = None
    lexical_rank: int | None = None


class Ranking:
    """The ranking for one request, read window by window within one transaction.

    `scan` is the state of the index scan, which the next page continues.
    """

    def __init__(
        self,
        session: Session,
        collection: Collection,
        index: VectorIndex,
        request: SearchRequest,
        query: Query,
        condition: Condition,
        scan: Scan | None,
    ) -> None:
        self._session = session
        self._index = index
        self._request = request
        self._query = query
        self._reader = IndexReader(session, index, query.vector, condition, request.exclude_id)
        is_words_first = request.mode == "hybrid" and request.fusion == WORDS_FIRST
        self.words = LexicalSearch(session, collection, query.words, condition)
        self._nearest_matches: IndexReader | None = None
        if is_words_first:
            matching = self.words.match if condition is None else and_(condition, self.words.match)
            self._nearest_matches = replace(self._reader, condition=matching)
        if scan is None and request.mode != "lexical":
            limit = request.limit
            is_read_on = request.group_by or request.order_by or collection.pages == "all"
            if request.mode == "hybrid" or is_read_on:
                limit = max(limit, MIN_BLOCK)
            if is_words_first:
                limit = WORDS_FIRST_BLOCK
            scan = plan_scan(session, index, condition, limit, exact=request.exact)
        self.scan = scan

    @property
    def method(self) -> str:
        """How results are found: hnsw, exact, lexical or hybrid."""
        if self._request.mode == "vector" and self.scan:
            return self.scan.method
        return self._request.mode

    @property
    def is_sorted(self) -> bool:
        """Whether scores never increase with rank; of a graph scan only each block is sorted."""
        return self.scan is None or self.scan.method == "exact"

    def window(self, start: int, stop: int) -> list[RankedImage]:
        """The results `start` (from 0) up to but excluding `stop`."""
        if self.scan is None:
            matches = self.words.window(start, stop)
            return [
                RankedImage(image_id, relevance, lexical_rank=rank)
                for rank, (image_id, relevance) in enumerate(matches, start + 1)
            ]
        if self._request.mode == "hybrid":
            return self._with_distances(self._fused(self.scan.block, stop)[start:stop])
        near = self._nearest(start, stop)
        return [
            RankedImage(image_id, 1 - distance, distance, vector_rank=rank)
            for rank, (image_id, distance) in enumerate(near, start + 1)
        ]

    def _nearest(self, start: int, stop: int) -> list[Near]:
        """A window of the ranking by vectors; afterwards the planner is unrestricted again."""
        if self.scan is None:
            return []
        near, self.scan = self._reader.window(self.scan, start, stop)
        if self.scan.method == "hnsw":
            prepare(self._session)
        return near

    def _fused(self, block: int, stop: int) -> list[Fused]:
        """The fused ranking: at least `stop` results if there are so many.

        Results below min_score are removed here, since a later block may contain better ones.
        """
        fusion, min_score = self._request.fusion, self._request.min_score or 0.0
        depth = block * ceil(stop / block)
        while True:
            near = self._nearest(0, depth) if fusion.alpha > 0 else []
            matches = self._matches(depth) if fusion.alpha < 1 else []
            fused = fusion.fuse([image_id for image_id, _ in near], matches, block)
            results = [result for result in fused if result.score >= min_score]
            # What lies deeper than `depth` scores at most as much as the next rank of each list.
            ranks = [depth + 1 if len(ranking) == depth else None for ranking in (near, matches)]
            if len(results) >= stop or ranks == [None, None] or fusion.score(*ranks) < min_score:
                return results
            if depth >= max(MAX_FUSED, stop):
                return results
            depth *= 2

    def _matches(self, depth: int) -> list[int]:
        """The ids of the first matches of the words: by text search rank, or nearest first."""
        reader = self._nearest_matches
        if reader is None:
            return [image_id for image_id, _ in self.words.window(0, depth)]
        scan = plan_scan(self._session, self._index, reader.condition, WORDS_FIRST_BLOCK)
        near, _ = reader.window(scan, 0, depth)
        prepare(self._session)
        return [image_id for image_id, _ in near]

    def _with_distances(self, fused: list[Fused]) -> list[RankedImage]:
        ids = [result.id for result in fused]
        distances = get_distances(self._session, self._index, self._query.vector, ids)
        return [
            RankedImage(
                result.id,
                result.score,
                distances.get(result.id),
                result.first_rank,
                result.second_rank,
            )
            for result in fused
        ]
