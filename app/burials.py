"""The deletion of whole collections.

A tombstone first: the collection is in no answer any more, and its name is free. Then go its jobs,
its indexes, its files and its rows, each in a transaction that can be begun again: what a crash or
a long reader of the tables leaves is deleted later.
"""

import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import catalog, collections, fields, indexes
from app.db import Sessions, patiently
from app.errors import CollectionNotFound
from app.gallery import remove_thumbnails
from app.storage import Disk
from app.tables import Collection

log = logging.getLogger(__name__)

FOLDER = "collection-"  # with its id: a collection's uploads, below the default one's

Step = Callable[[Session, Collection], object]


def disk_of(uploads: Disk, collection: Collection) -> Disk:
    """Where its uploads are kept: each collection but the default one has a folder."""
    if (collection.namespace, collection.name) == collections.DEFAULT:
        return uploads
    return Disk(uploads.folder / f"{FOLDER}{collection.id}")


def disks(uploads: Disk) -> list[Disk]:
    """The default collection's, those of the others, and what is left of deleted ones'."""
    return [uploads, *(Disk(folder) for folder in sorted(uploads.folder.glob(f"{FOLDER}*")))]


@dataclass(frozen=True)
class Burials:
    """Deletes collections. `uploads` is where the default one's are kept."""

    sessions: Sessions
    uploads: Disk
    incoming: Disk
    thumbnails: Disk

    def bury(self, collection: Collection) -> None:
        """Set the tombstone. Raises CollectionNotFound where somebody else was faster."""
        with self.sessions.begin() as session:
            collections.bury(session, collection)

    def clear(self, collection_id: int) -> None:
        """Delete what the tombstone has left, or leave it to `finish` where others hold it up."""
        try:
            self._clear(collection_id)
        except OperationalError as error:
            log.warning("the rest of collection %s is deleted later: %s", collection_id, error.orig)

    def finish(self) -> None:
        """Delete what is left of collections that have a tombstone."""
        with self.sessions.begin() as session:
            left = [collection.id for collection in collections.buried(session)]
        for collection_id in left:
            self.clear(collection_id)

    def clear_late(self, collection: Collection) -> None:
        """Delete what was still uploaded into it after its deletion, if it was deleted."""
        try:
            with self.sessions.begin() as session:
                collections.get_by_id(session, collection.id)
        except CollectionNotFound:
            self._remove_folder(collection)

    def _clear(self, collection_id: int) -> None:
        steps: tuple[Step, ...] = (
            collections.end_jobs,
            self._remove_jobs,
            _remove_indexes,
            _remove_fields,
            self._remove_files,
            self._remove_rows,
        )
        for step in steps:
            if not patiently(self.sessions, partial(_done, collection_id=collection_id, step=step)):
                return

    def _remove_jobs(self, session: Session, collection: Collection) -> None:
        """What is under way with them ends, and finds that there is nothing to write."""
        for name in collections.remove_jobs(session, collection):
            self.incoming.remove(name)

    def _remove_files(self, session: Session, collection: Collection) -> None:
        for content_hash in catalog.content_hashes(session, collection.id):
            remove_thumbnails(self.thumbnails, content_hash)
        self._remove_folder(collection)

    def _remove_rows(self, session: Session, collection: Collection) -> None:
        collections.keep_out(session, collection)
        self._remove_jobs(session, collection)  # those that were made since
        collections.remove(session, collection)

    def _remove_folder(self, collection: Collection) -> None:
        folder = disk_of(self.uploads, collection).folder
        if folder != self.uploads.folder:
            shutil.rmtree(folder, ignore_errors=True)


def _done(session: Session, collection_id: int, step: Step) -> bool:
    """Do a step of the deletion; False where another process is at it, or it is over."""
    found = collections.buried(session, collection_id)
    for collection in found:
        step(session, collection)
    return bool(found)


def _remove_indexes(session: Session, collection: Collection) -> None:
    indexes.drop_all(session, collection.id)


def _remove_fields(session: Session, collection: Collection) -> None:
    drop_field_indexes(session, collection, collection.fields)


def drop_field_indexes(session: Session, collection: Collection, names: Iterable[str]) -> None:
    """Drop the indexes of declared fields."""
    for name in names:
        index = fields.index_name(collection.id, name)
        session.execute(text(f'DROP INDEX IF EXISTS "{index}"'))
