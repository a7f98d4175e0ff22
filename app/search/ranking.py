"""Ranks pictures by vectors, by words, or by both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from sqlalchemy import and_
from sqlalchemy.orm import Session

from app.catalog.filters.filters import Filter
from app.database.tables import Collection, VectorIndex, images
from app.index.distances import get_distances
from app.index.hnsw_search import Condition, Near, any_of
from app.index.paged_scans import IndexReader
from app.index.resident.resident_index import ResidentIndex
from app.index.scan_plans import Scan, plan_scan
from app.index.scan_settings import prepare
from app.search.caption_search import CaptionSearch
from app.search.lexical import LexicalSearch
from app.search.queries.query_encoding import Query
from app.search.reciprocal_rank_fusion import Fused
from app.search.search_request import WORDS_FIRST, SearchRequest
from app.understanding.captions.caption_vector_rows import CaptionSpace

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
    caption_rank: int | None = None


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
        where: Filter,
        scan: Scan | None,
        resident: ResidentIndex | None = None,
    ) -> None:
        condition = where.condition if request.filter else None
        self._session = session
        self.index = index
        self._request = request
        self._query = query
        regions = request.regions or collection.regions == "off"
        may_read_codes = request.mode != "lexical" and not request.exact and regions
        reads_codes = scan.method == "resident" if scan else may_read_codes
        view = resident.view(session, condition) if resident and reads_codes else None
        self._reader = IndexReader(
            session, index, query.vector, condition, request.exclude_id, view, regions
        )
        is_words_first = request.mode == "hybrid" and request.fusion == WORDS_FIRST
        self.words = LexicalSearch(session, collection, query.words, condition)
        self._captions = _caption_search(session, index, query, condition)
        self._nearest_matches: IndexReader | None = None
        if is_words_first:
            matching = self.words.match if condition is None else and_(condition, self.words.match)
            matches = resident.view(session, matching) if view and resident else None
            self._nearest_matches = replace(self._reader, condition=matching, view=matches)
        if scan is None and request.mode != "lexical":
            limit = request.limit
            if request.mode == "hybrid" or request.group_by or request.order_by:
                limit = max(limit, MIN_BLOCK)
            if is_words_first:
                limit = WORDS_FIRST_BLOCK
            scan = plan_scan(
                session,
                index,
                condition,
                limit,
                exact=request.exact,
                view=view,
                regions=regions,
                within=where.within,
            )
        self.scan = scan

    @property
    def method(self) -> str:
        """How results are found: resident, hnsw, exact, lexical or hybrid."""
        if self._request.mode == "vector" and self.scan:
            return self.scan.method
        return self._request.mode

    @property
    def regions(self) -> bool:
        """Whether regions of pictures count."""
        return self._reader.regions

    @property
    def is_sorted(self) -> bool:
        """Whether scores never increase with rank; else only each block of a scan is sorted."""
        return self.scan is None or self.scan.method == "exact"

    def window(self, start: int, stop: int) -> list[RankedImage]:
        """The results `start` (from 0) up to but excluding `stop`."""
        if self.scan is None:
            return self._by_words(start, stop)
        if self._request.mode == "hybrid":
            return self._with_distances(self._fused(self.scan.block, stop)[0][start:stop])
        return _by_vectors(self._nearest(start, stop), start)

    def page(self, start: int) -> tuple[list[RankedImage], bool]:
        """The results of the page that begins at `start`, and whether any follow them.

        The first that follows comes last, where it is known. `start` is a multiple of the limit.
        """
        stop = start + self._request.limit
        if self.scan is None:
            matches = self._by_words(start, stop + 1)
            return matches, len(matches) > stop - start
        if self._request.mode == "hybrid":
            fused, more = self._fused(self.scan.block, stop)
            return self._with_distances(fused[start:stop]), more
        if self.scan.block != self._request.limit:  # a graph whose rows are re-ranked
            results = self.window(start, stop + 1)
            return results, len(results) > stop - start
        near, more, self.scan = self._reader.page(self.scan, start)
        if self.scan.method == "hnsw":
            prepare(self._session)
        return _by_vectors(near, start), more

    def _by_words(self, start: int, stop: int) -> list[RankedImage]:
        matches = self.words.window(start, stop)
        return [
            RankedImage(image_id, relevance, lexical_rank=rank)
            for rank, (image_id, relevance) in enumerate(matches, start + 1)
        ]

    def _nearest(self, start: int, stop: int) -> list[Near]:
        """A window of the ranking by vectors; afterwards the planner is unrestricted again."""
        if self.scan is None:
            return []
        near, self.scan = self._reader.window(self.scan, start, stop)
        if self.scan.method == "hnsw":
            prepare(self._session)
        return near

    def _fused(self, block: int, stop: int) -> tuple[list[Fused], bool]:
        """The fused ranking: at least `stop` results if there are so many; whether others follow.

        Results below min_score are removed here, since a later block may contain better ones.
        """
        fusion, min_score = self._request.fusion, self._request.min_score or 0.0
        depth = block * ceil(stop / block)
        while True:
            near = self._nearest(0, depth) if fusion.alpha > 0 else []
            matches = self._matches(depth) if fusion.alpha < 1 else []
            captions = self._captions.window(0, depth) if fusion.third > 0 else []
            fused = fusion.fuse([image_id for image_id, _ in near], matches, block, captions)
            results = [result for result in fused if result.score >= min_score]
            # What lies deeper than `depth` scores at most as much as the next rank of each list.
            read = (near, matches, captions)
            ranks = [depth + 1 if len(ranking) == depth else None for ranking in read]
            if len(results) > stop:
                return results, True
            if ranks == [None, None, None] or fusion.score(*ranks) < min_score:
                return results, False
            if depth >= max(MAX_FUSED, stop):
                return results, len(results) == stop
            depth *= 2

    def _matches(self, depth: int) -> list[int]:
        """The ids of the first matches of the words: by text search rank, or nearest first.

        Those without a vector, as while a new model is introduced, follow the nearest.
        """
        reader = self._nearest_matches
        if reader is None:
            return [image_id for image_id, _ in self.words.window(0, depth)]
        scan = plan_scan(
            self._session,
            self.index,
            reader.condition,
            WORDS_FIRST_BLOCK,
            view=reader.view,
            regions=reader.regions,
        )
        near, _ = reader.window(scan, 0, depth)
        prepare(self._session)
        nearest = [image_id for image_id, _ in near]
        if len(nearest) == depth:
            return nearest
        is_other = ~(images.c.id == any_of(nearest))
        is_wanted = is_other if self.words.condition is None else self.words.condition & is_other
        others = replace(self.words, condition=is_wanted).window(0, depth - len(nearest))
        return [*nearest, *(image_id for image_id, _ in others)]

    def _with_distances(self, fused: list[Fused]) -> list[RankedImage]:
        ids = [result.id for result in fused]
        distances = get_distances(
            self._session, self.index, self._query.vector, ids, regions=self.regions
        )
        return [
            RankedImage(
                result.id,
                result.score,
                distances.get(result.id),
                result.first_rank,
                result.second_rank,
                result.third_rank,
            )
            for result in fused
        ]


def _caption_search(
    session: Session, index: VectorIndex, query: Query, condition: Condition
) -> CaptionSearch:
    """By the sentence model that has read the query, or else by the model of the index."""
    if query.captions is None:
        return CaptionSearch(session, CaptionSpace.of_index(index), query.vector, condition)
    space = CaptionSpace.of_sentences(index.collection_id, query.captions.fingerprint)
    return CaptionSearch(session, space, query.captions.vector, condition)


def _by_vectors(near: Sequence[Near], start: int) -> list[RankedImage]:
    return [
        RankedImage(image_id, 1 - distance, distance, vector_rank=rank)
        for rank, (image_id, distance) in enumerate(near, start + 1)
    ]
