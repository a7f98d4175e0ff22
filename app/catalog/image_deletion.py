"""SQL that deletes pictures, immediately or by tombstone.

Every function takes a Session and leaves the transaction to its caller. Vectors are deleted by
cascade.
"""

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import ColumnElement, delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from app.catalog import skipped_files, upload_copies
from app.catalog.image_rows import KnownFile, get_images, lock_content
from app.catalog.skipped_files import SkippedFile
from app.database.tables import IMAGE_COLUMNS, PRESENT, Image, images
from app.storage.disk import STORE_SCHEME

Located = TypeVar("Located", KnownFile, Image)
"""A picture's id and last known path."""


def ids_matching(
    session: Session, condition: ColumnElement[bool], after: int, limit: int
) -> list[int]:
    """Up to `limit` ids of pictures that satisfy the condition, ascending, greater than `after`."""
    query = select(images.c.id).where(images.c.id > after, PRESENT, condition)
    return list(session.execute(query.order_by(images.c.id).limit(limit)).scalars())


def remove(
    session: Session, image_ids: Sequence[int], *conditions: ColumnElement[bool]
) -> list[Image]:
    """Delete those of the pictures that exist and still satisfy the conditions.

    Their files in folders and buckets stay, and are recorded so that the next listing does not
    index them again. Returns the former rows.
    """
    found = get_images(session, image_ids)
    lock_content(session, *(image.content_hash for image in found.values()))
    query = delete(images).where(images.c.id.in_(found), PRESENT, *conditions)
    rows = session.execute(query.returning(*IMAGE_COLUMNS, images.c.etag)).mappings().all()
    removed = [Image.of(row) for row in rows]
    for collection_id in sorted({image.collection_id for image in removed}):
        stay = [
            SkippedFile(image.stored_path, row["etag"], image.content_hash)
            for image, row in zip(removed, rows, strict=True)
            if image.collection_id == collection_id
            and not image.stored_path.startswith(STORE_SCHEME)
        ]
        skipped_files.put(session, collection_id, stay)
    return removed


def remove_rows(session: Session, image_ids: Sequence[int]) -> None:
    """Delete the rows of pictures, tombstones included."""
    session.execute(delete(images).where(images.c.id.in_(image_ids)))


def mark_deleted(session: Session, known: Sequence[Located]) -> list[Located]:
    """Set tombstones, so that the pictures disappear immediately, however long deletion takes.

    Returns those still at their known path; others have moved in the meantime. Of a picture that
    was uploaded too, the upload stays.
    """
    upload_copies.fall_back(session, [one.id for one in known])
    locations = [(one.id, one.stored_path if isinstance(one, Image) else one.path) for one in known]
    query = update(images).where(tuple_(images.c.id, images.c.path).in_(locations), PRESENT)
    query = query.values(removed_at=func.now()).returning(images.c.id)
    marked = set(session.execute(query).scalars())
    return [one for one in known if one.id in marked]


def remove_marked(session: Session, limit: int) -> list[bytes]:
    """Delete up to `limit` pictures that have a tombstone; returns their content hashes."""
    chosen = select(images.c.id).where(~PRESENT).order_by(images.c.id).limit(limit)
    query = delete(images).where(images.c.id.in_(chosen.with_for_update(skip_locked=True)))
    return list(session.execute(query.returning(images.c.content_hash)).scalars())
