"""SQL on standing searches: what is asked for, and the vector that it was encoded to.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import RowMapping, Select, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session

from app.catalog.collections import PRESENT as KNOWN_COLLECTION
from app.database.kept_statements import execute_kept
from app.database.standing_tables import standing_searches
from app.database.tables import collections
from app.errors import StandingSearchNotFound, StandingSearchRejected
from app.index.hnsw_search import any_of
from app.index.vector_indexes import lock
from app.vectors import Vectors

MAX_PER_COLLECTION = 1_000
"""Standing searches of one collection: each new picture is compared with all of them."""
STORED_NUMBERS = "<f4"


@dataclass(frozen=True)
class NewStandingSearch:
    """A standing search before it has a row; `terms` are those of the query, as JSON."""

    collection_id: int
    terms: Sequence[Mapping[str, Any]]
    filter: Mapping[str, Any]
    min_confidence: float
    webhook_url: str | None = None


@dataclass(frozen=True, eq=False)
class EncodedQuery:
    """What the terms were encoded to for the generation `index_id` of the collection's vectors.

    `vector` is float32 (dimensions,); `picture_share` is that of `calibration.picture_share`.
    """

    index_id: int
    vector: Vectors
    picture_share: float

    def values(self) -> dict[str, Any]:
        """Its columns."""
        return {**vars(self), "vector": self.vector.astype(STORED_NUMBERS).tobytes()}


@dataclass(frozen=True)
class StandingSearch:
    """A standing search; `problem` says why it finds nothing at present, None where it does."""

    id: int
    collection_id: int
    namespace: str
    collection: str
    terms: list[dict[str, Any]]
    filter: dict[str, Any]
    min_confidence: float
    webhook_url: str | None
    problem: str | None
    created_at: datetime


@dataclass(frozen=True, eq=False)
class Comparable:
    """A standing search with what it was encoded to."""

    search: StandingSearch
    query: EncodedQuery


@dataclass(frozen=True)
class State:
    """What tells whether a collection's standing searches are those that were read before.

    Ids only grow, so no other searches have the same number and the same highest id. `outdated` are
    those that were encoded for another generation than the one that was asked about.
    """

    count: int
    highest_id: int
    outdated: int


_OF_COLLECTION = {"namespace": collections.c.namespace, "collection": collections.c.name}
_COLUMNS = [
    _OF_COLLECTION[name].label(name) if name in _OF_COLLECTION else standing_searches.c[name]
    for name in StandingSearch.__dataclass_fields__
]
_QUERY_COLUMNS = [standing_searches.c[name] for name in EncodedQuery.__dataclass_fields__]


def _select(*more: Any) -> Select[Any]:
    return (
        select(*_COLUMNS, *more).join_from(standing_searches, collections).where(KNOWN_COLLECTION)
    )


def _read(row: RowMapping) -> StandingSearch:
    return StandingSearch(**{name: row[name] for name in StandingSearch.__dataclass_fields__})


def create(session: Session, new: NewStandingSearch, query: EncodedQuery) -> StandingSearch:
    """Write a standing search.

    Raises StandingSearchRejected if the collection has MAX_PER_COLLECTION already.
    """
    lock(session, f"standing searches {new.collection_id}")
    here = standing_searches.c.collection_id == new.collection_id
    count = select(func.count()).select_from(standing_searches).where(here)
    if session.execute(count).scalar_one() >= MAX_PER_COLLECTION:
        raise StandingSearchRejected(
            f"This collection has {MAX_PER_COLLECTION:,} standing searches, the most that are "
            "allowed: delete some first."
        )
    values = {**vars(new), "terms": list(new.terms), "filter": dict(new.filter), **query.values()}
    inserted = insert(standing_searches).values(values).returning(standing_searches.c.id)
    return get(session, session.execute(inserted).scalar_one())


def get(session: Session, search_id: int) -> StandingSearch:
    """One of them. Raises StandingSearchNotFound."""
    found = session.execute(_select().where(standing_searches.c.id == search_id))
    row = found.mappings().one_or_none()
    if row is None:
        raise StandingSearchNotFound(f"There is no standing search with id {search_id}.")
    return _read(row)


def newest(
    session: Session, namespace: str, collection_id: int | None, before: int | None, limit: int
) -> list[StandingSearch]:
    """Those of a collection, or else of a namespace, with ids below `before`, newest first."""
    query = _select().where(collections.c.namespace == namespace)
    if collection_id is not None:
        query = query.where(standing_searches.c.collection_id == collection_id)
    if before is not None:
        query = query.where(standing_searches.c.id < before)
    query = query.order_by(standing_searches.c.id.desc()).limit(limit)
    return [_read(row) for row in session.execute(query).mappings()]


def remove(session: Session, search_id: int) -> None:
    """Delete a standing search with its matches. Raises StandingSearchNotFound."""
    query = delete(standing_searches).where(standing_searches.c.id == search_id)
    if session.execute(query.returning(standing_searches.c.id)).first() is None:
        raise StandingSearchNotFound(f"There is no standing search with id {search_id}.")


def lock_present(session: Session, search_ids: Collection[int]) -> set[int]:
    """Which of them exist; they cannot be deleted until the transaction ends."""
    query = select(standing_searches.c.id).where(standing_searches.c.id == any_of(list(search_ids)))
    query = query.order_by(standing_searches.c.id)
    locked = query.with_for_update(read=True, key_share=True)
    return set(session.execute(locked).scalars()) if search_ids else set()


_IS_OUTDATED = standing_searches.c.index_id.is_distinct_from(bindparam("index_id"))
STATE = select(
    array(
        [
            func.count(),
            func.coalesce(func.max(standing_searches.c.id), 0),
            func.count().filter(_IS_OUTDATED),
        ]
    )
).where(standing_searches.c.collection_id == bindparam("collection_id"))
"""The numbers of a `State`."""


def state(session: Session, collection_id: int, index_id: int) -> State:
    """What a collection's standing searches are like, seen from a generation of its vectors."""
    values = {"collection_id": collection_id, "index_id": index_id}
    return State(*execute_kept(session, STATE, values).scalar_one())


def outdated(session: Session, collection_id: int, index_id: int) -> list[StandingSearch]:
    """Those that were encoded for another generation."""
    query = _select().where(
        standing_searches.c.collection_id == collection_id,
        standing_searches.c.index_id.is_distinct_from(index_id),
    )
    ordered = query.order_by(standing_searches.c.id)
    return [_read(row) for row in session.execute(ordered).mappings()]


def encoded(session: Session, collection_id: int, index_id: int) -> list[Comparable]:
    """Those that were encoded for this generation, by id."""
    query = _select(*_QUERY_COLUMNS).where(
        standing_searches.c.collection_id == collection_id,
        standing_searches.c.index_id == index_id,
    )
    rows = session.execute(query.order_by(standing_searches.c.id)).mappings()
    return [Comparable(_read(row), _encoded(row)) for row in rows]


def _encoded(row: RowMapping) -> EncodedQuery:
    vector = np.frombuffer(row["vector"], STORED_NUMBERS).astype(np.float32)
    return EncodedQuery(row["index_id"], vector, row["picture_share"])


def keep_query(session: Session, search_id: int, query: EncodedQuery) -> None:
    """What it was encoded to for another generation."""
    ours = update(standing_searches).where(standing_searches.c.id == search_id)
    session.execute(ours.values(**query.values(), problem=None))


def note_problem(session: Session, search_id: int, problem: str) -> None:
    """Why it could not be encoded, and finds nothing until it can be."""
    ours = update(standing_searches).where(standing_searches.c.id == search_id)
    session.execute(ours.values(problem=problem))
