"""Deletes whole collections.

First a tombstone is set: the collection disappears from all responses, and its name is free. Then
its jobs, indexes, files and rows are deleted in transactions that can be repeated: what is left by
a crash, or by a long-running reader, is deleted later.
"""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.filters import fields
from app.catalog.images import image_deletion, image_rows
from app.catalog.images.image_removal import remove_thumbnails
from app.database.connections import Sessions
from app.database.locks import retry_on_lock
from app.database.tables import Collection
from app.errors import CollectionNotFound
from app.index import generations
from app.storage.disk import Disk, Stores

log = logging.getLogger(__name__)

DELETE_BATCH = 2_000  # pictures in one transaction
FOLDER = "collection-"  # and the id: a collection's uploads, in the folder of the default one

Step = Callable[[Session, Collection], object]


def uploads_disk(uploads: Disk, collection: Collection) -> Disk:
    """Where its uploads are stored: every collection but the default one has its own folder."""
    if (collection.namespace, collection.name) == collections.DEFAULT:
        return uploads
    return uploads.below(_folder(collection.id))


def _folder(collection_id: int) -> str:
    return f"{FOLDER}{collection_id}"


def is_upload_of(collection: Collection, name: str) -> bool:
    """Whether the file of that name below the folder of uploads is one of the collection's."""
    if (collection.namespace, collection.name) == collections.DEFAULT:
        return not name.startswith(FOLDER)
    return name.startswith(f"{FOLDER}{collection.id}/")


def upload_disks(uploads: Disk) -> list[Disk]:
    """All upload folders, including those left behind by deleted collections."""
    names = sorted(folder.name for folder in uploads.folder.glob(f"{FOLDER}*"))
    return [uploads, *map(uploads.below, names)]


@dataclass(frozen=True)
class CollectionDeletion:
    """Deletes collections with everything that belongs to them."""

    sessions: Sessions
    stores: Stores

    def mark_deleted(self, collection: Collection) -> None:
        """Set the tombstone. Raises CollectionNotFound if another request was faster."""
        with self.sessions.begin() as session:
            collections.mark_deleted(session, collection)

    def clear(self, collection_id: int) -> None:
        """Delete everything behind a tombstone, or leave it to `finish` if locks are in the way."""
        try:
            self._clear(collection_id)
        except OperationalError as error:
            log.warning(
                "the rest of collection %s will be deleted later: %s", collection_id, error.orig
            )

    def finish(self) -> None:
        """Delete what is left of all collections that have a tombstone."""
        with self.sessions.begin() as session:
            left = [collection.id for collection in collections.marked_deleted(session)]
        for collection_id in left:
            self.clear(collection_id)

    def finish_pending(self, collection: Collection) -> None:
        """Delete files that were uploaded after its deletion, if it was deleted."""
        try:
            with self.sessions.begin() as session:
                collections.get_by_id(session, collection.id)
        except CollectionNotFound:
            self._remove_folder(collection.id)

    def _clear(self, collection_id: int) -> None:
        """Vectors are dropped first, with their partitions: deleting pictures is then cheap."""
        first = (collections.cancel_jobs, self._remove_jobs, _remove_indexes, _remove_fields)
        done = all(self._run(collection_id, step) for step in first)
        if done and self._remove_pictures(collection_id):
            self._remove_folder(collection_id)
            self._run(collection_id, self._remove_collection)

    def _run(self, collection_id: int, step: Step) -> bool:
        """Run a step; False if another process is deleting the collection, or has finished."""
        return retry_on_lock(
            self.sessions, partial(_run_step, collection_id=collection_id, step=step)
        )

    def _remove_pictures(self, collection_id: int) -> bool:
        """Delete its pictures in batches; False if another process is deleting the collection.

        Thumbnails are deleted before their rows, so that a crash leaves none behind.
        """
        while batch := self._next_batch(collection_id):
            for content_hash, times in batch.values():
                remove_thumbnails(self.stores.thumbnails, content_hash, times)
            if not self._run(collection_id, partial(_remove_rows, image_ids=list(batch))):
                return False
        return True

    def _next_batch(self, collection_id: int) -> dict[int, tuple[bytes, Sequence[float]]]:
        with self.sessions.begin() as session:
            return image_rows.contents(session, collection_id, DELETE_BATCH)

    def _remove_jobs(self, session: Session, collection: Collection) -> None:
        """Running jobs notice that their rows are gone and stop."""
        for name in collections.remove_jobs(session, collection):
            self.stores.incoming.remove(name)

    def _remove_collection(self, session: Session, collection: Collection) -> None:
        collections.lock_exclusively(session, collection)
        self._remove_jobs(session, collection)  # jobs that were created in the meantime
        collections.remove(session, collection)

    def _remove_folder(self, collection_id: int) -> None:
        shutil.rmtree(self.stores.uploads.folder / _folder(collection_id), ignore_errors=True)


def _run_step(session: Session, collection_id: int, step: Step) -> bool:
    """Run a step of the deletion; False if another process runs it, or has finished."""
    found = collections.marked_deleted(session, collection_id)
    for collection in found:
        step(session, collection)
    return bool(found)


def _remove_indexes(session: Session, collection: Collection) -> None:
    generations.drop_all(session, collection.id)


def _remove_fields(session: Session, collection: Collection) -> None:
    drop_field_indexes(session, collection.id, {})


def _remove_rows(session: Session, collection: Collection, image_ids: Sequence[int]) -> None:
    image_deletion.remove_rows(session, image_ids)


FIELD_INDEXES = text(
    "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() "
    "AND tablename = 'images' AND starts_with(indexname, :prefix)"
)


def drop_field_indexes(session: Session, collection_id: int, kept: Mapping[str, str]) -> None:
    """Drop the indexes of a collection's fields except those in `kept`, in one statement.

    It locks `images` exclusively. The existing indexes are read from Postgres, so that leftovers
    of an earlier failed change are dropped, too.
    """
    prefix = fields.index_name(collection_id, "", "").removesuffix("_")
    there = session.execute(FIELD_INDEXES, {"prefix": prefix})
    names = {fields.index_name(collection_id, name, kind) for name, kind in kept.items()}
    dropped = ", ".join(f'"{name}"' for name in sorted(set(there.scalars()) - names))
    if dropped:
        session.execute(text(f"DROP INDEX IF EXISTS {dropped}"))
