"""The deletion of whole collections.

A tombstone first: the collection is in no answer any more, and its name is free. Then go its jobs,
its indexes, its files and its rows, in transactions that can be begun again: what a crash or a long
reader of the tables leaves is deleted later.
"""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.catalog import collections, fields, image_deletion, image_rows
from app.catalog.gallery import remove_thumbnails
from app.database.connections import Sessions, retry_on_lock
from app.database.tables import Collection
from app.errors import CollectionNotFound
from app.index import vector_indexes
from app.storage.disk import Disk, Stores

log = logging.getLogger(__name__)

REMOVED_AT_ONCE = 2_000  # pictures in one transaction
FOLDER = "collection-"  # with its id: a collection's uploads, below the default one's

Step = Callable[[Session, Collection], object]


def disk_of(uploads: Disk, collection: Collection) -> Disk:
    """Where its uploads are kept: each collection but the default one has a folder."""
    if (collection.namespace, collection.name) == collections.DEFAULT:
        return uploads
    return Disk(_folder(uploads, collection.id))


def _folder(uploads: Disk, collection_id: int) -> Path:
    return uploads.folder / f"{FOLDER}{collection_id}"


def disks(uploads: Disk) -> list[Disk]:
    """The default collection's, those of the others, and what is left of deleted ones'."""
    return [uploads, *(Disk(folder) for folder in sorted(uploads.folder.glob(f"{FOLDER}*")))]


@dataclass(frozen=True)
class CollectionDeletion:
    """Deletes collections with all that belongs to them."""

    sessions: Sessions
    stores: Stores

    def mark_deleted(self, collection: Collection) -> None:
        """Set the tombstone. Raises CollectionNotFound where somebody else was faster."""
        with self.sessions.begin() as session:
            collections.mark_deleted(session, collection)

    def clear(self, collection_id: int) -> None:
        """Delete what the tombstone has left, or leave it to `finish` where others hold it up."""
        try:
            self._clear(collection_id)
        except OperationalError as error:
            log.warning("the rest of collection %s is deleted later: %s", collection_id, error.orig)

    def finish(self) -> None:
        """Delete what is left of collections that have a tombstone."""
        with self.sessions.begin() as session:
            left = [collection.id for collection in collections.marked_deleted(session)]
        for collection_id in left:
            self.clear(collection_id)

    def finish_pending(self, collection: Collection) -> None:
        """Delete what was still uploaded into it after its deletion, if it was deleted."""
        try:
            with self.sessions.begin() as session:
                collections.get_by_id(session, collection.id)
        except CollectionNotFound:
            self._remove_folder(collection.id)

    def _clear(self, collection_id: int) -> None:
        """The vectors go in one go with their partitions, so that few rows refer to pictures."""
        first = (collections.end_jobs, self._remove_jobs, _remove_indexes, _remove_fields)
        done = all(self._do(collection_id, step) for step in first)
        if done and self._remove_pictures(collection_id):
            self._remove_folder(collection_id)
            self._do(collection_id, self._remove_rest)

    def _do(self, collection_id: int, step: Step) -> bool:
        """Whether the step was done: not where another process is at it, or it is over."""
        return retry_on_lock(self.sessions, partial(_done, collection_id=collection_id, step=step))

    def _remove_pictures(self, collection_id: int) -> bool:
        """Delete its pictures, some at a time; False where another process is at it.

        Thumbnails go before their rows, so that a crash leaves none, and outside of transactions.
        """
        while some := self._some_pictures(collection_id):
            for content_hash in set(some.values()):
                remove_thumbnails(self.stores.thumbnails, content_hash)
            if not self._do(collection_id, partial(_remove_rows, image_ids=list(some))):
                return False
        return True

    def _some_pictures(self, collection_id: int) -> dict[int, bytes]:
        with self.sessions.begin() as session:
            return image_rows.contents(session, collection_id, REMOVED_AT_ONCE)

    def _remove_jobs(self, session: Session, collection: Collection) -> None:
        """What is under way with them ends, and finds that there is nothing to write."""
        for name in collections.remove_jobs(session, collection):
            self.stores.incoming.remove(name)

    def _remove_rest(self, session: Session, collection: Collection) -> None:
        collections.keep_out(session, collection)
        self._remove_jobs(session, collection)  # those that were made since
        collections.remove(session, collection)

    def _remove_folder(self, collection_id: int) -> None:
        shutil.rmtree(_folder(self.stores.uploads, collection_id), ignore_errors=True)


def _done(session: Session, collection_id: int, step: Step) -> bool:
    """Do a step of the deletion; False where another process is at it, or it is over."""
    found = collections.marked_deleted(session, collection_id)
    for collection in found:
        step(session, collection)
    return bool(found)


def _remove_indexes(session: Session, collection: Collection) -> None:
    vector_indexes.drop_all(session, collection.id)


def _remove_fields(session: Session, collection: Collection) -> None:
    drop_field_indexes(session, collection.id, {})


def _remove_rows(session: Session, collection: Collection, image_ids: Sequence[int]) -> None:
    image_deletion.remove_rows(session, image_ids)


FIELD_INDEXES = text(
    "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() "
    "AND tablename = 'images' AND starts_with(indexname, :prefix)"
)


def drop_field_indexes(session: Session, collection_id: int, kept: Mapping[str, str]) -> None:
    """Drop the indexes of a collection's fields but for those that are `kept`, all in one go.

    Every statement on `images` waits meanwhile. What is there is asked of Postgres, so that what
    an earlier change could not drop goes too.
    """
    prefix = fields.index_name(collection_id, "", "").removesuffix("_")
    there = session.execute(FIELD_INDEXES, {"prefix": prefix})
    names = {fields.index_name(collection_id, name, kind) for name, kind in kept.items()}
    dropped = ", ".join(f'"{name}"' for name in sorted(set(there.scalars()) - names))
    if dropped:
        session.execute(text(f"DROP INDEX IF EXISTS {dropped}"))
