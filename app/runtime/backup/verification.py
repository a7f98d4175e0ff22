"""Whether a backup holds what the database held: it is restored, and both are compared."""

from itertools import islice

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.database import connections
from app.database.embedded.postgres_programs import temporary_folder
from app.database.tables import VectorIndex, collections, metadata
from app.errors import BackupFailed
from app.index import vector_indexes
from app.index.exact_search import exact_neighbours, read_vectors
from app.runtime import backing_services
from app.runtime.backup.manifest import Backup
from app.runtime.backup.restoring import restore_database
from app.settings import Settings
from app.vectors import Vectors

SEARCHES = 100  # of each index
NEIGHBOURS = 10  # compared of each search
NONE_EXCLUDED = -1  # no picture has this id


def verify(settings: Settings, session: Session, backup: Backup) -> None:
    """Restore the backup in a temporary place, and compare it with what the session sees.

    Compared are the bytes of all files, the rows of each table, and for SEARCHES vectors of each
    active index the distance of the tenth nearest. Raises BackupFailed, and then deletes nothing.
    """
    backup.check()
    with temporary_folder("verify-") as place:
        elsewhere = settings.model_copy(
            update={"database_url": None, "postgres_dir": place / "postgres"}
        )
        with backing_services.database(elsewhere) as url:
            restore_database(elsewhere, backup)
            engine = connections.open_engine(url)
            try:
                with connections.open_sessions(engine)() as restored:
                    _compare(session, restored)
            finally:
                engine.dispose()


def _compare(session: Session, restored: Session) -> None:
    for table in metadata.sorted_tables:
        query = select(func.count()).select_from(table)
        counts = [one.execute(query).scalar_one() for one in (session, restored)]
        if counts[0] != counts[1]:
            raise BackupFailed(f"Table {table.name}: {counts[0]} rows, restored {counts[1]}.")
    ids = list(session.execute(select(collections.c.id)).scalars())
    for index in vector_indexes.active_indexes(session, ids).values():
        queries = _sample(session, index)
        ours, theirs = (_farthest(one, index, queries) for one in (session, restored))
        if not np.array_equal(ours, theirs):
            different = np.count_nonzero(ours != theirs)
            raise BackupFailed(f"{different} of {len(ours)} searches are answered differently.")


def _sample(session: Session, index: VectorIndex) -> Vectors:
    for _, vectors in islice(read_vectors(session, index), 1):
        return vectors[:SEARCHES]
    return np.empty((0, index.dimensions), np.float32)


def _farthest(session: Session, index: VectorIndex, queries: Vectors) -> NDArray[np.float32]:
    nobody = np.full(len(queries), NONE_EXCLUDED, np.int64)
    return exact_neighbours(session, index, queries, nobody, NEIGHBOURS).farthest
