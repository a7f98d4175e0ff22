"""Whether a backup holds what the database held: it is restored, and both are compared."""

from collections.abc import Mapping
from itertools import islice

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.database import connections
from app.database.embedded.postgres_programs import temporary_folder
from app.database.tables import VectorIndex, collections, metadata
from app.errors import BackupFailed
from app.index import vector_indexes
from app.index.exact_search import exact_answers, product_rounding, read_vectors
from app.runtime import backing_services
from app.runtime.backup.backups import Backup
from app.runtime.backup.restoring import restore_database
from app.settings import Settings
from app.vectors import Vectors

SEARCHES = 100  # of each index
NEIGHBOURS = 10  # compared of each search

Answer = Mapping[int, float]
"""The distances of the nearest pictures, by id."""


def verify(settings: Settings, session: Session, backup: Backup) -> None:
    """Restore the backup in a temporary place, and compare it with what the session sees.

    Compared are the bytes of all files, the rows of each table, and for SEARCHES vectors of each
    active index the NEIGHBOURS nearest pictures. Raises BackupFailed, and then deletes nothing.
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
                    compare(session, restored)
            finally:
                engine.dispose()


def compare(session: Session, restored: Session) -> None:
    """Raise BackupFailed where the two hold different numbers of rows, or answer differently."""
    for table in metadata.sorted_tables:
        query = select(func.count()).select_from(table)
        counts = [one.execute(query).scalar_one() for one in (session, restored)]
        if counts[0] != counts[1]:
            raise BackupFailed(f"Table {table.name}: {counts[0]} rows, restored {counts[1]}.")
    ids = list(session.execute(select(collections.c.id)).scalars())
    for index in vector_indexes.active_indexes(session, ids).values():
        queries = _sample(session, index)
        ours, theirs = (
            exact_answers(one, index, queries, NEIGHBOURS) for one in (session, restored)
        )
        rounding = product_rounding(index.dimensions)
        pairs = zip(ours, theirs, strict=True)
        if different := sum(differ(*pair, rounding) for pair in pairs):
            raise BackupFailed(f"{different} of {len(ours)} searches are answered differently.")


def differ(ours: Answer, theirs: Answer, rounding: float) -> bool:
    """Whether two answers to one query differ by more than `rounding` of their distances.

    So pictures at the same distance may be in any order, and any of those that tie for the last
    place may be in it.
    """
    if len(ours) != len(theirs):
        return True
    pairs = zip(sorted(ours.values()), sorted(theirs.values()), strict=True)
    if any(abs(one - other) > rounding for one, other in pairs):
        return True
    if any(abs(ours[one] - theirs[one]) > rounding for one in ours.keys() & theirs.keys()):
        return True
    last = max([*ours.values(), *theirs.values()], default=0.0)
    alone = ours.keys() ^ theirs.keys()
    return any({**theirs, **ours}[one] < last - 2 * rounding for one in alone)


def _sample(session: Session, index: VectorIndex) -> Vectors:
    for _, vectors in islice(read_vectors(session, index), 1):
        return vectors[:SEARCHES]
    return np.empty((0, index.dimensions), np.float32)
