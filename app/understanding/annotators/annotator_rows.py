"""SQL on which annotators collections have on.

Every function takes a Session and leaves the transaction to its caller.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.annotation_tables import collection_annotators
from app.database.tables import collections

COLUMNS = (
    collection_annotators.c.collection_id,
    collection_annotators.c.annotator,
    collection_annotators.c.job_id,
)


@dataclass(frozen=True)
class TurnedOn:
    """An annotator that a collection has on; `job_id` is its last job."""

    collection_id: int
    annotator: str
    job_id: int | None


def turn_on(session: Session, collection_id: int, annotator: str) -> TurnedOn:
    """Turn it on, if it is not, and lock its row until the transaction ends.

    Locks the collection too: one that is being deleted gets no job. Pictures may still be added.
    """
    lock = select(collections.c.id).where(collections.c.id == collection_id)
    session.execute(lock.with_for_update(key_share=True))
    query = upsert(collection_annotators).values(collection_id=collection_id, annotator=annotator)
    session.execute(query.on_conflict_do_nothing())
    locked = select(*COLUMNS).where(_is(TurnedOn(collection_id, annotator, None)))
    return TurnedOn(*session.execute(locked.with_for_update()).one())


def turn_off(session: Session, turned_on: TurnedOn) -> None:
    """Turn it off."""
    session.execute(delete(collection_annotators).where(_is(turned_on)))


def of_collection(session: Session, collection_id: int) -> list[TurnedOn]:
    """Those of a collection, by name."""
    query = select(*COLUMNS).where(collection_annotators.c.collection_id == collection_id)
    query = query.order_by(collection_annotators.c.annotator)
    return [TurnedOn(*row) for row in session.execute(query)]


def every(session: Session) -> list[TurnedOn]:
    """Those of all collections."""
    query = select(*COLUMNS).order_by(
        collection_annotators.c.collection_id, collection_annotators.c.annotator
    )
    return [TurnedOn(*row) for row in session.execute(query)]


def lock(session: Session, turned_on: TurnedOn) -> TurnedOn | None:
    """It as it is now, locked until the transaction ends; None: it was turned off."""
    query = select(*COLUMNS).where(_is(turned_on)).with_for_update()
    row = session.execute(query).one_or_none()
    return None if row is None else TurnedOn(*row)


def is_on(session: Session, turned_on: TurnedOn) -> bool:
    """Whether it is on; it stays so until the transaction ends."""
    query = select(collection_annotators.c.annotator).where(_is(turned_on))
    return session.execute(query.with_for_update(read=True)).first() is not None


def note_job(session: Session, turned_on: TurnedOn, job_id: int) -> None:
    """Remember its last job."""
    query = update(collection_annotators).where(_is(turned_on))
    session.execute(query.values(job_id=job_id))


def _is(one: TurnedOn) -> ColumnElement[bool]:
    return and_(
        collection_annotators.c.collection_id == one.collection_id,
        collection_annotators.c.annotator == one.annotator,
    )
