"""SQL on pictures that standing searches are yet to be compared with.

A picture is noted in the transaction that adds it or gives it new content, so none is forgotten
whichever process adds it; it is taken in the transaction that writes its matches, so none is
compared twice. Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Select,
    UpdateBase,
    any_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    literal,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.catalog.standing import standing_search_rows
from app.catalog.standing.standing_search_rows import State
from app.database.kept_statements import execute_kept
from app.database.locks import takes_lock
from app.database.standing_tables import standing_new_images, standing_searches
from app.database.tables import PRESENT, VectorIndex, embeddings, images
from app.index.embeddings import read_vector, sent_vector
from app.vectors import Vectors

DAYS_WAITING = 30  # that a picture without a vector is kept in mind


@dataclass(frozen=True)
class Taken:
    """New pictures, lowest id first, with all that is asked about them in one statement.

    `vectors` are float32 (dimensions,), those of whole pictures; `state` is that of the
    collection's standing searches.
    """

    added_at: Mapping[int, datetime]
    vectors: Mapping[int, Vectors]
    state: State


def _note() -> UpdateBase:
    is_searched = exists().where(standing_searches.c.collection_id == images.c.collection_id)
    is_new = images.c.id == any_(cast(bindparam("image_ids"), ARRAY(BigInteger)))
    new = select(images.c.id).where(is_new, PRESENT, is_searched).order_by(images.c.id)
    query = upsert(standing_new_images).from_select(["image_id"], new)
    return query.on_conflict_do_update(
        index_elements=["image_id"], set_={"added_at": query.excluded.added_at}
    )


@cache
def _take(column: str) -> UpdateBase:
    """The planner knows little of a table that is nearly always empty.

    Left to itself it joins the notes with all images. A subquery that locks is evaluated for each.
    """
    note = standing_new_images.c.image_id
    of_index = embeddings.c.index_id == bindparam("index_id")
    is_whole = embeddings.c.region == 0
    has_vector = exists().where(of_index, embeddings.c.image_id == images.c.id, is_whole)
    vector = select(sent_vector(column)).where(of_index, embeddings.c.image_id == note, is_whole)
    here = images.c.collection_id == bindparam("collection_id")
    image = select(literal(1)).where(images.c.id == note, here, PRESENT, has_vector)
    locked = image.with_for_update(read=True, key_share=True, skip_locked=True).lateral("locked")
    query = select(note).join_from(standing_new_images, locked, true())
    # Asked once, before any row is read: nothing is locked while another worker is at it.
    query = query.where(select(takes_lock(bindparam("lock"))).scalar_subquery())
    held = query.order_by(note).limit(bindparam("limit")).cte("held")
    again = standing_new_images.alias()
    free = select(again.c.image_id).where(again.c.image_id.in_(select(held)))
    chosen = free.with_for_update(skip_locked=True).cte("free")
    taken = delete(standing_new_images).where(note.in_(select(chosen)))
    return taken.returning(
        note,
        standing_new_images.c.added_at,
        vector.correlate(standing_new_images).scalar_subquery(),
        standing_search_rows.STATE.scalar_subquery(),
    )


def _waiting() -> Select[tuple[int | None]]:
    """Looked up for each note, as above."""
    here = images.c.id == standing_new_images.c.image_id
    of_note = select(images.c.collection_id).where(here, PRESENT).correlate(standing_new_images)
    return select(of_note.scalar_subquery()).select_from(standing_new_images).distinct()


_NOTE, _WAITING = _note(), _waiting()


def note(session: Session, image_ids: Sequence[int]) -> None:
    """Note that pictures are new, where their collection has standing searches; held ones are not.

    A held picture is noted once it is approved.
    """
    if image_ids:
        execute_kept(session, _NOTE, {"image_ids": list(image_ids)})


def waiting_collections(session: Session) -> list[int]:
    """The ids of the collections that have new pictures."""
    return [one for one in session.execute(_WAITING).scalars() if one is not None]


def take(session: Session, index: VectorIndex, limit: int) -> Taken | None:
    """Take new pictures that have a vector in `index`; None where there are none.

    Nor are there any while another worker has taken some, until its transaction ends. They are
    locked against deletion before their notes are: whoever deletes a picture has the same order.
    Those that somebody else is working on are left for later.
    """
    column = index.column.name
    values = {
        "lock": f"standing matches {index.collection_id}",
        "collection_id": index.collection_id,
        "index_id": index.id,
        "limit": limit,
    }
    rows = sorted(execute_kept(session, _take(column), values).tuples())
    if not rows:
        return None
    return Taken(
        {image_id: added_at for image_id, added_at, _, _ in rows},
        {image_id: read_vector(column, sent) for image_id, _, sent, _ in rows},
        State(*rows[0][-1]),
    )


def purge(session: Session) -> None:
    """Forget pictures that got no vector for DAYS_WAITING days."""
    old = func.now() - text(f"interval '{DAYS_WAITING} days'")
    session.execute(delete(standing_new_images).where(standing_new_images.c.added_at < old))
