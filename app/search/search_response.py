"""Builds one page of search results with what is known about their quality."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.catalog.filters.filters import Filter
from app.catalog.images import image_listing, image_rows
from app.catalog.images.image_listing import Key, Order, parse_order
from app.database.tables import Collection, Image
from app.feedback.query_adjustment import State
from app.index import embeddings
from app.index.calibration import NullDistribution, is_no_match
from app.index.distances import Part, get_distances, get_nearest_parts
from app.index.statistics import Counts
from app.search.explanation import score_details
from app.search.grouping.result_grouping import group_hits
from app.search.queries.query_encoding import Query
from app.search.ranking import RankedImage, Ranking
from app.search.search_request import GroupBy, Page
from app.search.search_warnings import SearchWarning
from app.search.suggestions.filter_suggestions import SuggestedFilter
from app.understanding.texts.text_lines import TextLine

MAX_SORTED = 200  # best results that `order_by` sorts; an answer to a query ends after them
MAX_GROUPED_RANKS = 4_000  # ranks that are read to fill a page without duplicates


@dataclass(frozen=True)
class Hit:
    """A search result; ranks start at 1 and are None if that ranking does not contain the picture.

    Without a query it has no score. `duplicates` are ids of hits that it represents. `why` is the
    breakdown of its score, if requested. `page` is the page or frame that is most like the query,
    from 1; None for a picture with one. `box`, [x, y, width, height] as fractions, is the region of
    the picture that is most like it; None where the whole is. `lines` are those read in the picture
    that hold words of the query.
    """

    image: Image
    found: RankedImage | None = None
    confidence: float | None = None
    duplicates: Sequence[int] = ()
    why: Mapping[str, Any] | None = None
    page: int | None = None
    box: Sequence[float] | None = None
    lines: Sequence[TextLine] = ()

    @property
    def seconds(self) -> float | None:
        """When the page of a video is shown; None for any other file, and where none was found."""
        times = self.image.frame_times or ()
        page = 1 if self.page is None and len(times) == 1 else self.page
        return times[page - 1] if page is not None and page <= len(times) else None


@dataclass(frozen=True)
class SearchResponse:
    """Hits, and what is known about their quality.

    `no_match` says that the best hit is no better than an unrelated one; None if unknown.
    `warnings` say why there are fewer hits than requested. `total` is known for listings only.
    `feedback` says whether ratings adjust the queries of this collection.
    """

    hits: Sequence[Hit]
    method: str
    counts: Counts
    encode_ms: float
    database_ms: float
    no_match: bool | None = None
    warnings: Sequence[SearchWarning] = ()
    total: int | None = None
    facets: Mapping[str, Sequence[tuple[Key, int]]] | None = None
    explained: Mapping[str, Any] | None = None
    following: Page | None = None
    query: Query | None = None
    suggested_filters: Sequence[SuggestedFilter] = ()
    feedback: State = "not_enough_data"


@dataclass(frozen=True)
class _PageContent:
    """The part of a ranking that a page shows, and the offset of the next page, if any.

    `dropped` says that other results scored below min_score. `duplicates` maps ids to those of
    their duplicates. `best` are the best results where `found` has another order.
    """

    found: Sequence[RankedImage]
    following: int | None
    dropped: bool
    duplicates: Mapping[int, Sequence[int]] = field(default_factory=dict)
    best: Sequence[RankedImage] | None = None


class ResponseBuilder:
    """Builds one page within the caller's transaction.

    `counts` and `null` are the index's; `null` is None until it has been measured.
    """

    def __init__(
        self,
        session: Session,
        collection: Collection,
        ranking: Ranking,
        counts: Counts,
        null: NullDistribution | None,
        page: Page,
        query: Query,
        where: Filter,
    ) -> None:
        self._ranking = ranking
        self._index = ranking.index
        self._counts = counts
        self._null = null
        self._session = session
        self._collection = collection
        self._page = page
        self._request = page.request
        self._query = query
        self._where = where

    def build(self) -> SearchResponse:
        """The page's hits, and where the next page begins."""
        shown = self._shown()
        best = shown.found if shown.best is None else shown.best
        confidences = self._confidences([*shown.found, *best])
        no_match = self._page.no_match
        if self._page.offset == 0:
            ids = [one.image_id for one in best if one.image_id in confidences]
            of_best = {image_id: confidences[image_id] for image_id in ids}
            no_match = self._is_no_match(best, of_best)
        hits = self._hits(shown, confidences)
        following = self._page.next(
            scan=self._ranking.scan, offset=shown.following, no_match=no_match
        )
        short = len(hits) < self._request.limit
        return SearchResponse(
            hits,
            self._ranking.method,
            self._counts,
            0.0,
            0.0,
            no_match=no_match,
            warnings=list(self._warnings(shown, len(hits))) if short else (),
            explained=score_details.explain_search(self._request, self._query, self._ranking)
            if self._request.explain
            else None,
            following=None if shown.following is None else following,
        )

    def _shown(self) -> _PageContent:
        if self._request.order_by is not None:
            return self._sorted(parse_order(self._request.order_by, self._collection.filterable))
        group_by = self._request.group_by
        return self._ungrouped() if group_by is None else self._grouped(group_by)

    def _sorted(self, order: Order) -> _PageContent:
        """A page of the best MAX_SORTED results, which are sorted as a whole."""
        found = self._ranking.window(0, MAX_SORTED)
        best = good = self._above_min_score(found)
        duplicates: dict[int, Sequence[int]] = {}
        if (group_by := self._request.group_by) is not None:
            ids = [one.image_id for one in good]
            groups = group_hits(self._session, ids, group_by)
            best = [good[one.position] for one in groups]
            duplicates = {good[one.position].image_id: one.duplicate_ids for one in groups}
        by_id = {one.image_id: one for one in best}
        ids = image_listing.sort_ids(self._session, list(by_id), order)
        stop = self._page.offset + self._request.limit
        return _PageContent(
            [by_id[one] for one in ids[self._page.offset : stop]],
            stop if len(ids) > stop else None,
            len(good) < len(found),
            duplicates,
            best[: self._request.limit],
        )

    def _ungrouped(self) -> _PageContent:
        start = self._page.offset
        stop = start + self._request.limit
        found, more = self._ranking.page(start)
        good = self._above_min_score(found)
        dropped = len(good) < len(found)
        ended = dropped and (self._ranking.is_sorted or not good)
        following = stop if more and not ended else None
        return _PageContent(good[: self._request.limit], following, dropped)

    def _grouped(self, group_by: GroupBy) -> _PageContent:
        """Show each picture once, where its first duplicate ranks.

        If duplicates fill MAX_GROUPED_RANKS ranks, the page ends early and the next one continues.
        """
        start, limit = self._page.offset, self._request.limit
        lookahead = 2 * limit
        while True:
            found = self._ranking.window(0, start + lookahead)
            good = self._above_min_score(found)
            ids = [one.image_id for one in good]
            groups = group_hits(self._session, ids, group_by)
            new_groups = [one for one in groups if one.position >= start]
            ended = len(good) < len(found) and self._ranking.is_sorted
            more = len(found) == start + lookahead and not ended
            if len(new_groups) > limit or not more or lookahead >= MAX_GROUPED_RANKS:
                break
            lookahead *= 2
        after = len(good) if more and len(good) > start else None
        return _PageContent(
            [good[one.position] for one in new_groups[:limit]],
            new_groups[limit].position if len(new_groups) > limit else after,
            len(good) < len(found),
            {good[one.position].image_id: one.duplicate_ids for one in new_groups[:limit]},
        )

    def _above_min_score(self, found: Sequence[RankedImage]) -> list[RankedImage]:
        min_score = self._request.min_score
        return [one for one in found if min_score is None or one.score >= min_score]

    def _confidences(self, found: Sequence[RankedImage]) -> dict[int, float]:
        """Confidences by id of hits with a distance; empty until calibration has run."""
        distances = {one.image_id: one.distance for one in found if one.distance is not None}
        if self._null is None or not distances:
            return {}
        if self._query.vector is not self._query.original:  # feedback must not raise confidence
            distances |= get_distances(
                self._session,
                self._index,
                self._query.original,
                list(distances),
                regions=self._ranking.regions,
            )
        scores = 1 - np.array(list(distances.values()), np.float32)
        confidences = self._null.confidence(self._query.original, scores, self._query.picture_share)
        return {
            image_id: float(value) for image_id, value in zip(distances, confidences, strict=True)
        }

    def _is_no_match(
        self, found: Sequence[RankedImage], confidences: Mapping[int, float]
    ) -> bool | None:
        """A match of words is a match; pictures must be better than unrelated ones."""
        if any(one.lexical_rank for one in found):
            return False
        if not found:
            return True
        if not confidences:
            return None
        return is_no_match(np.array(list(confidences.values()), np.float32))

    def _hits(self, shown: _PageContent, confidences: Mapping[int, float]) -> list[Hit]:
        """Pictures deleted in the meantime are left out."""
        ids = [one.image_id for one in shown.found]
        images = image_rows.get_images(self._session, ids)
        parts = self._parts(ids)
        why = self._explain(shown.found, parts) if self._request.explain else {}
        whole = Part(0, None, None)
        lines = self._lines(shown.found)
        return [
            Hit(
                images[one.image_id],
                one,
                confidences.get(one.image_id),
                shown.duplicates.get(one.image_id, ()),
                why.get(one.image_id),
                parts.get(one.image_id, whole).page,
                parts.get(one.image_id, whole).box,
                lines.get(one.image_id, ()),
            )
            for one in shown.found
            if one.image_id in images
        ]

    def _lines(self, found: Sequence[RankedImage]) -> dict[int, list[TextLine]]:
        """Where the words of the query were found in the pictures themselves."""
        ids = [one.image_id for one in found if one.lexical_rank]
        return self._ranking.words.found_lines(ids) if ids and self._collection.annotators else {}

    def _parts(self, image_ids: Sequence[int]) -> dict[int, Part]:
        """The pages and regions that are most like the query, by picture."""
        if not self._index.has_parts or self._request.is_lexical_only:
            return {}
        vector, regions = self._query.vector, self._ranking.regions
        _, parts = get_nearest_parts(self._session, self._index, vector, image_ids, regions=regions)
        return parts

    def _explain(
        self, found: Sequence[RankedImage], parts: Mapping[int, Part]
    ) -> dict[int, dict[str, Any]]:
        """Score breakdowns by id, of the parts that were found."""
        ids = [one.image_id for one in found]
        vectors = embeddings.get_vectors(self._session, self._index, ids)
        found_parts = {image_id: part.region for image_id, part in parts.items() if part.region}
        vectors |= embeddings.get_part_vectors(self._session, self._index, found_parts)
        return {
            one.image_id: score_details.explain_hit(
                self._request, self._query, one, vectors.get(one.image_id)
            )
            for one in found
        }

    def _warnings(self, shown: _PageContent, hits: int) -> Iterator[SearchWarning]:
        """Why there are fewer hits than requested: one warning for each cause."""
        request = self._request
        if shown.dropped or (request.mode == "hybrid" and request.min_score is not None):
            told = f"Others scored below min_score {request.min_score:g}."
            yield SearchWarning("below_min_score", told)
        if self._ranking.scan is not None and self._ranking.scan.gave_up:
            told = "Looking through the rest would have taken too long."
            yield SearchWarning("stopped_early", told)
        if any(shown.duplicates.values()):
            yield SearchWarning("duplicates_grouped", "Duplicates were grouped.")
        if shown.following is not None and self._request.group_by is not None:
            told = "There are so many that they continue on the next page."
            yield SearchWarning("continued_on_next_page", told)
        if gone := len(shown.found) - hits:
            yield SearchWarning("deleted_meanwhile", f"Deleted a moment ago: {gone}.")
        yield from self._totals()

    def _totals(self) -> Iterator[SearchWarning]:
        """How many pictures could be found at all."""
        request, words = self._request, self._ranking.words
        if request.is_lexical_only:
            passing = " and pass the filter" if request.filter else ""
            if words.has_words():
                told = f"Pictures that hold these words{passing}: {words.count()}."
                yield SearchWarning("few_word_matches", told)
            else:
                yield SearchWarning("query_without_words", "The query holds no words.")
            return
        if request.filter:
            number = image_listing.count(self._session, self._collection.id, self._where)
            told = f"Pictures that pass the filter: {number}."
            yield SearchWarning("few_filter_matches", told)
        else:
            told = f"Pictures in the collection: {self._counts.pictures}."
            yield SearchWarning("small_collection", told)
        if missing := self._counts.pictures - self._counts.vectors:
            told = f"Pictures of the collection without a vector: {missing}."
            yield SearchWarning("vectors_missing", told)
