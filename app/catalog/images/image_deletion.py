"""SQL that deletes pictures, immediately or by tombstone.

Every function takes a Session and leaves the transaction to its caller. Vectors are deleted by
cascade.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import ColumnElement, RowMapping, delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from app.catalog import skipped_files, upload_copies
from app.catalog.images.image_rows import KnownFile, get_images, lock_content
from app.catalog.skipped_files import SkippedFile
from app.database.tables import EXPIRED, HELD, IMAGE_COLUMNS, PRESENT, Image, images
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
    skip_files(session, rows)
    return [Image.of(row) for row in rows]


def hide(
    session: Session, image_ids: Sequence[int], collection_id: int, restorable: timedelta
) -> list[int]:
    """Set tombstones that `restore` can undo as long as `restorable`, and that are deleted then.

    Files are recorded as by `remove`. Returns the ids of those that the collection had.
    """
    found = get_images(session, image_ids)
    lock_content(session, *(image.content_hash for image in found.values()))
    query = update(images).where(
        images.c.id.in_(found), images.c.collection_id == collection_id, PRESENT
    )
    query = query.values(removed_at=func.now() + restorable)
    rows = session.execute(query.returning(*IMAGE_COLUMNS, images.c.etag)).mappings().all()
    skip_files(session, rows)
    return sorted(row["id"] for row in rows)


def restore(session: Session, image_ids: Sequence[int], collection_id: int) -> list[int]:
    """Undo `hide`; returns the ids of those whose time is not over."""
    query = update(images).where(
        images.c.id.in_(image_ids),
        images.c.collection_id == collection_id,
        ~PRESENT,
        ~EXPIRED,
        ~HELD,
    )
    query = query.values(removed_at=None).returning(images.c.id, images.c.path)
    restored = {row.id: row.path for row in session.execute(query)}
    skipped_files.forget(session, collection_id, list(restored.values()))
    return sorted(restored)


def is_upload(stored_path: str) -> bool:
    """Whether the file was uploaded, and lies in a store of ours."""
    return stored_path.startswith(STORE_SCHEME)


def skip_files(session: Session, rows: Sequence[RowMapping]) -> None:
    """Record files that stay in folders and buckets: no listing of their collection adds them.

    `rows` are of pictures, with IMAGE_COLUMNS and `etag`.
    """
    for collection_id in sorted({row["collection_id"] for row in rows}):
        stay = [
            SkippedFile(row["stored_path"], row["etag"], row["content_hash"])
            for row in rows
            if row["collection_id"] == collection_id and not is_upload(row["stored_path"])
        ]
        skipped_files.put(session, collection_id, stay)


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


def remove_marked(session: Session, limit: int) -> list[Image]:
    """Delete up to `limit` pictures whose tombstone has expired; returns the former rows."""
    chosen = select(images.c.id).where(EXPIRED).order_by(images.c.id).limit(limit)
    query = delete(images).where(images.c.id.in_(chosen.with_for_update(skip_locked=True)))
    rows = session.execute(query.returning(*IMAGE_COLUMNS)).mappings()
    return [Image.of(row) for row in rows]
