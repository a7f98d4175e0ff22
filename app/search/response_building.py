"""Builds the response with one page of ranked hits: confidences, explanations, and warnings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.catalog.filters.filters import Filter
from app.catalog.images import image_listing, image_rows
from app.database.tables import Collection
from app.index import embeddings
from app.index.calibration import NullDistribution, is_no_match
from app.index.distances import Part, get_distances, get_nearest_parts
from app.index.statistics import Counts
from app.search.explanation import score_details
from app.search.page_content import PageContent, PageReader
from app.search.queries.query_encoding import Query
from app.search.ranking import RankedImage, Ranking
from app.search.search_request import Page
from app.search.search_response import Hit, SearchResponse
from app.search.search_warnings import SearchWarning
from app.understanding.texts.text_lines import TextLine


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
        self._reader = PageReader(session, collection, ranking, page)
        self._page = page
        self._request = page.request
        self._query = query
        self._where = where

    def build(self) -> SearchResponse:
        """The page's hits, and where the next page begins."""
        shown = self._reader.read()
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

    def _hits(self, shown: PageContent, confidences: Mapping[int, float]) -> list[Hit]:
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

    def _warnings(self, shown: PageContent, hits: int) -> Iterator[SearchWarning]:
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
