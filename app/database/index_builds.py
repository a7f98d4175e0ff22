"""Building an index on whatever server there is, also one with little shared memory."""

from psycopg.errors import DiskFull
from sqlalchemy import Engine, Executable, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

ONE_PROCESS = text("SELECT set_config('max_parallel_maintenance_workers', '0', true)")


def build_index(session: Session, statement: Executable) -> None:
    """Execute a CREATE INDEX, by one process where its workers find no shared memory.

    Parallel workers of an HNSW build claim all of maintenance_work_mem in /dev/shm, and containers
    have 64 MB there unless told otherwise. One process builds in memory of its own.
    """
    try:
        with session.begin_nested():
            session.execute(statement)
    except OperationalError as error:
        if not isinstance(error.orig, DiskFull):  # Postgres says so of shared memory too
            raise
        session.execute(ONE_PROCESS)
        session.execute(statement)


def execute_outside(engine: Engine, statement: Executable) -> None:
    """Execute what no transaction may contain: CREATE or DROP INDEX CONCURRENTLY."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(statement)
