"""SQL on the deletion of pictures, at once or by a tombstone.

Every function takes a Session and leaves the transaction to its caller. Vectors go with their
pictures, by their foreign keys.
"""

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from app.catalog import KnownFile, get_images, lock_content
from app.tables import PRESENT, Image, images

Place = TypeVar("Place", KnownFile, Image)
"""A picture's id and where it is known to lie."""


def remove(
    session: Session, image_ids: Sequence[int], collection_id: int | None = None
) -> list[Image]:
    """Delete those of the pictures that are there; returns what they were."""
    found = get_images(session, image_ids)
    for content_hash in sorted({image.content_hash for image in found.values()}):
        lock_content(session, content_hash)  # in one order: two deletions never wait in a circle
    query = delete(images).where(images.c.id.in_(found), PRESENT)
    if collection_id is not None:
        query = query.where(images.c.collection_id == collection_id)
    removed = session.execute(query.returning(images.c.id)).scalars()
    return [found[image_id] for image_id in removed]


def bury(session: Session, known: Sequence[Place]) -> list[Place]:
    """Set tombstones: the pictures are in no answer from now on, whatever their deletion takes.

    Returns those that were still where they are known to be: others were moved meanwhile.
    """
    places = [(one.id, one.path) for one in known]
    query = update(images).where(tuple_(images.c.id, images.c.path).in_(places), PRESENT)
    query = query.values(removed_at=func.now()).returning(images.c.id)
    buried = set(session.execute(query).scalars())
    return [one for one in known if one.id in buried]


def remove_buried(session: Session, limit: int) -> list[bytes]:
    """Delete up to `limit` pictures that have a tombstone; returns their content hashes."""
    chosen = select(images.c.id).where(~PRESENT).order_by(images.c.id).limit(limit)
    query = delete(images).where(images.c.id.in_(chosen.with_for_update(skip_locked=True)))
    return list(session.execute(query.returning(images.c.content_hash)).scalars())
