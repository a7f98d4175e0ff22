"""A worker's part of standing searches: it looks for new pictures, and tells of those that match.

Read `comparison.py` for how a batch is compared.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.catalog.standing import match_rows, new_image_rows, standing_search_rows
from app.catalog.standing.standing_search_rows import StandingSearch
from app.database.connections import Sessions
from app.errors import CollectionNotFound, ImageSearchError, IndexGone
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.open_collection import OpenCollection
from app.runtime.standing.comparison import Comparison
from app.runtime.standing.standing_searches import encoded_query, terms_of

log = logging.getLogger(__name__)

ENCODED_AT_ONCE = 32  # queries, after the model has changed: searches come in between
PROBLEM_PAUSE_SECONDS = 60.0  # before a query that could not be encoded is tried again


@dataclass(frozen=True)
class StandingWork:
    """Tells standing searches of new pictures, on the calling thread."""

    sessions: Sessions
    registry: CollectionRegistry
    comparison: Comparison
    _failed: dict[int, dict[int, float]] = field(default_factory=dict, init=False)
    """By generation: when, by the monotonic clock, queries of standing searches failed last."""

    def tell_of_new(self) -> None:
        """Compare all new pictures; cheap where there are none.

        A collection whose model is missing keeps its pictures until it is there.
        """
        with self.sessions.begin() as session:
            waiting = new_image_rows.waiting_collections(session)
        for collection_id in waiting:
            try:
                self._tell(self.registry.open_id(collection_id))
            except (CollectionNotFound, IndexGone):
                continue
            except ImageSearchError as error:
                log.warning("standing searches of collection %s wait: %s", collection_id, error)

    def purge(self) -> None:
        """Delete matches that are too old or too many, and forget pictures without a vector."""
        with self.sessions.begin() as session:
            match_rows.purge(session)
            match_rows.trim(session)
            new_image_rows.purge(session)

    def _tell(self, opened: OpenCollection) -> None:
        """Raises ModelUnavailable."""
        while True:
            self._encode_outdated(opened)
            null = opened.search.statistics.current_null_distribution()
            if null is None:  # no picture has a vector yet
                return
            if not self.comparison.compare(opened.collection, opened.index, null):
                return

    def _encode_outdated(self, opened: OpenCollection) -> None:
        """Encode what was encoded for another generation than the one in use."""
        collection_id, index_id = opened.collection.id, opened.index.id
        with self.sessions.begin() as session:
            if not standing_search_rows.state(session, collection_id, index_id).outdated:
                return
            outdated = standing_search_rows.outdated(session, collection_id, index_id)
        due = self._due(outdated, index_id)
        for start in range(0, len(due), ENCODED_AT_ONCE):
            some = due[start : start + ENCODED_AT_ONCE]
            queries = opened.search.queries.encode_all([terms_of(one) for one in some])
            with self.sessions.begin() as session:
                for search, query in zip(some, queries, strict=True):
                    if isinstance(query, ImageSearchError):
                        self._failed[index_id][search.id] = time.monotonic()
                        standing_search_rows.note_problem(session, search.id, str(query))
                    else:
                        encoded = encoded_query(opened, query)
                        standing_search_rows.keep_query(session, search.id, encoded)

    def _due(self, outdated: Sequence[StandingSearch], index_id: int) -> list[StandingSearch]:
        """Those to encode now: not what failed a moment ago, as for the picture before."""
        oldest = time.monotonic() - PROBLEM_PAUSE_SECONDS
        failed = {one: at for one, at in self._failed.get(index_id, {}).items() if at > oldest}
        self._failed[index_id] = failed
        return [one for one in outdated if one.id not in failed]
