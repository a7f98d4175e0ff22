"""SQL on judgements: written, summed up, read one after another.

Every function takes a Session and leaves the transaction to its caller.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Double,
    Integer,
    Select,
    and_,
    cast,
    delete,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.feedback_tables import feedback, feedback_queries
from app.database.tables import VectorIndex, collections, vector_indexes
from app.vectors import Vectors

FOLDS = 5  # a fifth of the judgements is held out at a time
GOOD = 6  # the least rating that says: this is what was meant
MOST_LISTED = 20  # queries of a summary


@dataclass(frozen=True, eq=False)
class JudgedSearch:
    """A query as it is judged; `digest` tells it from others, `embedding` is (dimensions,)."""

    digest: bytes
    query: str
    embedding: Vectors


@dataclass(frozen=True)
class Judgement:
    """One rating, 1 to 10, of an answer, or of one hit of it."""

    search: UUID
    image_id: int | None
    rating: int
    comment: str | None


@dataclass(frozen=True)
class StoredJudgement:
    """A judgement that was written; `anew` if there was none before that it has replaced."""

    id: int
    anew: bool
    judged_at: datetime


def keep(
    session: Session, index: VectorIndex, asked: JudgedSearch, judgement: Judgement
) -> StoredJudgement:
    """Write a judgement; one of the same search and picture is replaced."""
    query_id = _keep_query(session, index, asked)
    changed = {"rating": judgement.rating, "comment": judgement.comment}
    query = upsert(feedback).values(
        query_id=query_id,
        search=judgement.search,
        image_id=judgement.image_id,
        fold=fold(query_id, judgement.image_id),
        **changed,
    )
    query = query.on_conflict_do_update(
        index_elements=["query_id", "search", func.coalesce(feedback.c.image_id, 0)],
        set_={**changed, "updated_at": func.now()},
    )
    anew = literal_column("xmax = 0", Boolean).label(
        "anew"
    )  # Postgres sets it where a row was there
    row = session.execute(query.returning(feedback.c.id, anew, feedback.c.updated_at)).one()
    return StoredJudgement(row.id, row.anew, row.updated_at)


def withdraw(
    session: Session, index: VectorIndex, digest: bytes, search: UUID, image_id: int | None
) -> None:
    """Forget a judgement of a query, if there is one; the query itself stays known."""
    asked = select(feedback_queries.c.id).where(
        feedback_queries.c.index_id == index.id, feedback_queries.c.digest == digest
    )
    session.execute(
        delete(feedback).where(
            feedback.c.query_id == asked.scalar_subquery(),
            feedback.c.search == search,
            func.coalesce(feedback.c.image_id, 0) == (image_id or 0),
        )
    )


def _keep_query(session: Session, index: VectorIndex, asked: JudgedSearch) -> int:
    """The id of a query, which is written at its first judgement."""
    known = select(feedback_queries.c.id).where(
        feedback_queries.c.index_id == index.id, feedback_queries.c.digest == asked.digest
    )
    query = upsert(feedback_queries).values(
        index_id=index.id,
        digest=asked.digest,
        query=asked.query,
        dimensions=index.dimensions,
        embedding=asked.embedding,
    )
    query = query.on_conflict_do_nothing(index_elements=["index_id", "digest"])
    found: int | None = session.execute(known).scalar_one_or_none()
    if found is None:
        found = session.execute(query.returning(feedback_queries.c.id)).scalar_one_or_none()
    if found is None:  # another was faster
        found = session.execute(known).scalar_one()
    return found


def fold(query_id: int, image_id: int | None) -> int:
    """Which fifth holds all judgements of one picture for one query, so that none tells another."""
    digest = hashlib.sha256(f"{query_id}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % FOLDS


@dataclass(frozen=True)
class Scope:
    """Which judgements are meant: of a namespace, or of one collection; of the last `days`."""

    namespace: str
    collection_id: int | None = None
    days: int | None = None

    @property
    def condition(self) -> ColumnElement[bool]:
        """True of what is meant, in a statement that joins the collections."""
        where = [collections.c.namespace == self.namespace]
        if self.collection_id is not None:
            where.append(collections.c.id == self.collection_id)
        if self.days is not None:
            where.append(feedback.c.updated_at > func.now() - timedelta(days=self.days))
        return and_(*where)


@dataclass(frozen=True)
class OfModel:
    """Ratings of one model's answers."""

    model: str
    pretrained: str
    fingerprint: str
    ratings: int
    mean: float


@dataclass(frozen=True)
class OfDay:
    """Ratings of one day, by UTC."""

    day: date
    ratings: int
    mean: float


@dataclass(frozen=True)
class OfQuery:
    """Ratings of one query's answers and hits."""

    query: str
    ratings: int
    mean: float
    best: int


@dataclass(frozen=True)
class Exported:
    """A judgement with all that it is about."""

    id: int
    collection: str
    model: str
    pretrained: str
    fingerprint: str
    search: UUID
    query: str
    image_id: int | None
    rating: int
    comment: str | None
    created_at: datetime
    updated_at: datetime


RATINGS = func.count().label("ratings")
MEAN = cast(func.avg(feedback.c.rating), Double).label("mean")
BEST = func.max(feedback.c.rating).label("best")
MODEL = (vector_indexes.c.model, vector_indexes.c.pretrained, vector_indexes.c.fingerprint)


def by_model(session: Session, scope: Scope) -> list[OfModel]:
    """Mean ratings of each model, the one with most first."""
    query = _joined(select(*MODEL, RATINGS, MEAN), scope).group_by(*MODEL)
    rows = session.execute(query.order_by(RATINGS.desc(), *MODEL)).mappings()
    return [OfModel(**row) for row in rows]


def by_day(session: Session, scope: Scope) -> list[OfDay]:
    """Mean ratings of each day that has any, the last day first."""
    day = cast(func.timezone("UTC", feedback.c.updated_at), Date).label("day")
    query = _joined(select(day, RATINGS, MEAN), scope).group_by(day)
    return [OfDay(**row) for row in session.execute(query.order_by(day.desc())).mappings()]


def worst_queries(session: Session, scope: Scope) -> list[OfQuery]:
    """The queries of the lowest mean ratings, the worst first."""
    return _queries(session, _of_queries(scope).order_by(MEAN, RATINGS.desc()))


def queries_without_good(session: Session, scope: Scope) -> list[OfQuery]:
    """The queries that nothing good was found for, those that were judged most first."""
    query = _of_queries(scope).having(BEST < GOOD)
    return _queries(session, query.order_by(RATINGS.desc(), MEAN))


def _of_queries(scope: Scope) -> Select[tuple[str, int, float, int]]:
    query = select(feedback_queries.c.query, RATINGS, MEAN, BEST)
    return _joined(query, scope).group_by(feedback_queries.c.query)


def _queries(session: Session, query: Select[tuple[str, int, float, int]]) -> list[OfQuery]:
    rows = session.execute(query.order_by(feedback_queries.c.query).limit(MOST_LISTED)).mappings()
    return [OfQuery(**row) for row in rows]


def verdicts(session: Session, scope: Scope) -> list[tuple[str, dict[str, Any] | None]]:
    """Of each collection that is meant: its name, and the verdict of its last trial."""
    query = select(collections.c.name, vector_indexes.c.trial).join(
        vector_indexes, vector_indexes.c.collection_id == collections.c.id
    )
    query = query.where(collections.c.namespace == scope.namespace)
    query = query.where(vector_indexes.c.state == "active").order_by(collections.c.name)
    if scope.collection_id is not None:
        query = query.where(collections.c.id == scope.collection_id)
    return [(row[0], row[1]) for row in session.execute(query)]


def collections_to_try(session: Session, night: datetime) -> list[int]:
    """The ids of collections whose pictures were judged, and not tried since `night` as they are.

    Judgements that were taken back count as much as new ones.
    """
    held_at = vector_indexes.c.trial["held_at"].astext.cast(DateTime(timezone=True))
    known = vector_indexes.c.trial["judgements"].astext.cast(Integer)
    changed = or_(func.max(feedback.c.updated_at) > held_at, func.count() != known)
    query = (
        select(vector_indexes.c.collection_id)
        .join(feedback_queries, feedback_queries.c.index_id == vector_indexes.c.id)
        .join(feedback, feedback.c.query_id == feedback_queries.c.id)
        .where(vector_indexes.c.state == "active", feedback.c.image_id.is_not(None))
        .where(or_(held_at.is_(None), held_at < night))
        .group_by(vector_indexes.c.id)
        .having(or_(held_at.is_(None), changed))
    )
    return sorted(session.execute(query).scalars())


def exported(session: Session, scope: Scope, after: int, limit: int) -> Sequence[Exported]:
    """Judgements by id, from the one after the id `after` on."""
    own = [feedback.c[name] for name in ("id", "search", "image_id", "rating", "comment")]
    query = select(
        *own,
        feedback.c.created_at,
        feedback.c.updated_at,
        collections.c.name.label("collection"),
        *MODEL,
        feedback_queries.c.query,
    )
    query = _joined(query, scope).where(feedback.c.id > after).order_by(feedback.c.id)
    return [Exported(**row) for row in session.execute(query.limit(limit)).mappings()]


def _joined(query: Select[Any], scope: Scope) -> Select[Any]:
    """The query over what is meant, from judgements to collections."""
    return (
        query.select_from(feedback)
        .join(feedback_queries, feedback_queries.c.id == feedback.c.query_id)
        .join(vector_indexes, vector_indexes.c.id == feedback_queries.c.index_id)
        .join(collections, collections.c.id == vector_indexes.c.collection_id)
        .where(scope.condition)
    )
