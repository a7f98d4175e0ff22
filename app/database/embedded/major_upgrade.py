"""The embedded server's data moved to another major version of Postgres, by pg_upgrade.

The old folder is kept under another name. Two renames end an upgrade; whatever is interrupted
before them has changed nothing, and between them the next attempt finishes it.
"""

import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from app.database import connections, migrating
from app.database.embedded.data_folder import (
    data_version,
    folder_lock,
    initialize,
    sole_owner,
    unfinished_upgrade,
)
from app.database.embedded.embedded_postgres import USERS_FILE, embedded_server
from app.database.embedded.postgres_programs import (
    VERSION,
    VERSIONS,
    ProgramFailed,
    Programs,
    find_programs,
    temporary_folder,
)
from app.database.embedded.postmaster import Postmaster
from app.errors import DatabaseUnusable, ResourceInUse

UPGRADE_SECONDS = 86_400  # pg_upgrade copies all files
CHECKSUMS = re.compile(r"Data page checksum version:\s*(\d+)")
DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate"


def upgrade(folder: Path, version: int = VERSION) -> Path | None:
    """Move a data folder to another version of those installed; gives the old folder's new path.

    None where there is nothing to do. Raises DatabaseUnusable with pg_upgrade's words where it
    cannot be moved, or ResourceInUse while a server uses it.
    """
    with sole_owner(folder):
        folder = folder.resolve()
        if folder.is_mount():
            raise DatabaseUnusable(
                f"{folder} is a mount point, which cannot be renamed. Move what is in it into a "
                "folder below, and set IMAGE_SEARCH_POSTGRES_DIR to that."
            )
        if _finished(folder):
            return _kept(folder)
        found = data_version(folder)
        if found is None:
            raise DatabaseUnusable(
                f"{folder} is not a Postgres data folder: there is nothing to upgrade."
            )
        if found == version:
            return None
        if found not in VERSIONS or found > version:
            raise DatabaseUnusable(
                f"{folder} belongs to Postgres {found}, and this program can only read "
                f"{' and '.join(map(str, VERSIONS))}, to move them to {version}."
            )
        return _upgrade(folder, found, version)


def _upgrade(folder: Path, found: int, version: int) -> Path:
    kept = folder.with_name(f"{folder.name}.postgres-{found}")
    if kept.exists():
        raise DatabaseUnusable(
            f"{kept} was left there by an earlier upgrade, and is in the way: move it elsewhere."
        )
    new = unfinished_upgrade(folder)
    shutil.rmtree(new, ignore_errors=True)
    _migrate(folder, found)
    try:
        with _unused(folder):
            _run_pg_upgrade(folder, found, new, version)
        with embedded_server(new, version) as url:
            host = str(make_url(url).query["host"])
            find_programs(version).run(
                "vacuumdb", "--all", "--analyze-only", "-U", "postgres", "-h", host,
                seconds=UPGRADE_SECONDS,
            )  # fmt: skip
    except ProgramFailed as error:
        shutil.rmtree(new, ignore_errors=True)
        raise DatabaseUnusable(
            f"{folder} cannot be moved from Postgres {found} to {version}, and is as it was: "
            f"{error}"
        ) from error
    folder.rename(kept)
    new.rename(folder)
    return kept


def _finished(folder: Path) -> bool:
    """Whether an attempt was left that ended between its two renames; it is finished now."""
    new = unfinished_upgrade(folder)
    if (folder.exists() and any(folder.iterdir())) or not new.exists():
        return False
    new.rename(folder)
    return True


def _kept(folder: Path) -> Path:
    return max(
        folder.parent.glob(f"{folder.name}.postgres-*"), key=lambda path: path.stat().st_mtime
    )


def _migrate(folder: Path, version: int) -> None:
    """Bring our schema up to date: older ones have columns that pg_upgrade refuses.

    It also recovers what a crash has left: pg_upgrade needs a server that was shut down.
    """
    with embedded_server(folder, version) as url:
        server = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
        with server.connect() as connection:
            names = list(connection.execute(text(DATABASES)).scalars())
        server.dispose()
        for name in names:
            ours = make_url(url).set(database=name).render_as_string(hide_password=False)
            engine = connections.open_engine(ours)
            with engine.connect() as connection:
                query = text("SELECT to_regclass('alembic_version') IS NOT NULL")
                is_ours = connection.execute(query).scalar_one()
            if is_ours:
                migrating.migrate(engine)
            engine.dispose()


@contextmanager
def _unused(folder: Path) -> Iterator[None]:
    """Keep other processes from using the folder's server. Raises ResourceInUse if one does."""
    with folder_lock(folder), (folder / USERS_FILE).open("a") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResourceInUse(
                f"The data folder {folder} is in use: stop what works with it first."
            ) from None
        yield


def _run_pg_upgrade(folder: Path, found: int, new: Path, version: int) -> None:
    old_programs, programs = find_programs(found), find_programs(version)
    new.mkdir()
    options = _checksum_option(old_programs, folder)
    initialize(Postmaster(new, programs), options)
    with temporary_folder("up") as work:  # where it puts its sockets and its scripts
        programs.give(work)
        programs.run(
            "pg_upgrade", "-b", old_programs.folder, "-B", programs.folder, "-d", folder, "-D", new,
            "-U", "postgres", seconds=UPGRADE_SECONDS, folder=work,
        )  # fmt: skip


def _checksum_option(programs: Programs, folder: Path) -> str:
    """initdb's, for pages with checksums or without, as the old folder has them."""
    told = programs.run("pg_controldata", "-D", folder, seconds=60)
    match = CHECKSUMS.search(told)
    has_checksums = match is not None and match[1] != "0"
    return "--data-checksums" if has_checksums else "--no-data-checksums"
