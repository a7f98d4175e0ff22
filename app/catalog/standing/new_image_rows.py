"""SQL on pictures that standing searches are yet to be compared with.

A picture is noted in the transaction that adds it or gives it new content, so none is forgotten
whichever process adds it; it is taken in the transaction that writes its matches, so none is
compared twice. Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, exists, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.standing_tables import standing_new_images, standing_searches
from app.database.tables import PRESENT, VectorIndex, embeddings, images
from app.index.hnsw_search import any_of

DAYS_WAITING = 30  # that a picture without a vector is kept in mind


def note(session: Session, image_ids: Sequence[int]) -> None:
    """Note that pictures are new, where their collection has standing searches; held ones are not.

    A held picture is noted once it is approved.
    """
    if not image_ids:
        return
    is_searched = exists().where(standing_searches.c.collection_id == images.c.collection_id)
    new = select(images.c.id).where(images.c.id == any_of(image_ids), PRESENT, is_searched)
    query = upsert(standing_new_images).from_select(["image_id"], new.order_by(images.c.id))
    again = query.on_conflict_do_update(
        index_elements=["image_id"], set_={"added_at": query.excluded.added_at}
    )
    session.execute(again)


def waiting_collections(session: Session) -> list[int]:
    """The ids of the collections that have new pictures."""
    query = select(images.c.collection_id).distinct().join_from(standing_new_images, images)
    return list(session.execute(query.where(PRESENT)).scalars())


def take(session: Session, index: VectorIndex, limit: int) -> dict[int, datetime]:
    """Take new pictures that have a vector in `index`: when each was added, by id, lowest first.

    They are locked against deletion before their notes are: whoever deletes a picture has the same
    order. Those that somebody else is working on are left for later.
    """
    has_vector = exists().where(
        embeddings.c.index_id == index.id, embeddings.c.image_id == images.c.id
    )
    query = select(images.c.id).join_from(standing_new_images, images)
    query = query.where(images.c.collection_id == index.collection_id, PRESENT, has_vector)
    query = query.order_by(images.c.id).limit(limit)
    locked = query.with_for_update(of=images, read=True, key_share=True, skip_locked=True)
    ids = list(session.execute(locked).scalars())
    if not ids:
        return {}
    free = select(standing_new_images.c.image_id).where(
        standing_new_images.c.image_id == any_of(ids)
    )
    chosen = free.with_for_update(skip_locked=True).cte("free")
    columns = (standing_new_images.c.image_id, standing_new_images.c.added_at)
    taken = delete(standing_new_images).where(standing_new_images.c.image_id.in_(select(chosen)))
    return dict(sorted(session.execute(taken.returning(*columns)).tuples()))


def purge(session: Session) -> None:
    """Forget pictures that got no vector for DAYS_WAITING days."""
    old = func.now() - text(f"interval '{DAYS_WAITING} days'")
    session.execute(delete(standing_new_images).where(standing_new_images.c.added_at < old))
