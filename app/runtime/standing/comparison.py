"""Compares a batch of new pictures with the standing searches of their collection.

Taking pictures, writing their matches and the tasks that report these are one transaction: a killed
worker leaves all or nothing of a batch, and each match is written once. One worker at a time works
on a collection, so matches are numbered in the order in which they can be read.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.catalog.standing import match_rows, new_image_rows, standing_search_rows
from app.catalog.standing.match_rows import NewMatch
from app.catalog.standing.new_image_rows import Taken
from app.catalog.standing.standing_search_rows import StandingSearch, State
from app.database.connections import Sessions
from app.database.tables import Collection, VectorIndex
from app.index import embeddings
from app.index.calibration import NullDistribution
from app.ingest.jobs.task_queue import WEBHOOK, WEBHOOKS, enqueue
from app.ingest.webhooks.delivery import STANDING_SEARCH
from app.ingest.webhooks.messages import WebhookMessage, message_id
from app.search.standing.filtering import passing_filters
from app.search.standing.matching import NewPictures, StandingQueries

BATCH = 256  # new pictures compared in one transaction
MATCHES_PER_MESSAGE = 100
MOST_CACHED = 20  # collections whose queries are kept in memory: 2 MB each for 1,000 of ViT-B-32


@dataclass(frozen=True)
class Comparison:
    """Compares new pictures; the queries of collections stay in memory between the batches."""

    sessions: Sessions
    _cached: OrderedDict[int, tuple[int, State, StandingQueries]] = field(
        default_factory=OrderedDict, init=False
    )
    """By collection: the generation and the state that the queries were read at."""

    def compare(self, collection: Collection, index: VectorIndex, null: NullDistribution) -> bool:
        """Compare a batch of a collection's new pictures; whether there may be more.

        Pictures without a vector in `index` wait, and all do while another worker is at it.
        """
        with self.sessions.begin() as session:
            taken = new_image_rows.take(session, index, BATCH)
            if taken is None:
                return False
            is_full = len(taken.added_at) == BATCH
            queries = self._queries(session, index, taken.state)
            if queries is not None:
                new = _new_pictures(session, collection, index, taken)
                _write(session, collection, queries, queries.matches(new, null))
                if is_full:  # of many pictures; those of a few wait for `purge`
                    match_rows.trim(session, [one.id for one in queries.searches])
        return is_full

    def _queries(
        self, session: Session, index: VectorIndex, state: State
    ) -> StandingQueries | None:
        """The collection's queries for this generation; None where it has none."""
        cached = self._cached.get(index.collection_id)
        if cached is None or cached[:2] != (index.id, state):
            found = standing_search_rows.encoded(session, index.collection_id, index.id)
            if not found:
                return None
            cached = (index.id, state, StandingQueries.of(found))
            self._cached[index.collection_id] = cached
            while len(self._cached) > MOST_CACHED:
                self._cached.popitem(last=False)
        self._cached.move_to_end(index.collection_id)
        return cached[2]


def _new_pictures(
    session: Session, collection: Collection, index: VectorIndex, taken: Taken
) -> NewPictures:
    """Their vectors, of all pages where the collection has them."""
    rows = [*taken.vectors.items()]
    if collection.pages == "all":
        for image_id, pages in embeddings.get_pages(session, index, [*taken.vectors]).items():
            rows += [(image_id, vector) for vector in pages.values()]
        rows.sort(key=lambda row: row[0])
    numbers = np.array([image_id for image_id, _ in rows], np.int64)
    added_at = {one: moment.timestamp() for one, moment in taken.added_at.items()}
    return NewPictures(numbers, np.stack([vector for _, vector in rows]), added_at)


def _write(
    session: Session, collection: Collection, queries: StandingQueries, found: Sequence[NewMatch]
) -> None:
    """Write the matches that pass the filters, and the tasks that report those that are new."""
    passing = passing_filters(session, collection, queries.by_id, found)
    added = match_rows.add(session, [*_with_messages(queries.by_id, passing)])
    reported = [one for one in added if one.message is not None]
    tasks = [
        _report(queries.by_id[some[0].search_id], some)
        for some in (list(group) for _, group in groupby(reported, lambda one: one.message))
    ]
    if tasks:
        enqueue(session, WEBHOOK, WEBHOOKS, *tasks)


def _with_messages(
    searches: Mapping[int, StandingSearch], found: Sequence[NewMatch]
) -> Iterator[NewMatch]:
    """The same, each with the message that will report it if it is new."""
    for search_id, ours in groupby(found, lambda one: one.search_id):
        told = searches[search_id].webhook_url is not None
        while some := list(islice(ours, MATCHES_PER_MESSAGE)):
            message = message_id() if told else None
            yield from (replace(one, message=message) for one in some)


def _report(search: StandingSearch, found: Sequence[NewMatch]) -> dict[str, Any]:
    """The task that reports new matches of a standing search, all of one message."""
    message = WebhookMessage.of_matches(str(found[0].message), search, found)
    told = {STANDING_SEARCH: search.id, "url": search.webhook_url, **vars(message)}
    return {**told, "attempt": 1}
