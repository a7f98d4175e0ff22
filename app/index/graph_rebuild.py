"""Building a graph whose rows were written in shuffled order, while searches and uploads go on.

pgvector reads a table in the order of its pages, and gives each newcomer the place of older,
farther links. After a burst of similar pictures, as folders and cameras bring them, what came
before it is not found any more. In shuffled order no burst comes at once.

The rows are copied into another partition, in the order of a hash of their ids. It gets its graph
and takes the old one's place in a short transaction.
"""

import logging
from functools import partial

from sqlalchemy import select, text, update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from app.database.connections import Sessions
from app.database.locks import alone, retry_on_lock
from app.database.tables import VectorIndex
from app.database.tables import vector_indexes as generations
from app.index import vector_indexes
from app.index.shuffling import SHUFFLED_ROWS

log = logging.getLogger(__name__)


def build_graph(sessions: Sessions, index: VectorIndex) -> None:
    """Build the index's graph unless it is there: a large one in shuffled order.

    Raises IndexGone.
    """
    few = vector_indexes.EXACT_ROWS
    with sessions.begin() as session:
        if vector_indexes.has_hnsw(session, index):
            return
        if vector_indexes.count_vectors(session, index, limit=few + 1) <= few:
            vector_indexes.build_hnsw(session, index)
            return
    rebuild(sessions, index)


def rebuild(sessions: Sessions, index: VectorIndex) -> bool:
    """Write the index's vectors in shuffled order and build their graph; False if another does.

    Searches wait for the exchange alone; writers while the last changes are taken over too, which
    is a comparison of both partitions. Raises IndexGone.
    """
    with alone(sessions, _copy_name(index)) as is_alone:
        if not is_alone:
            return False
        try:
            _rebuild(sessions, index)
        except ProgrammingError:  # a table that is gone
            with sessions.begin() as session:
                vector_indexes.require_present(session, index)
            raise
    return True


def _rebuild(sessions: Sessions, index: VectorIndex) -> None:
    drop_leftovers = partial(vector_indexes.drop_copies, index=index)
    retry_on_lock(sessions, drop_leftovers)
    with sessions.begin() as session:
        _copy(session, index)
    with sessions.begin() as session:
        _index_copy(session, index)
    with sessions.begin() as session:
        _catch_up(session, index)
    retry_on_lock(sessions, partial(_exchange, index=index))
    retry_on_lock(sessions, drop_leftovers)
    log.info("the graph of index %s was built in shuffled order", index.id)


def _copy_name(index: VectorIndex) -> str:
    return f"{index.partition}_copy"


def _retired_name(index: VectorIndex) -> str:
    return f"{index.partition}_retired"


def _copy(session: Session, index: VectorIndex) -> None:
    """All rows in the order of a hash of their ids, in a table that no index slows down yet."""
    copy, original = _copy_name(index), index.partition
    vector_indexes.require_present(session, index)
    session.execute(
        text(
            f"CREATE TABLE {copy} (LIKE {original} INCLUDING DEFAULTS INCLUDING CONSTRAINTS, "
            f"CONSTRAINT {copy}_index_check CHECK (index_id = {index.id})) "
            f"WITH ({vector_indexes.VECTORS_IN_ROWS})"
        )
    )
    session.execute(text(f"INSERT INTO {copy} SELECT * FROM {original} ORDER BY {SHUFFLED_ROWS}"))  # noqa: S608


def _index_copy(session: Session, index: VectorIndex) -> None:
    copy = _copy_name(index)
    session.execute(text(f"ALTER TABLE {copy} ADD PRIMARY KEY (index_id, image_id, region)"))
    for column in ("image_id", "changed"):
        session.execute(text(f"CREATE INDEX {copy}_{column}_idx ON {copy} ({column})"))
    vector_indexes.create_hnsw(session, index, copy)


def _catch_up(session: Session, index: VectorIndex) -> None:
    """Bring what was written since into the copy."""
    names = {"copy": _copy_name(index), "original": index.partition, "order": SHUFFLED_ROWS}
    names["value"] = index.column.name
    for statement in (DELETE_CHANGED, INSERT_MISSING):
        session.execute(text(statement.format(**names)))


DELETE_CHANGED = """
DELETE FROM {copy} c WHERE NOT EXISTS (
    SELECT 1 FROM {original} o WHERE o.image_id = c.image_id AND o.region = c.region
    AND o.{value} = c.{value} AND o.box IS NOT DISTINCT FROM c.box
)
"""
INSERT_MISSING = """
INSERT INTO {copy} SELECT * FROM {original} o
WHERE NOT EXISTS (SELECT 1 FROM {copy} c WHERE c.image_id = o.image_id AND c.region = o.region)
ORDER BY {order}
"""


def _exchange(session: Session, index: VectorIndex) -> None:
    """Put the copy into the place of the partition.

    Locks are taken in the order in which pictures are written, so that nobody waits in a circle.
    Searches wait only from the detachment on.
    """
    vector_indexes.require_present(session, index)
    original, copy = index.partition, _copy_name(index)
    session.execute(text("LOCK TABLE vector_indexes, images IN SHARE ROW EXCLUSIVE MODE"))
    session.execute(text("LOCK TABLE ONLY embeddings IN SHARE ROW EXCLUSIVE MODE"))
    session.execute(text(f"LOCK TABLE {original} IN SHARE ROW EXCLUSIVE MODE"))
    _catch_up(session, index)
    session.execute(text(f"ALTER TABLE embeddings DETACH PARTITION {original}"))
    _rename(session, original, _retired_name(index))
    _rename(session, copy, original)
    session.execute(
        text(f"ALTER TABLE embeddings ATTACH PARTITION {original} FOR VALUES IN ({index.id})")
    )
    session.execute(text(f"ALTER TABLE {original} DROP CONSTRAINT {copy}_index_check"))
    built = update(generations).where(generations.c.id == index.id)
    count = vector_indexes.count_vectors(session, index)
    session.execute(built.values(graph_vectors=count, graph_recall=None))


def vectors_at_rebuild(session: Session, index: VectorIndex) -> int | None:
    """How many vectors the index had at its last rebuild; None before the first."""
    query = select(generations.c.graph_vectors).where(generations.c.id == index.id)
    return session.execute(query).scalar_one_or_none()


def _rename(session: Session, old: str, new: str) -> None:
    """A table with its indexes, whose names begin with its own."""
    query = text("SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = to_regclass(:t)")
    for name in session.execute(query, {"t": old}).scalars().all():
        session.execute(text(f"ALTER INDEX {name} RENAME TO {new}{name.removeprefix(old)}"))
    session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))
