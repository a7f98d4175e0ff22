"""SQL on judgements: stored, summarised, exported.

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
    Double,
    Select,
    and_,
    cast,
    delete,
    exists,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.feedback_tables import feedback, feedback_queries
from app.database.tables import VectorIndex, collections, vector_indexes
from app.vectors import Vectors

FOLDS = 5  # of the cross-validation
RELEVANT_RATING = 6  # the lowest rating that counts as relevant
MAX_LISTED_QUERIES = 20  # queries in a summary


@dataclass(frozen=True, eq=False)
class JudgedSearch:
    """The query of a judgement, identified by `digest`; `embedding` has the shape (dimensions,)."""

    digest: bytes
    query: str
    embedding: Vectors


@dataclass(frozen=True)
class Judgement:
    """A rating, 1 to 10, of a response, or of one of its hits."""

    search: UUID
    image_id: int | None
    rating: int
    comment: str | None


@dataclass(frozen=True)
class StoredJudgement:
    """A stored judgement; `is_new` unless it replaced an earlier one."""

    id: int
    is_new: bool
    judged_at: datetime


def store_judgement(
    session: Session, index: VectorIndex, judged: JudgedSearch, judgement: Judgement
) -> StoredJudgement:
    """Store a judgement; it replaces one of the same search and picture."""
    query_id = _store_query(session, index, judged)
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
    is_new = literal_column("xmax = 0", Boolean).label("is_new")  # xmax is set by an UPDATE
    row = session.execute(query.returning(feedback.c.id, is_new, feedback.c.updated_at)).one()
    return StoredJudgement(row.id, row.is_new, row.updated_at)


def delete_judgement(
    session: Session, index: VectorIndex, digest: bytes, search: UUID, image_id: int | None
) -> None:
    """Delete a judgement, if it exists, and its query where that has no other.

    The same query of a former generation goes too: its text is nobody's any more.
    """
    generations = select(vector_indexes.c.id).where(
        vector_indexes.c.collection_id == index.collection_id
    )
    theirs = select(feedback_queries.c.id).where(
        feedback_queries.c.index_id.in_(generations), feedback_queries.c.digest == digest
    )
    # A judgement that is being stored holds its query's row: it is waited for, and seen below.
    ids = session.execute(theirs.order_by(feedback_queries.c.id).with_for_update()).scalars().all()
    session.execute(
        delete(feedback).where(
            feedback.c.query_id.in_(ids),
            feedback.c.search == search,
            func.coalesce(feedback.c.image_id, 0) == (image_id or 0),
        )
    )
    unrated = ~exists().where(feedback.c.query_id == feedback_queries.c.id)
    session.execute(delete(feedback_queries).where(feedback_queries.c.id.in_(ids), unrated))


def _store_query(session: Session, index: VectorIndex, judged: JudgedSearch) -> int:
    """The id of a query, which is stored with its first judgement; it stays until the commit."""
    existing = select(feedback_queries.c.id).where(
        feedback_queries.c.index_id == index.id, feedback_queries.c.digest == judged.digest
    )
    existing = existing.with_for_update(read=True, key_share=True)
    query = upsert(feedback_queries).values(
        index_id=index.id,
        digest=judged.digest,
        query=judged.query,
        dimensions=index.dimensions,
        embedding=judged.embedding,
    )
    query = query.on_conflict_do_nothing(index_elements=["index_id", "digest"])
    found: int | None = session.execute(existing).scalar_one_or_none()
    if found is None:
        found = session.execute(query.returning(feedback_queries.c.id)).scalar_one_or_none()
    if found is None:  # another transaction was faster
        found = session.execute(existing).scalar_one()
    return found


def fold(query_id: int, image_id: int | None) -> int:
    """The fold of all judgements of one picture for one query, so that folds are independent."""
    digest = hashlib.sha256(f"{query_id}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % FOLDS


@dataclass(frozen=True)
class Scope:
    """Which judgements to read: of a namespace or one collection; of the last `days`."""

    namespace: str
    collection_id: int | None = None
    days: int | None = None

    @property
    def condition(self) -> ColumnElement[bool]:
        """Selects the scope, in a statement that joins the collections."""
        where = [collections.c.namespace == self.namespace]
        if self.collection_id is not None:
            where.append(collections.c.id == self.collection_id)
        if self.days is not None:
            where.append(feedback.c.updated_at > func.now() - timedelta(days=self.days))
        return and_(*where)


@dataclass(frozen=True)
class ModelRatings:
    """Ratings of one model's results."""

    model: str
    pretrained: str
    fingerprint: str
    ratings: int
    mean: float


@dataclass(frozen=True)
class DayRatings:
    """Ratings of one day, in UTC."""

    day: date
    ratings: int
    mean: float


@dataclass(frozen=True)
class QueryRatings:
    """Ratings of one query's responses and hits."""

    query: str
    ratings: int
    mean: float
    best: int


@dataclass(frozen=True)
class ExportedJudgement:
    """A judgement with its query, model and collection."""

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


def by_model(session: Session, scope: Scope) -> list[ModelRatings]:
    """Mean ratings by model, the most rated first."""
    query = _joined(select(*MODEL, RATINGS, MEAN), scope).group_by(*MODEL)
    rows = session.execute(query.order_by(RATINGS.desc(), *MODEL)).mappings()
    return [ModelRatings(**row) for row in rows]


def by_day(session: Session, scope: Scope) -> list[DayRatings]:
    """Mean ratings by day, the latest first; days without ratings are left out."""
    day = cast(func.timezone("UTC", feedback.c.updated_at), Date).label("day")
    query = _joined(select(day, RATINGS, MEAN), scope).group_by(day)
    return [DayRatings(**row) for row in session.execute(query.order_by(day.desc())).mappings()]


def worst_queries(session: Session, scope: Scope) -> list[QueryRatings]:
    """The queries with the lowest mean ratings, worst first."""
    return _read_queries(session, _per_query(scope).order_by(MEAN, RATINGS.desc()))


def queries_without_relevant(session: Session, scope: Scope) -> list[QueryRatings]:
    """The queries without any relevant picture, those with most ratings first."""
    query = _per_query(scope).having(BEST < RELEVANT_RATING)
    return _read_queries(session, query.order_by(RATINGS.desc(), MEAN))


def _per_query(scope: Scope) -> Select[tuple[str, int, float, int]]:
    query = select(feedback_queries.c.query, RATINGS, MEAN, BEST)
    return _joined(query, scope).group_by(feedback_queries.c.query)


def _read_queries(
    session: Session, query: Select[tuple[str, int, float, int]]
) -> list[QueryRatings]:
    rows = session.execute(
        query.order_by(feedback_queries.c.query).limit(MAX_LISTED_QUERIES)
    ).mappings()
    return [QueryRatings(**row) for row in rows]


def evaluation_results(session: Session, scope: Scope) -> list[tuple[str, dict[str, Any] | None]]:
    """The name of each collection in the scope, and its stored evaluation result."""
    query = select(collections.c.name, vector_indexes.c.trial).join(
        vector_indexes, vector_indexes.c.collection_id == collections.c.id
    )
    query = query.where(collections.c.namespace == scope.namespace)
    query = query.where(vector_indexes.c.state == "active").order_by(collections.c.name)
    if scope.collection_id is not None:
        query = query.where(collections.c.id == scope.collection_id)
    return [(row[0], row[1]) for row in session.execute(query)]


def export(session: Session, scope: Scope, after: int, limit: int) -> Sequence[ExportedJudgement]:
    """Judgements in order of id, starting after the id `after`."""
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
    return [ExportedJudgement(**row) for row in session.execute(query.limit(limit)).mappings()]


def _joined(query: Select[Any], scope: Scope) -> Select[Any]:
    """Join judgements to their collections, and select the scope."""
    return (
        query.select_from(feedback)
        .join(feedback_queries, feedback_queries.c.id == feedback.c.query_id)
        .join(vector_indexes, vector_indexes.c.id == feedback_queries.c.index_id)
        .join(collections, collections.c.id == vector_indexes.c.collection_id)
        .where(scope.condition)
    )
