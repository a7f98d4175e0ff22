"""The whole database as one file, and back, by Postgres's own pg_dump and pg_restore."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, func, make_url, select, text
from sqlalchemy.orm import Session

from app.database.embedded.postgres_programs import VERSION, find_programs
from app.errors import BackupFailed

ANYTHING = text("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")


@contextmanager
def snapshot(engine: Engine) -> Iterator[tuple[Session, str]]:
    """A session that reads the database as it is now, and the name by which pg_dump does so too."""
    with Session(engine.execution_options(isolation_level="REPEATABLE READ")) as session:
        yield session, session.execute(select(func.pg_export_snapshot())).scalar_one()


def dump(session: Session, url: str, snapshot_name: str, target: Path) -> None:
    """Write all that the snapshot sees into `target`, compressed. Raises BackupFailed."""
    program = _client("pg_dump", session)
    options = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot_name}"]
    _run(program, url, *options, "--file", target)


def load(session: Session, url: str, source: Path) -> None:
    """Fill the empty database at `url` from a dump, wholly or not at all. Raises BackupFailed.

    Comments are left out: that on the extension `vector` may be set by its owner alone.
    """
    program = _client("pg_restore", session)
    options = ["--no-owner", "--no-privileges", "--no-comments", "--exit-on-error"]
    _run(program, url, *options, "--single-transaction", source)


def is_empty(session: Session) -> bool:
    """Whether the database has no tables."""
    return bool(session.execute(ANYTHING).scalar_one() == 0)


def server_version(session: Session) -> int:
    """The major version of the server."""
    return int(session.execute(text("SHOW server_version_num")).scalar_one()) // 10_000


def _client(name: str, session: Session) -> Path:
    """A program that fits the server: the installed one, or for newer servers that of PATH."""
    wanted = server_version(session)
    if wanted <= VERSION:
        return find_programs().folder / name
    found = shutil.which(name)
    if found is None or _version_of(found) < wanted:
        raise BackupFailed(
            f"The server is Postgres {wanted}, newer than this program's {name}. Install the "
            f"client programs of Postgres {wanted} and put them into PATH."
        )
    return Path(found)


def _version_of(program: str) -> int:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    numbers = re.findall(r"\d+", done.stdout)
    return int(numbers[0]) if numbers else 0


def _run(program: Path, url: str, *arguments: str | Path) -> None:
    address = make_url(url).set(drivername="postgresql")
    secret = {"PGPASSWORD": address.password} if address.password else {}  # arguments can be seen
    place = address.set(password=None).render_as_string()
    done = subprocess.run(  # noqa: S603  # ours
        [program, "--dbname", place, *arguments],
        env={**os.environ, **secret},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise BackupFailed(f"{program.name} failed: {done.stderr.strip()}")
