"""A page of an answer: its hits, and the truth about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.catalog import browsing, image_rows
from app.catalog.browsing import Key, parse_order
from app.catalog.filters import Filter
from app.database.tables import Collection, Image, VectorIndex
from app.feedback.query_adjustment import State
from app.index import embeddings
from app.index.calibration import NullDistribution, is_no_match
from app.index.hnsw_search import get_distances
from app.index.statistics import Counts
from app.search import score_details
from app.search.query_encoding import Query
from app.search.ranking import RankedImage, Ranking
from app.search.result_grouping import group
from app.search.search_request import Page

MAX_GROUPED = 4_000  # places of a ranking that are looked through for a page without duplicates


@dataclass(frozen=True)
class Hit:
    """A picture of an answer; the ranks begin at 1, None where that leg did not find it.

    Without a query it has no score. `duplicates` are ids of hits that it stands for. `why` is what
    its score is made of, where that was asked.
    """

    image: Image
    found: RankedImage | None = None
    confidence: float | None = None
    duplicates: Sequence[int] = ()
    why: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class SearchResponse:
    """Hits, and the truth about them.

    `no_match`: the best is not better than chance; None where that is not known yet. `underfilled`
    says why there are fewer hits than asked for. `total` is known without a query alone.
    `feedback`: whether judgements move this collection's queries.
    """

    hits: Sequence[Hit]
    method: str
    counts: Counts
    encode_ms: float
    database_ms: float
    no_match: bool | None = None
    underfilled: str | None = None
    total: int | None = None
    facets: Mapping[str, Sequence[tuple[Key, int]]] | None = None
    explained: Mapping[str, Any] | None = None
    following: Page | None = None
    query: Query | None = None
    feedback: State = "not enough"


@dataclass(frozen=True)
class _Shown:
    """What of a ranking is on a page, and at which place the next one begins, if there is one.

    `dropped`: others scored too low. `duplicates` are those of each picture, by ids.
    """

    found: Sequence[RankedImage]
    following: int | None
    dropped: bool
    duplicates: Mapping[int, Sequence[int]] = field(default_factory=dict)


class ResponseBuilder:
    """One page of one answer, within the caller's transaction.

    `counts` and `null` are the index's; `null` is None until it was measured.
    """

    def __init__(
        self,
        session: Session,
        collection: Collection,
        index: VectorIndex,
        counts: Counts,
        null: NullDistribution | None,
        page: Page,
        query: Query,
        where: Filter,
    ) -> None:
        self._index = index
        self._counts = counts
        self._null = null
        self._session = session
        self._collection = collection
        self._page = page
        self._question = page.question
        self._query = query
        self._where = where
        condition = where.condition if page.question.filter else None
        self._ranking = Ranking(
            session, collection, index, page.question, query, condition, page.scan
        )

    def answer(self) -> SearchResponse:
        """The page's hits, and where the next begins."""
        shown = self._grouped() if self._question.group_by else self._plain()
        confidences = self._confidences(shown.found)
        no_match = self._page.no_match
        if self._page.offset == 0:
            no_match = self._is_no_match(shown.found, confidences)
        hits = self._hits(shown, confidences)
        following = self._page.then(
            scan=self._ranking.scan, offset=shown.following, no_match=no_match
        )
        short = len(hits) < self._question.limit
        return SearchResponse(
            self._ordered(hits),
            self._ranking.method,
            self._counts,
            0.0,
            0.0,
            no_match=no_match,
            underfilled=self._why_short(shown, len(hits)) if short else None,
            explained=score_details.of_answer(self._question, self._query, self._ranking)
            if self._question.explain
            else None,
            following=None if shown.following is None else following,
        )

    def _plain(self) -> _Shown:
        start = self._page.offset
        stop = start + self._question.limit
        found = self._ranking.window(start, stop)
        good = self._good_enough(found)
        dropped = len(good) < len(found)
        ended = dropped and (self._ranking.is_sorted or not good)
        more = len(found) == self._question.limit and not ended
        return _Shown(good, stop if more else None, dropped)

    def _grouped(self) -> _Shown:
        """Each picture once, with those that are its duplicates; a group is where its first is.

        Where duplicates fill MAX_GROUPED places, the page ends there and the next goes on.
        """
        start, limit = self._page.offset, self._question.limit
        wanted = 2 * limit
        while True:
            found = self._ranking.window(0, start + wanted)
            good = self._good_enough(found)
            groups = group(self._session, [one.image_id for one in good])
            fresh = [one for one in groups if one.place >= start]
            ended = len(good) < len(found) and self._ranking.is_sorted
            more = len(found) == start + wanted and not ended
            if len(fresh) > limit or not more or wanted >= MAX_GROUPED:
                break
            wanted *= 2
        after = len(good) if more and len(good) > start else None
        return _Shown(
            [good[one.place] for one in fresh[:limit]],
            fresh[limit].place if len(fresh) > limit else after,
            len(good) < len(found),
            {good[one.place].image_id: one.others for one in fresh[:limit]},
        )

    def _good_enough(self, found: Sequence[RankedImage]) -> list[RankedImage]:
        least = self._question.min_score
        return [one for one in found if least is None or one.score >= least]

    def _confidences(self, found: Sequence[RankedImage]) -> dict[int, float]:
        """By the ids of those that have a distance; nothing until the null was measured."""
        far = {one.image_id: one.distance for one in found if one.distance is not None}
        if self._null is None or not far:
            return {}
        if self._query.vector is not self._query.plain:  # judgements make nobody surer
            far |= get_distances(self._session, self._index, self._query.plain, list(far))
        scores = 1 - np.array(list(far.values()), np.float32)
        sure = self._null.confidence(self._query.plain, scores, self._query.picture_share)
        return {image_id: float(value) for image_id, value in zip(far, sure, strict=True)}

    def _is_no_match(
        self, found: Sequence[RankedImage], confidences: Mapping[int, float]
    ) -> bool | None:
        """Words that were found are a match; pictures are one if they are better than chance."""
        if any(one.lexical_rank for one in found):
            return False
        if not found:
            return True
        if not confidences:
            return None
        return is_no_match(np.array(list(confidences.values()), np.float32))

    def _hits(self, shown: _Shown, confidences: Mapping[int, float]) -> list[Hit]:
        """A picture that was deleted meanwhile is left out."""
        ids = [one.image_id for one in shown.found]
        images = image_rows.get_images(self._session, ids)
        why = self._why(shown.found) if self._question.explain else {}
        return [
            Hit(
                images[one.image_id],
                one,
                confidences.get(one.image_id),
                shown.duplicates.get(one.image_id, ()),
                why.get(one.image_id),
            )
            for one in shown.found
            if one.image_id in images
        ]

    def _ordered(self, hits: list[Hit]) -> list[Hit]:
        if self._question.order_by is None:
            return hits
        order = parse_order(self._question.order_by, self._collection.fields)
        by_id = {hit.image.id: hit for hit in hits}
        return [by_id[one] for one in browsing.ordered(self._session, list(by_id), order)]

    def _why(self, found: Sequence[RankedImage]) -> dict[int, dict[str, Any]]:
        """What each score is made of, by id."""
        ids = [one.image_id for one in found]
        vectors = embeddings.get_vectors(self._session, self._index, ids)
        return {
            one.image_id: score_details.of_hit(
                self._question, self._query, one, vectors.get(one.image_id)
            )
            for one in found
        }

    def _why_short(self, shown: _Shown, hits: int) -> str:
        """Why there are fewer hits than were asked for: a sentence for each reason."""
        question, causes = self._question, []
        if shown.dropped or (question.mode == "hybrid" and question.min_score is not None):
            causes.append(f"Others scored below min_score {question.min_score:g}.")
        if self._ranking.scan is not None and self._ranking.scan.gave_up:
            causes.append("Looking through the rest would have taken too long.")
        if any(shown.duplicates.values()):
            causes.append("Duplicates were put together.")
        if shown.following is not None and question.group_by:
            causes.append("There are so many of them that the next page goes on.")
        if gone := len(shown.found) - hits:
            causes.append(f"Deleted a moment ago: {gone}.")
        return " ".join([*causes, *self._how_many()])

    def _how_many(self) -> Iterator[str]:
        """How many there are to be found, and how many could be."""
        question, words = self._question, self._ranking.words
        if question.is_of_words:
            passing = " and pass the filter" if question.filter else ""
            if words.has_words():
                yield f"Pictures that hold these words{passing}: {words.count()}."
            else:
                yield "The query holds no words."
            return
        if question.filter:
            number = browsing.count(self._session, self._collection.id, self._where)
            yield f"Pictures that pass the filter: {number}."
        else:
            yield f"Pictures in the collection: {self._counts.pictures}."
        if missing := self._counts.pictures - self._counts.vectors:
            yield f"Pictures of the collection without a vector: {missing}."
