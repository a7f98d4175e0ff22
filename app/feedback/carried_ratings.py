"""SQL that takes ratings along to another generation of a collection's vectors.

A query belongs to a generation, since its vector is one of that model's. Queries of the same model
are copied with their vectors; those of another are encoded again by their words. One that was asked
by a picture has only its vector: it stays behind with its ratings, and is there again after a
rollback.

Every function takes a Session and leaves the transaction to its caller.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import exists, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.feedback_tables import feedback, feedback_queries
from app.database.tables import VectorIndex
from app.vectors import Vectors


@dataclass(frozen=True)
class RatedText:
    """A rated query that was asked by words."""

    digest: bytes
    text: str


def text_digest(text: str) -> bytes:
    """What identifies a query that is a single text, in its normalised form."""
    return hashlib.sha256(b"text:" + text.encode()).digest()


def texts_to_encode(session: Session, former: VectorIndex, index: VectorIndex) -> list[RatedText]:
    """The texts among the rated queries of `former` that `index` does not have."""
    there = feedback_queries.alias("there")
    known = exists().where(
        there.c.index_id == index.id, there.c.digest == feedback_queries.c.digest
    )
    rated = exists().where(feedback.c.query_id == feedback_queries.c.id)
    query = select(feedback_queries.c.digest, feedback_queries.c.query).where(
        feedback_queries.c.index_id == former.id, rated, ~known
    )
    found = [RatedText(row.digest, row.query) for row in session.execute(query)]
    return [one for one in found if text_digest(one.text) == one.digest]


def put_queries(
    session: Session, index: VectorIndex, queries: Sequence[RatedText], vectors: Vectors
) -> None:
    """Add queries with their vectors, shape (len(queries), dimensions), unless they are there."""
    rows = [
        {
            "index_id": index.id,
            "digest": one.digest,
            "query": one.text,
            "dimensions": index.dimensions,
            "embedding": vector,
        }
        for one, vector in zip(queries, vectors, strict=True)
    ]
    if rows:
        session.execute(upsert(feedback_queries).on_conflict_do_nothing(), rows)


def carry(session: Session, former: VectorIndex, index: VectorIndex) -> int:
    """Move the ratings to the same queries of `index`; returns how many ratings stay behind."""
    if former.fingerprint == index.fingerprint:
        _copy_queries(session, former, index)
    theirs, ours = feedback_queries.alias("theirs"), feedback_queries.alias("ours")
    pairs = (
        select(theirs.c.id.label("old"), ours.c.id.label("new"))
        .join(ours, (ours.c.digest == theirs.c.digest) & (ours.c.index_id == index.id))
        .where(theirs.c.index_id == former.id)
        .subquery()
    )
    move = update(feedback).where(feedback.c.query_id == pairs.c.old)
    session.execute(move.values(query_id=pairs.c.new))
    left = (
        select(func.count())
        .select_from(feedback)
        .join(feedback_queries, feedback_queries.c.id == feedback.c.query_id)
    )
    return session.execute(left.where(feedback_queries.c.index_id == former.id)).scalar_one()


def _copy_queries(session: Session, former: VectorIndex, index: VectorIndex) -> None:
    names = ["digest", "query", "dimensions", "embedding", "created_at"]
    query = select(literal(index.id), *(feedback_queries.c[name] for name in names))
    query = query.where(feedback_queries.c.index_id == former.id)
    copied = upsert(feedback_queries).from_select(["index_id", *names], query)
    session.execute(copied.on_conflict_do_nothing())
