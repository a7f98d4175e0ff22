"""Compares a batch of new pictures with the standing searches of their collection.

Taking pictures, writing their matches and the tasks that report these are one transaction: a killed
worker leaves all or nothing of a batch, and each match is written once. One worker at a time works
on a collection, so matches are numbered in the order in which they can be read.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from sqlalchemy.orm import Session

from app.catalog.standing import match_rows, new_image_rows, standing_search_rows
from app.catalog.standing.match_rows import NewMatch
from app.catalog.standing.standing_search_rows import StandingSearch, State
from app.database.connections import Sessions, try_lock
from app.database.tables import Collection, VectorIndex
from app.index import embeddings
from app.index.calibration import NullDistribution
from app.ingest.jobs.jobs import WEBHOOK, WEBHOOKS, enqueue
from app.ingest.webhooks.delivery import STANDING_SEARCH
from app.ingest.webhooks.messages import WebhookMessage
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
            if not try_lock(session, f"standing matches {collection.id}"):
                return False
            taken = new_image_rows.take(session, index, BATCH)
            queries = self._queries(session, index) if taken else None
            if queries is not None:
                added_at = {one: moment.timestamp() for one, moment in taken.items()}
                new = _new_pictures(session, collection, index, added_at)
                _write(session, collection, queries, queries.matches(new, null))
                if len(taken) == BATCH:  # of many pictures; those of a few wait for `purge`
                    match_rows.trim(session, [one.id for one in queries.searches])
        return len(taken) == BATCH

    def _queries(self, session: Session, index: VectorIndex) -> StandingQueries | None:
        """The collection's queries for this generation; None where it has none."""
        state = standing_search_rows.state(session, index.collection_id, index.id)
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
    session: Session, collection: Collection, index: VectorIndex, added_at: Mapping[int, float]
) -> NewPictures:
    """Their vectors, of all pages where the collection has them."""
    ids = list(added_at)
    rows = [*embeddings.get_vectors(session, index, ids).items()]
    if collection.pages == "all":
        for image_id, pages in embeddings.get_pages(session, index, ids).items():
            rows += [(image_id, vector) for vector in pages.values()]
    rows.sort(key=lambda row: row[0])
    numbers = np.array([image_id for image_id, _ in rows], np.int64)
    return NewPictures(numbers, np.stack([vector for _, vector in rows]), added_at)


def _write(
    session: Session, collection: Collection, queries: StandingQueries, found: Sequence[NewMatch]
) -> None:
    """Write the matches that pass the filters, and the messages about those that are new."""
    passing = passing_filters(session, collection, queries.by_id, found)
    _report(session, queries.by_id, match_rows.add(session, passing))


def _report(
    session: Session, searches: Mapping[int, StandingSearch], added: Sequence[NewMatch]
) -> None:
    """Write the messages about matches, and the tasks that deliver them."""
    messages: dict[str, Sequence[NewMatch]] = {}
    tasks = []
    for search_id, ours in groupby(added, lambda one: one.search_id):
        search, found = searches[search_id], list(ours)
        if search.webhook_url is None:
            continue
        for start in range(0, len(found), MATCHES_PER_MESSAGE):
            some = found[start : start + MATCHES_PER_MESSAGE]
            message = WebhookMessage.of_matches(search, some)
            messages[message.id] = some
            told = {STANDING_SEARCH: search.id, "url": search.webhook_url, **vars(message)}
            tasks.append({**told, "attempt": 1})
    if tasks:
        match_rows.report_by(session, messages)
        enqueue(session, WEBHOOK, WEBHOOKS, *tasks)
