"""Brings a dataset into a collection, with its vectors, so that no model has to run.

All of it is read and checked first, then written in one transaction: whole or not at all.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.collections import NewCollection
from app.catalog.filters import field_names
from app.catalog.images import image_rows
from app.database.connections import Sessions
from app.database.tables import Collection, VectorIndex
from app.errors import CollectionNotFound, DatabaseUnusable, DatasetRejected, ModelMismatch
from app.index import vector_indexes
from app.index.graph_rebuild import build_graph
from app.index.vector_indexes import Shape
from app.runtime import collection_changes
from app.runtime.dataset.checking import check_batch
from app.runtime.dataset.file_kinds import files_of
from app.runtime.dataset.loading import WRITERS, Loading
from app.runtime.dataset.manifest import Manifest, read_manifest
from app.runtime.dataset.tables import IMAGES, TABLES, Batch, DataTable
from app.vectors import VectorSpace

Progress = Callable[[int, int], object]
"""Told how many pictures are done, and how many there are."""


@dataclass(frozen=True)
class Dataset:
    """What is imported: how many rows each table has, and how they are read, as often as asked."""

    rows: Mapping[str, int]
    read: Callable[[DataTable], Iterator[Batch]]

    def check(self, space: VectorSpace) -> None:
        """Read all of it. Raises DatasetRejected, naming what cannot be imported."""
        for table in self.tables:
            count = 0
            for batch in self.read(table):
                check_batch(table, batch, space, count + 1)
                count += len(batch.rows)
            if count != self.rows[table.name]:
                raise DatasetRejected(
                    f"{table.name}: there are {count} rows, and {self.rows[table.name]} were "
                    "written: the dataset is damaged."
                )

    @property
    def tables(self) -> list[DataTable]:
        """Those that it has."""
        return [table for table in TABLES if self.rows.get(table.name)]


@dataclass(frozen=True)
class Target:
    """The collection that pictures go to; one `is_new` goes again if nothing could be imported."""

    collection: Collection
    index: VectorIndex
    is_new: bool = False


def import_dataset(
    sessions: Sessions, names: tuple[str, str], folder: Path, progress: Progress
) -> Loading:
    """Bring an exported dataset into the collection of that namespace and name.

    A collection that is missing is made as the exported one was; one without pictures takes its
    fields, language and pages. Raises DatasetRejected, also where the vectors are of another model
    than the collection's, and then nothing was imported.
    """
    manifest = read_manifest(folder)
    files, space = files_of(manifest.files), manifest.model.space
    dataset = Dataset(
        manifest.rows, lambda table: files.read(folder, table, manifest.model.dimensions)
    )
    field_names.check_declared(manifest.fields)
    dataset.check(space)
    target = _open_target(sessions, names, manifest)
    return load(sessions, target, dataset, progress)


def load(sessions: Sessions, target: Target, dataset: Dataset, progress: Progress) -> Loading:
    """Write what was checked, then build the graph. Raises DatasetRejected, IndexGone."""
    try:
        loading = _load(sessions, target, dataset, progress)
    except BaseException as error:
        if target.is_new:
            with sessions.begin() as session:
                collections.mark_deleted(session, target.collection)
        if isinstance(error, psycopg.DataError):
            told = str(error).splitlines()[0]
            raise DatasetRejected(f"Postgres refuses a row: {told}.") from error
        if isinstance(error, psycopg.OperationalError):  # of a COPY: SQLAlchemy does not see it
            raise DatabaseUnusable(f"Postgres failed: {error}") from error
        raise
    build_graph(sessions, target.index)
    with sessions.begin() as session:
        session.execute(text("ANALYZE images"))
    return loading


def _load(sessions: Sessions, target: Target, dataset: Dataset, progress: Progress) -> Loading:
    with sessions.begin() as session:
        vector_indexes.drop_hnsw_if_empty(session, target.index)
    with sessions.begin() as session:
        vector_indexes.require_active(session, target.index)
        loading = Loading(
            session, collections.get_by_id(session, target.collection.id), target.index
        )
        loading.begin()
        done = 0
        for table in dataset.tables:
            for batch in dataset.read(table):
                WRITERS[table.name](loading, batch)
                if table is IMAGES:
                    done += len(batch.rows)
                    progress(done, dataset.rows[IMAGES.name])
    return loading


def _open_target(sessions: Sessions, names: tuple[str, str], manifest: Manifest) -> Target:
    with sessions.begin() as session:
        try:
            collection, is_new = collections.get(session, *names), False
        except CollectionNotFound:
            new = NewCollection(*names, manifest.language, manifest.fields, manifest.pages)
            collection, is_new = collections.create(session, new), True
            collection_changes.index_fields(session, collection, manifest.fields)
        index = _open_index(session, collection, manifest)
        is_empty = not is_new and image_rows.count_images(session, collection.id) == 0
    if is_empty:
        adopted = (manifest.language, manifest.fields, manifest.pages)
        collection_changes.change(sessions, collection.id, *adopted)
    return Target(collection, index, is_new)


def _open_index(session: Session, collection: Collection, manifest: Manifest) -> VectorIndex:
    space = manifest.model.space
    vector_indexes.lock(session, f"collection {collection.id}")
    if not vector_indexes.active_indexes(session, [collection.id]):
        shape = Shape(manifest.storage)
        return vector_indexes.create_index(session, collection.id, space, shape)
    try:
        return vector_indexes.open_index(session, collection.id, space)
    except ModelMismatch as error:
        there = vector_indexes.active_index(session, collection.id).space
        raise DatasetRejected(
            f"The vectors are of {space.name} (fingerprint {space.fingerprint[:12]}), and those of "
            f"the collection {collection.name} of {there.name} ({there.fingerprint[:12]}): they "
            "cannot be compared. Import into another collection."
        ) from error
