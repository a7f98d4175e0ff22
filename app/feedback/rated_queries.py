"""SQL that reads judgements: those of queries near a vector, and the result of an evaluation.

Every function takes a Session and leaves the transaction to its caller. Pictures that have been
deleted are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    Double,
    Integer,
    Select,
    cast,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from app.database.feedback_tables import feedback, feedback_queries
from app.database.tables import PRESENT, VectorIndex, images, vector_indexes
from app.feedback.rocchio import NearbyJudgement
from app.index import embeddings
from app.index.hnsw_search import any_of
from app.index.scan_settings import prepare
from app.vectors import Vectors

MAX_NEARBY_QUERIES = 20  # that one search learns from
MAX_NEARBY_PICTURES = 200  # rated pictures of all these queries together
MAX_EXACT_SCAN = (
    1_000  # judged queries of an index: an exact scan of so few is no slower than the graph
)
EF_SEARCH = 100  # of the graph of judged queries
MAX_SCAN_TUPLES = 5_000  # judged queries of all indexes that one scan visits
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class NearbyQuery:
    """A judged query and its cosine similarity to the current one."""

    id: int
    query: str
    similarity: float


@dataclass(frozen=True)
class RatedImage:
    """A picture's mean rating, 1 to 10, for one query, and the fold of its judgements."""

    image_id: int
    rating: float
    fold: int


@dataclass(frozen=True, eq=False)
class JudgedQuery:
    """A query with the ratings of its pictures; `embedding` has the shape (dimensions,)."""

    id: int
    embedding: Vectors
    rated: Sequence[RatedImage]


@dataclass(frozen=True)
class FeedbackCounts:
    """The number of queries of an index with rated pictures, and of all their judgements."""

    queries: int
    judgements: int


def judgements_near(
    session: Session,
    index: VectorIndex,
    vector: Vectors,
    similarity: float,
    without_fold: int | None = None,
) -> list[NearbyJudgement]:
    """The rated pictures of the queries whose cosine to `vector` is at least `similarity`.

    At most MAX_NEARBY_PICTURES of MAX_NEARBY_QUERIES, nearest queries and most votes first. The
    judgements of one fold may be left out.
    """
    queries = nearby_queries(session, index, vector, similarity)
    if not queries:
        return []
    rows = session.execute(_judged_pictures(index, [one.id for one in queries], without_fold)).all()
    vectors = embeddings.get_vectors(session, index, sorted({row.image_id for row in rows}))
    known = {one.id: one for one in queries}
    return [
        NearbyJudgement(
            row.image_id,
            known[row.query_id].query,
            known[row.query_id].similarity,
            row.rating,
            row.votes,
            row.age_days,
            vectors[row.image_id],
        )
        for row in rows
        if row.image_id in vectors
    ]


def nearby_queries(
    session: Session, index: VectorIndex, vector: Vectors, similarity: float
) -> list[NearbyQuery]:
    """The judged queries of the index whose cosine to `vector` is at least `similarity`.

    At most MAX_NEARBY_QUERIES, nearest first: from the graph, which all indexes of these dimensions
    share, or exactly if the index has few.
    """
    prepare(session)
    few = _fits_exact_scan(session, index)
    if not few:
        prepare(session, EF_SEARCH)
        session.execute(select(func.set_config("hnsw.max_scan_tuples", str(MAX_SCAN_TUPLES), True)))
    rows = session.execute(nearby_queries_statement(index, vector, exact=few)).all()
    if not few:
        prepare(session)  # the following statements need no graph
    found = [NearbyQuery(row.id, row.query, 1 - row.distance) for row in rows]
    near = [one for one in found if one.similarity >= similarity]
    return sorted(near, key=lambda one: (-one.similarity, one.id))


def _fits_exact_scan(session: Session, index: VectorIndex) -> bool:
    own = select(feedback_queries.c.id).where(feedback_queries.c.index_id == index.id)
    some = own.limit(MAX_EXACT_SCAN + 1).subquery()
    counted = session.execute(select(func.count()).select_from(some)).scalar_one()
    return counted <= MAX_EXACT_SCAN


def nearby_queries_statement(
    index: VectorIndex, vector: Vectors, *, exact: bool = False
) -> Select[tuple[int, str, float]]:
    """ORDER BY distance LIMIT, in the form that the partial HNSW index serves."""
    kind = HALFVEC(index.dimensions)
    distance = cast(feedback_queries.c.embedding, kind).cosine_distance(cast(vector, kind))
    query = select(feedback_queries.c.id, feedback_queries.c.query, distance.label("distance"))
    query = query.where(
        feedback_queries.c.dimensions == index.dimensions, feedback_queries.c.index_id == index.id
    )
    # + 0 keeps the planner from using the approximate index.
    return query.order_by(distance + 0 if exact else distance).limit(MAX_NEARBY_QUERIES)


def _judged_pictures(
    index: VectorIndex, query_ids: Sequence[int], without_fold: int | None
) -> Select[tuple[int, int, float, int, float]]:
    """Mean rating, votes and mean age in days by query and picture."""
    age = func.extract("epoch", func.now() - feedback.c.updated_at) / DAY_SECONDS
    votes = func.count().label("votes")
    query = select(
        feedback.c.query_id,
        feedback.c.image_id,
        cast(func.avg(feedback.c.rating), Double).label("rating"),
        votes,
        cast(func.avg(age), Double).label("age_days"),
    ).join(images, images.c.id == feedback.c.image_id)
    query = query.where(
        feedback.c.query_id == any_of(query_ids),
        images.c.collection_id == index.collection_id,
        PRESENT,
    )
    if without_fold is not None:
        query = query.where(feedback.c.fold != without_fold)
    place = func.array_position(cast(list(query_ids), ARRAY(BigInteger)), feedback.c.query_id)
    query = query.group_by(feedback.c.query_id, feedback.c.image_id)
    return query.order_by(place, votes.desc(), feedback.c.image_id).limit(MAX_NEARBY_PICTURES)


def sample_judged_queries(session: Session, index: VectorIndex, most: int) -> list[int]:
    """The ids of up to `most` judged queries: a uniform sample, always the same."""
    query_id = feedback_queries.c.id
    query = select(query_id).where(feedback_queries.c.index_id == index.id, _has_rated_images())
    query = query.order_by(func.hashint8(query_id), query_id).limit(most)
    return list(session.execute(query).scalars())


def _has_rated_images() -> Any:
    return exists().where(
        feedback.c.query_id == feedback_queries.c.id, feedback.c.image_id.is_not(None)
    )


def get_judged_query(session: Session, index: VectorIndex, query_id: int) -> JudgedQuery | None:
    """A judged query of the index; None if it was deleted."""
    asked = select(feedback_queries.c.embedding).where(
        feedback_queries.c.id == query_id, feedback_queries.c.index_id == index.id
    )
    embedding = session.execute(asked).scalar_one_or_none()
    if embedding is None:
        return None
    rating = cast(func.avg(feedback.c.rating), Double)
    query = (
        select(feedback.c.image_id, rating, func.min(feedback.c.fold))
        .join(images, images.c.id == feedback.c.image_id)
        .where(feedback.c.query_id == query_id)
        .where(images.c.collection_id == index.collection_id, PRESENT)
        .group_by(feedback.c.image_id)
        .order_by(func.count().desc(), feedback.c.image_id)
        .limit(MAX_NEARBY_PICTURES)
    )
    rated = [RatedImage(*row) for row in session.execute(query)]
    return JudgedQuery(query_id, np.array(embedding, np.float32), rated)


def count_feedback(session: Session, index: VectorIndex) -> FeedbackCounts:
    """How much feedback the index's pictures have."""
    query = (
        select(func.count(feedback.c.query_id.distinct()), func.count())
        .select_from(feedback)
        .join(feedback_queries, feedback_queries.c.id == feedback.c.query_id)
        .where(feedback_queries.c.index_id == index.id, feedback.c.image_id.is_not(None))
    )
    return FeedbackCounts(*session.execute(query).one())


def now(session: Session) -> datetime:
    """The database's clock: when this transaction began."""
    return session.execute(select(func.now())).scalar_one()


def get_evaluation(session: Session, index: VectorIndex) -> Mapping[str, Any] | None:
    """The stored evaluation result; None before the first evaluation."""
    query = select(vector_indexes.c.trial).where(vector_indexes.c.id == index.id)
    found: Mapping[str, Any] | None = session.execute(query).scalar_one_or_none()
    return found


def save_evaluation(session: Session, index: VectorIndex, trial: Mapping[str, Any]) -> None:
    """Replace the stored evaluation result."""
    query = update(vector_indexes).where(vector_indexes.c.id == index.id)
    session.execute(query.values(trial=dict(trial)))


def collections_due_for_evaluation(session: Session, night: datetime) -> list[int]:
    """The ids of collections whose feedback has changed and that were not evaluated since `night`.

    Deleted judgements count as changes, too.
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
