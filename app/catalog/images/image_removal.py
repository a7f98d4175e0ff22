"""What rows of deleted pictures leave behind: uploaded files and thumbnails."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from app.catalog.images import image_deletion, image_rows
from app.database.connections import Sessions
from app.database.tables import Image
from app.pictures.thumbnails import THUMBNAIL_SIDES, thumbnail_name
from app.storage.disk import Disk, Stores

DELETE_BATCH = 500  # pictures in one transaction, with their vectors


def remove_files(sessions: Sessions, stores: Stores, removed: Sequence[Image]) -> None:
    """Delete what former rows leave behind: thumbnails, and files in this process's store.

    A crash before this leaves a file, never a row without one.
    """
    for image in removed:
        for path in filter(None, (image.stored_path, image.upload_copy)):
            location = stores.uploads.location(path)
            if location is not None:
                _remove_upload(sessions, stores.uploads, image, location)
        remove_thumbnails(stores.thumbnails, image.content_hash, image.frame_times or ())


def _remove_upload(sessions: Sessions, uploads: Disk, image: Image, location: Path) -> None:
    """The lock keeps out a concurrent upload of the same bytes, which would reuse the file."""
    with sessions.begin() as session:
        image_rows.lock_content(session, image.content_hash)
        if not image_rows.has_content(session, image.collection_id, image.content_hash):
            uploads.delete(location)


def remove_thumbnails(thumbnails: Disk, content_hash: bytes, times: Sequence[float]) -> None:
    """Delete a picture's thumbnails of all sizes, by name: the folder is too large to search.

    Of a video there are some of the frames at `times` too, in seconds.
    """
    for side, seconds in product(THUMBNAIL_SIDES, (None, *times[1:])):
        thumbnails.delete(thumbnails.path(thumbnail_name(content_hash, side, seconds)))


def delete_marked(sessions: Sessions, stores: Stores) -> None:
    """Delete every picture whose tombstone has expired, with its vectors, thumbnails and upload."""
    while True:
        with sessions.begin() as session:
            removed = image_deletion.remove_marked(session, DELETE_BATCH)
        remove_files(sessions, stores, removed)
        if not removed:
            return
