"""SQL on golden queries: searches of a collection with the pictures they should find, and not.

A query is a text or one of the collection's pictures, and there once; judgements of a picture that
is deleted, or was moved to another collection, do not count while it is away.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.golden_tables import golden_judgements, golden_queries
from app.database.tables import PRESENT, images
from app.encoders.resident_model import normalised
from app.errors import GoldenQueryNotFound
from app.feedback.golden.judged_queries import MAX_JUDGED, Judged, Origin, check, rejected
from app.index.hnsw_search import any_of

MAX_QUERIES = 2_000  # of a collection: an evaluation searches for all of them


@dataclass(frozen=True)
class GoldenQuery:
    """A stored query; the ids are those of pictures that are there, ascending."""

    id: int
    text: str | None
    image_id: int | None
    origin: Origin
    relevant: Sequence[int]
    irrelevant: Sequence[int]
    created_at: datetime
    updated_at: datetime


def add(session: Session, collection_id: int, judged: Judged) -> tuple[int, bool]:
    """Add a query, or to the same query's judgements; its id, and whether it is new.

    The judgement of a picture replaces an earlier one. Raises GoldenQueryRejected.
    """
    check(judged)
    _check_present(session, collection_id, judged)
    query_id = _find(session, collection_id, judged)
    is_new = query_id is None
    if query_id is None:
        query_id = _insert(session, collection_id, judged)
    _judge(session, query_id, judged)
    return query_id, is_new


def _check_present(session: Session, collection_id: int, judged: Judged) -> None:
    named = [*judged.relevant, *judged.irrelevant]
    if judged.image_id is not None:
        named.append(judged.image_id)
    here = present_in(collection_id) & (images.c.id == any_of(named))
    # Locked, so that none is deleted before the transaction ends.
    query = (
        select(images.c.id)
        .where(here)
        .order_by(images.c.id)
        .with_for_update(read=True, key_share=True)
    )
    unknown = {*named} - {*session.execute(query).scalars()}
    if unknown:
        raise rejected(judged, f"this collection has no picture {min(unknown)}.")


def present_in(collection_id: int) -> ColumnElement[bool]:
    """Pictures of the collection, without deleted and held ones."""
    return (images.c.collection_id == collection_id) & PRESENT


def _find(session: Session, collection_id: int, judged: Judged) -> int | None:
    query = select(golden_queries.c.id).where(
        golden_queries.c.collection_id == collection_id, golden_queries.c.digest == judged.digest
    )
    found: int | None = session.execute(query.with_for_update()).scalar_one_or_none()
    return found


def _insert(session: Session, collection_id: int, judged: Judged) -> int:
    if count(session, collection_id) >= MAX_QUERIES:
        raise rejected(
            judged, f"this collection has {MAX_QUERIES:,} golden queries, the maximum: delete some."
        )
    text = None if judged.text is None else normalised(judged.text)
    query = upsert(golden_queries).values(
        collection_id=collection_id,
        digest=judged.digest,
        text=text,
        image_id=judged.image_id,
        origin=judged.origin,
    )
    # Written over where another transaction was faster, so that the id comes back either way.
    same = {"digest": query.excluded.digest}
    query = query.on_conflict_do_update(index_elements=["collection_id", "digest"], set_=same)
    found: int = session.execute(query.returning(golden_queries.c.id)).scalar_one()
    return found


def _judge(session: Session, query_id: int, judged: Judged) -> None:
    rows = [
        {"query_id": query_id, "image_id": image_id, "is_relevant": is_relevant}
        for ids, is_relevant in ((judged.relevant, True), (judged.irrelevant, False))
        for image_id in dict.fromkeys(ids)
    ]
    if rows:
        query = upsert(golden_judgements)
        changed = {"is_relevant": query.excluded.is_relevant}
        keys = ["query_id", "image_id"]
        session.execute(query.on_conflict_do_update(index_elements=keys, set_=changed), rows)
    _check_number(session, query_id, judged)
    touched = update(golden_queries).where(golden_queries.c.id == query_id)
    session.execute(touched.values(updated_at=func.now()))


def _check_number(session: Session, query_id: int, judged: Judged) -> None:
    query = select(func.count()).where(golden_judgements.c.query_id == query_id)
    if session.execute(query.select_from(golden_judgements)).scalar_one() > MAX_JUDGED:
        raise rejected(judged, f"at most {MAX_JUDGED} pictures can be judged for one query.")


def replace_judgements(
    session: Session,
    collection_id: int,
    query_id: int,
    relevant: Sequence[int],
    irrelevant: Sequence[int],
) -> GoldenQuery:
    """Put these judgements in the place of the query's. As `add`; raises GoldenQueryNotFound."""
    known = get(session, collection_id, query_id)
    judged = replace(_as_judged(known), relevant=relevant, irrelevant=irrelevant)
    check(judged)
    _check_present(session, collection_id, judged)
    session.execute(delete(golden_judgements).where(golden_judgements.c.query_id == query_id))
    _judge(session, query_id, judged)
    return get(session, collection_id, query_id)


def _as_judged(known: GoldenQuery) -> Judged:
    return Judged(known.text, known.image_id, known.relevant, known.irrelevant, known.origin)


def remove(session: Session, collection_id: int, query_id: int) -> None:
    """Delete a query with its judgements. Raises GoldenQueryNotFound."""
    get(session, collection_id, query_id)
    session.execute(delete(golden_queries).where(golden_queries.c.id == query_id))


def get(session: Session, collection_id: int, query_id: int) -> GoldenQuery:
    """One query of a collection. Raises GoldenQueryNotFound."""
    query = _selected(collection_id).where(golden_queries.c.id == query_id)
    row = session.execute(query).mappings().one_or_none()
    if row is None:
        raise GoldenQueryNotFound(f"This collection has no golden query {query_id}.")
    return GoldenQuery(**row)


def page(session: Session, collection_id: int, after: int, limit: int) -> list[GoldenQuery]:
    """Queries in order of id, from above `after` on; without those whose own picture is away."""
    query = _selected(collection_id).where(golden_queries.c.id > after)
    own = exists().where(images.c.id == golden_queries.c.image_id, present_in(collection_id))
    query = query.where(or_(golden_queries.c.image_id.is_(None), own))
    rows = session.execute(query.order_by(golden_queries.c.id).limit(limit)).mappings()
    return [GoldenQuery(**row) for row in rows]


def count(session: Session, collection_id: int) -> int:
    """How many queries a collection has."""
    query = select(func.count()).where(golden_queries.c.collection_id == collection_id)
    return session.execute(query.select_from(golden_queries)).scalar_one()


def _selected(collection_id: int) -> Select[Any]:
    names = ("id", "text", "image_id", "origin", "created_at", "updated_at")
    return select(
        *(golden_queries.c[name] for name in names),
        _judged_ids(collection_id, is_relevant=True).label("relevant"),
        _judged_ids(collection_id, is_relevant=False).label("irrelevant"),
    ).where(golden_queries.c.collection_id == collection_id)


def _judged_ids(collection_id: int, *, is_relevant: bool) -> ColumnElement[Any]:
    ids = (
        select(images.c.id)
        .join(golden_judgements, golden_judgements.c.image_id == images.c.id)
        .where(golden_judgements.c.query_id == golden_queries.c.id, present_in(collection_id))
        .where(
            golden_judgements.c.is_relevant == literal_column("true" if is_relevant else "false")
        )
        .order_by(images.c.id)
        .correlate(golden_queries)
    )
    return func.array(ids.scalar_subquery(), type_=ARRAY(BigInteger))
