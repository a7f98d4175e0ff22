"""A graph is built in a container's 64 MB of shared memory (issue 21, line 8)."""

import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.errors import DiskFull
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.database.connections import open_engine, open_sessions
from app.database.embedded.embedded_postgres import embedded_server
from app.database.embedded.postgres_programs import temporary_folder
from app.database.index_builds import build_index
from app.settings import ROOT

SMALL = "mount -t tmpfs -o size=64M tmpfs /dev/shm"
FILL = (
    "CREATE EXTENSION vector",
    "CREATE TABLE v AS SELECT array_agg(random())::vector(8) AS e FROM "
    "generate_series(1, 2000) AS n, generate_series(1, 8) GROUP BY n",
    "ALTER TABLE v SET (parallel_workers = 2)",  # as if it were large
)
BUILD = text("CREATE INDEX graph ON v USING hnsw (e vector_cosine_ops)")
DROP = text("DROP INDEX graph")
WORKERS = text("SET LOCAL max_parallel_maintenance_workers = 2")


def test_a_graph_is_built_where_shared_memory_is_small() -> None:
    if subprocess.run(["unshare", "-m", "sh", "-c", SMALL], capture_output=True).returncode:
        pytest.skip("only who may mount a file system can make a small /dev/shm")
    with temporary_folder("shm") as folder:
        command = f'{SMALL} && exec "$0" -m tests.database.test_index_builds "$1"'
        run = ["unshare", "-m", "sh", "-c", command, sys.executable, str(folder / "data")]
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "built by our settings\nfails in parallel\nbuilt all the same\n"


def build_in_small_memory(folder: Path) -> None:
    """What runs where /dev/shm is small."""
    with embedded_server(folder) as url:
        engine = open_engine(url)
        sessions = open_sessions(engine)
        with sessions.begin() as session:
            for statement in FILL:
                session.execute(text(statement))
        with sessions.begin() as session:
            session.execute(BUILD)
            session.execute(DROP)
            print("built by our settings")
        try:
            with sessions.begin() as session:
                session.execute(WORKERS)
                session.execute(BUILD)
        except OperationalError as error:
            print("fails in parallel" if isinstance(error.orig, DiskFull) else error)
        with sessions.begin() as session:  # as on a server of somebody else's
            session.execute(WORKERS)
            build_index(session, BUILD)
            print("built all the same")
        engine.dispose()


if __name__ == "__main__":
    build_in_small_memory(Path(sys.argv[1]))
