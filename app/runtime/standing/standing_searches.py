"""The requests about standing searches: searches that are asked once and answered by new pictures.

A worker compares what is added with them (`standing_work.py`); its matches are read here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.filters.filters import parse
from app.catalog.standing import match_rows, standing_search_rows
from app.catalog.standing.match_rows import Match
from app.catalog.standing.standing_search_rows import (
    EncodedQuery,
    NewStandingSearch,
    StandingSearch,
)
from app.database.connections import Sessions
from app.database.tables import Declared
from app.errors import FilterRejected
from app.runtime.open_collection import OpenCollection
from app.search.queries.query_encoding import Query
from app.search.queries.query_terms import Term, label_of

STORED_OF_TERM = ("weight", "text", "image_id")


@dataclass(frozen=True)
class StandingSearches:
    """Makes, lists and deletes standing searches, and reads what they have found."""

    sessions: Sessions

    def create(
        self,
        opened: OpenCollection,
        terms: Sequence[Term],
        filter_: Mapping[str, Any],
        min_confidence: float,
        webhook_url: str | None,
    ) -> StandingSearch:
        """Keep a search for the pictures that come from now on.

        Its terms are texts, and pictures by their ids: nothing that would have to be kept with it.

        Raises StandingSearchRejected, FilterRejected, QueryRejected, ModelUnavailable.
        """
        parse(filter_, opened.collection.filterable)
        stored = [{name: getattr(term, name) for name in STORED_OF_TERM} for term in terms]
        query = encoded_query(opened, opened.search.queries.encode(terms))
        new = NewStandingSearch(opened.collection.id, stored, filter_, min_confidence, webhook_url)
        with self.sessions.begin() as session:
            return standing_search_rows.create(session, new, query)

    def get(self, search_id: int) -> StandingSearch:
        """One of them. Raises StandingSearchNotFound."""
        with self.sessions.begin() as session:
            (found,) = _checked(session, [standing_search_rows.get(session, search_id)])
        return found

    def newest(
        self, namespace: str, collection_id: int | None, before: int | None, limit: int
    ) -> list[StandingSearch]:
        """Those of a collection, or of a namespace, with ids below `before`, newest first."""
        with self.sessions.begin() as session:
            found = standing_search_rows.newest(session, namespace, collection_id, before, limit)
            return _checked(session, found)

    def delete(self, search_id: int) -> None:
        """Delete one with its matches; nothing more is sent. Raises StandingSearchNotFound."""
        with self.sessions.begin() as session:
            standing_search_rows.remove(session, search_id)

    def matches(self, search_id: int, before: int | None, limit: int) -> list[Match]:
        """What it has found, newest first, with ids below `before`."""
        with self.sessions.begin() as session:
            return match_rows.newest(session, search_id, before, limit)

    def following(self, search_id: int, after: int | None, limit: int) -> tuple[list[Match], int]:
        """What it has found since the match `after`, oldest first; None: since now.

        With the match to go on after. Raises StandingSearchNotFound.
        """
        with self.sessions.begin() as session:
            standing_search_rows.get(session, search_id)
            if after is None:
                return [], match_rows.last_id(session, search_id)
            found = match_rows.following(session, search_id, after, limit)
        return found, found[-1].id if found else after


def title_of(search: StandingSearch) -> str:
    """What it searches for, in words."""
    return label_of(terms_of(search))


def terms_of(search: StandingSearch) -> list[Term]:
    """Its query."""
    return [Term(**term) for term in search.terms]


def encoded_query(opened: OpenCollection, query: Query) -> EncodedQuery:
    """What is stored of a query that was encoded for a collection's index."""
    return EncodedQuery(opened.index.id, query.original, query.picture_share)


def _checked(session: Session, found: Sequence[StandingSearch]) -> list[StandingSearch]:
    """The same; the problem of one whose filter its collection's fields do not allow any more."""
    ids = {one.collection_id for one in found}
    filterable = {one: collections.get_by_id(session, one).filterable for one in ids}
    return [
        replace(one, problem=one.problem or _problem(one.filter, filterable[one.collection_id]))
        for one in found
    ]


def _problem(filter_: Mapping[str, Any], declared: Declared) -> str | None:
    try:
        parse(filter_, declared)
    except FilterRejected as error:
        return str(error)
    return None
