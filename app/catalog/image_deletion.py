"""SQL on the deletion of pictures, at once or by a tombstone.

Every function takes a Session and leaves the transaction to its caller. Vectors go with their
pictures, by their foreign keys.
"""

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import ColumnElement, delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from app.catalog.image_rows import KnownFile, get_images, lock_content
from app.database.tables import IMAGE_COLUMNS, PRESENT, Image, images

Place = TypeVar("Place", KnownFile, Image)
"""A picture's id and where it is known to lie."""


def matching(session: Session, condition: ColumnElement[bool], after: int, limit: int) -> list[int]:
    """The ids, ascending, of up to `limit` pictures for which it holds, from `after` on."""
    query = select(images.c.id).where(images.c.id > after, PRESENT, condition)
    return list(session.execute(query.order_by(images.c.id).limit(limit)).scalars())


def remove(
    session: Session, image_ids: Sequence[int], *conditions: ColumnElement[bool]
) -> list[Image]:
    """Delete those of the pictures that are there and for which the conditions hold still.

    Returns what they were.
    """
    found = get_images(session, image_ids)
    lock_content(session, *(image.content_hash for image in found.values()))
    query = delete(images).where(images.c.id.in_(found), PRESENT, *conditions)
    return [Image.of(row) for row in session.execute(query.returning(*IMAGE_COLUMNS)).mappings()]


def remove_rows(session: Session, image_ids: Sequence[int]) -> None:
    """Delete the rows of pictures, whatever they are."""
    session.execute(delete(images).where(images.c.id.in_(image_ids)))


def mark_deleted(session: Session, known: Sequence[Place]) -> list[Place]:
    """Set tombstones: the pictures are in no answer from now on, whatever their deletion takes.

    Returns those that were still where they are known to be: others were moved meanwhile.
    """
    places = [(one.id, one.stored_path if isinstance(one, Image) else one.path) for one in known]
    query = update(images).where(tuple_(images.c.id, images.c.path).in_(places), PRESENT)
    query = query.values(removed_at=func.now()).returning(images.c.id)
    buried = set(session.execute(query).scalars())
    return [one for one in known if one.id in buried]


def remove_marked(session: Session, limit: int) -> list[bytes]:
    """Delete up to `limit` pictures that have a tombstone; returns their content hashes."""
    chosen = select(images.c.id).where(~PRESENT).order_by(images.c.id).limit(limit)
    query = delete(images).where(images.c.id.in_(chosen.with_for_update(skip_locked=True)))
    return list(session.execute(query.returning(images.c.content_hash)).scalars())
