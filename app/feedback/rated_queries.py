"""SQL that reads judgements: what is known of queries near a vector, and what a trial found.

Every function takes a Session and leaves the transaction to its caller. Only pictures that are
still there are in any answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import ARRAY, BigInteger, Double, Select, cast, exists, func, select, update
from sqlalchemy.orm import Session

from app.database.feedback_tables import feedback, feedback_queries
from app.database.tables import PRESENT, VectorIndex, images, vector_indexes
from app.feedback.rocchio import NearbyJudgement
from app.index import embeddings
from app.index.hnsw_search import any_of, prepare
from app.vectors import Vectors

NEAR_QUERIES = 20  # that one search learns from
NEAR_PICTURES = 200  # judged ones, of all these queries together
EXACT_QUERIES = 1_000  # judged ones of an index: to compare so few takes no longer than the graph
KEPT = 100  # candidates while the graph of judged queries is walked
MOST_SCANNED = 5_000  # judged queries of all indexes that one walk looks at
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class NearbyQuery:
    """A judged query and the cosine of its vector with the one that was asked with."""

    id: int
    query: str
    similarity: float


@dataclass(frozen=True)
class RatedImage:
    """One picture under one query: its mean rating, 1 to 10, of all votes, and their fold."""

    image_id: int
    rating: float
    fold: int


@dataclass(frozen=True, eq=False)
class JudgedQuery:
    """A query with all that was said of its pictures; `embedding` is (dimensions,)."""

    id: int
    embedding: Vectors
    rated: Sequence[RatedImage]


@dataclass(frozen=True)
class FeedbackCounts:
    """How many queries of an index have judged pictures, and how many judgements there are."""

    queries: int
    judgements: int


def judged_near(
    session: Session,
    index: VectorIndex,
    vector: Vectors,
    similarity: float,
    without_fold: int | None = None,
) -> list[NearbyJudgement]:
    """The pictures as judged under the queries whose cosine to `vector` is at least `similarity`.

    At most NEAR_PICTURES of NEAR_QUERIES, those of the nearest queries and of most votes first.
    The judgements of one fold may be left out.
    """
    queries = near_queries(session, index, vector, similarity)
    if not queries:
        return []
    rows = session.execute(_pictures_of(index, [one.id for one in queries], without_fold)).all()
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


def near_queries(
    session: Session, index: VectorIndex, vector: Vectors, similarity: float
) -> list[NearbyQuery]:
    """The judged queries of the index whose cosine to `vector` is at least that, nearest first.

    At most NEAR_QUERIES; from the graph that all indexes of so many dimensions share, or exactly
    where the index has few.
    """
    prepare(session)
    few = _is_few(session, index)
    if not few:
        prepare(session, KEPT)
        session.execute(select(func.set_config("hnsw.max_scan_tuples", str(MOST_SCANNED), True)))
    rows = session.execute(near_query(index, vector, exact=few)).all()
    if not few:
        prepare(session)  # what is read next needs no graph
    found = [NearbyQuery(row.id, row.query, 1 - row.distance) for row in rows]
    near = [one for one in found if one.similarity >= similarity]
    return sorted(near, key=lambda one: (-one.similarity, one.id))


def _is_few(session: Session, index: VectorIndex) -> bool:
    own = select(feedback_queries.c.id).where(feedback_queries.c.index_id == index.id)
    some = own.limit(EXACT_QUERIES + 1).subquery()
    counted = session.execute(select(func.count()).select_from(some)).scalar_one()
    return counted <= EXACT_QUERIES


def near_query(
    index: VectorIndex, vector: Vectors, *, exact: bool = False
) -> Select[tuple[int, str, float]]:
    """The statement: ORDER BY distance LIMIT, as the partial graph can serve it."""
    kind = HALFVEC(index.dimensions)
    distance = cast(feedback_queries.c.embedding, kind).cosine_distance(cast(vector, kind))
    query = select(feedback_queries.c.id, feedback_queries.c.query, distance.label("distance"))
    query = query.where(
        feedback_queries.c.dimensions == index.dimensions, feedback_queries.c.index_id == index.id
    )
    # Plus 0, so that the planner takes no graph: its order is not exact.
    return query.order_by(distance + 0 if exact else distance).limit(NEAR_QUERIES)


def _pictures_of(
    index: VectorIndex, query_ids: Sequence[int], without_fold: int | None
) -> Select[tuple[int, int, float, int, float]]:
    """Per query and picture: mean rating, votes, their mean age in days."""
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
    return query.order_by(place, votes.desc(), feedback.c.image_id).limit(NEAR_PICTURES)


def judged_queries(session: Session, index: VectorIndex, most: int) -> list[int]:
    """The ids of `most` judged queries that are chosen evenly, always the same ones."""
    query_id = feedback_queries.c.id
    query = select(query_id).where(feedback_queries.c.index_id == index.id, _has_pictures())
    query = query.order_by(func.hashint8(query_id), query_id).limit(most)
    return list(session.execute(query).scalars())


def _has_pictures() -> Any:
    return exists().where(
        feedback.c.query_id == feedback_queries.c.id, feedback.c.image_id.is_not(None)
    )


def judged_query(session: Session, index: VectorIndex, query_id: int) -> JudgedQuery | None:
    """A judged query of the index; None where it was deleted."""
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
        .limit(NEAR_PICTURES)
    )
    rated = [RatedImage(*row) for row in session.execute(query)]
    return JudgedQuery(query_id, np.array(embedding, np.float32), rated)


def amount(session: Session, index: VectorIndex) -> FeedbackCounts:
    """How much the index's pictures were judged."""
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


def get_trial(session: Session, index: VectorIndex) -> Mapping[str, Any] | None:
    """The verdict as it was kept; None where no trial was held."""
    query = select(vector_indexes.c.trial).where(vector_indexes.c.id == index.id)
    found: Mapping[str, Any] | None = session.execute(query).scalar_one_or_none()
    return found


def keep_trial(session: Session, index: VectorIndex, trial: Mapping[str, Any]) -> None:
    """Keep a verdict in place of the one before."""
    query = update(vector_indexes).where(vector_indexes.c.id == index.id)
    session.execute(query.values(trial=dict(trial)))
