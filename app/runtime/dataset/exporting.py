"""Writes a collection as a dataset, as of one moment, while people search and add.

Pictures that are deleted, and those without a vector, are left out. So are ratings of pictures that
are gone, and labels that their set has outgrown. Keys, jobs and pictures' files are in a backup.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from app import VERSION
from app.catalog import collections
from app.database.connections import Sessions
from app.database.tables import Collection, VectorIndex
from app.errors import DatasetRejected
from app.index import vector_indexes
from app.index.embeddings import count_covered
from app.runtime.dataset.exported_rows import read_table
from app.runtime.dataset.file_kinds import files_of
from app.runtime.dataset.manifest import MANIFEST, FileKind, Manifest, ModelOfVectors
from app.runtime.dataset.tables import IMAGES, TABLES, Batch
from app.storage.disk import sync_folder
from app.storage.part_folders import part_folder

Progress = Callable[[int, int], object]
"""Told how many pictures are done, and how many there are."""


def export_dataset(
    sessions: Sessions,
    names: tuple[str, str],
    folder: Path,
    kind: FileKind,
    progress: Progress,
) -> Manifest:
    """Write the collection of that namespace and name into a new or empty folder.

    Raises DatasetRejected, CollectionNotFound, IndexGone or OSError, and then leaves nothing there.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DatasetRejected(
            f"{folder} already exists and is not an empty folder: name a new one."
        )
    files = files_of(kind)
    with _whole_folder(folder) as part, sessions() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        collection = collections.get(session, *names)
        index = vector_indexes.active_index(session, collection.id)
        pictures, covered = count_covered(session, index)
        rows = {}
        for table in TABLES:
            with closing(read_table(session, index, table)) as read:
                batches = _followed(read, covered, progress) if table is IMAGES else read
                rows[table.name] = files.write(part, table, index.dimensions, batches)
        manifest = _describe(collection, index, kind, rows, pictures - rows[IMAGES.name])
        (part / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside it that takes its place once it is complete and on the disk."""
    with part_folder(folder.parent, folder.name) as part:
        yield part
        for path in part.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        part.chmod(0o755)
        sync_folder(part)
        part.rename(folder)  # onto an empty folder too
        sync_folder(folder.parent)


def _followed(batches: Iterator[Batch], total: int, progress: Progress) -> Iterator[Batch]:
    done = 0
    for batch in batches:
        yield batch
        done += len(batch.rows)
        progress(done, total)


def _describe(
    collection: Collection,
    index: VectorIndex,
    kind: FileKind,
    rows: dict[str, int],
    without_vector: int,
) -> Manifest:
    return Manifest(
        files=kind,
        made_at=datetime.now(UTC),
        version=VERSION,
        namespace=collection.namespace,
        collection=collection.name,
        language=collection.language,
        fields=collection.fields,
        pages=collection.pages,
        model=ModelOfVectors(**vars(index.space)),
        storage=index.storage,
        rows=rows,
        without_vector=without_vector,
    )
