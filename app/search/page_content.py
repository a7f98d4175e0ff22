"""Reads what one page shows of a ranking: as ranked, sorted, or with duplicates grouped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app.catalog.images import image_listing
from app.catalog.images.image_listing import Order, parse_order
from app.database.tables import Collection
from app.search.grouping.result_grouping import group_hits
from app.search.ranking import RankedImage, Ranking
from app.search.search_request import GroupBy, Page

MAX_SORTED = 200  # best results that `order_by` sorts; an answer to a query ends after them
MAX_GROUPED_RANKS = 4_000  # ranks that are read to fill a page without duplicates


@dataclass(frozen=True)
class PageContent:
    """The part of a ranking that a page shows, and the offset of the next page, if any.

    `dropped` says that other results scored below min_score. `duplicates` maps ids to those of
    their duplicates. `best` are the best results where `found` has another order.
    """

    found: Sequence[RankedImage]
    following: int | None
    dropped: bool
    duplicates: Mapping[int, Sequence[int]] = field(default_factory=dict)
    best: Sequence[RankedImage] | None = None


class PageReader:
    """Reads one page's content within the caller's transaction."""

    def __init__(
        self, session: Session, collection: Collection, ranking: Ranking, page: Page
    ) -> None:
        self._session = session
        self._collection = collection
        self._ranking = ranking
        self._page = page
        self._request = page.request

    def read(self) -> PageContent:
        """The results that the page shows, and where the next page begins."""
        if self._request.order_by is not None:
            return self._sorted(parse_order(self._request.order_by, self._collection.filterable))
        group_by = self._request.group_by
        return self._ungrouped() if group_by is None else self._grouped(group_by)

    def _sorted(self, order: Order) -> PageContent:
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
        return PageContent(
            [by_id[one] for one in ids[self._page.offset : stop]],
            stop if len(ids) > stop else None,
            len(good) < len(found),
            duplicates,
            best[: self._request.limit],
        )

    def _ungrouped(self) -> PageContent:
        start = self._page.offset
        stop = start + self._request.limit
        found, more = self._ranking.page(start)
        good = self._above_min_score(found)
        dropped = len(good) < len(found)
        ended = dropped and (self._ranking.is_sorted or not good)
        following = stop if more and not ended else None
        return PageContent(good[: self._request.limit], following, dropped)

    def _grouped(self, group_by: GroupBy) -> PageContent:
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
        return PageContent(
            [good[one.position] for one in new_groups[:limit]],
            new_groups[limit].position if len(new_groups) > limit else after,
            len(good) < len(found),
            {good[one.position].image_id: one.duplicate_ids for one in new_groups[:limit]},
        )

    def _above_min_score(self, found: Sequence[RankedImage]) -> list[RankedImage]:
        min_score = self._request.min_score
        return [one for one in found if min_score is None or one.score >= min_score]
