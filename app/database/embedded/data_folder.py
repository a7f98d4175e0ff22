"""The data folder of the embedded Postgres: whose version it is, who holds it, and making it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from app.command_names import typed
from app.database.embedded.postgres_programs import VERSIONS
from app.database.embedded.postmaster import Postmaster
from app.errors import DatabaseUnusable, ResourceInUse

VERSION_FILE = "PG_VERSION"
INIT_SECONDS = 300  # far more than initdb takes


def data_version(folder: Path) -> int | None:
    """The major version of Postgres that a data folder belongs to; None where it is none yet."""
    try:
        return int((folder / VERSION_FILE).read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DatabaseUnusable(f"{folder / VERSION_FILE} is damaged: {error}.") from error


def unfinished_upgrade(folder: Path) -> Path:
    """Where an upgrade puts the new data until it is complete."""
    return folder.with_name(f"{folder.name}.upgrading")


def initialize(postmaster: Postmaster, *options: str) -> None:
    """Make the folder a data folder of Postgres unless it is one.

    Raises DatabaseUnusable or ProgramFailed.
    """
    folder = postmaster.folder
    _check_version(folder, postmaster.programs.version)
    if not (folder / VERSION_FILE).exists():
        if not any(folder.iterdir()):  # whatever else is in it, its owner stays
            postmaster.programs.give(folder)
        postmaster.programs.check_access(folder)
        postmaster.programs.run(
            "initdb", "--auth=trust", "--encoding=utf8", "--username=postgres",
            *options, "-D", folder, seconds=INIT_SECONDS,
        )  # fmt: skip
    postmaster.programs.check_access(folder)


def _check_version(folder: Path, version: int) -> None:
    """Raise DatabaseUnusable where the folder belongs to another major version of Postgres."""
    found = data_version(folder)
    if found is None and unfinished_upgrade(folder).exists():  # between its two renames
        raise DatabaseUnusable(
            f"An upgrade of {folder} was interrupted: `{typed('upgrade-database')}`."
        )
    if found is None or found == version:
        return
    advice = (
        f"Run `{typed('upgrade-database')}`: it moves the data and keeps the old folder."
        if found in VERSIONS and found < version
        else "Start it with a version of this program that has that Postgres, or set "
        "IMAGE_SEARCH_POSTGRES_DIR to another folder."
    )
    raise DatabaseUnusable(
        f"{folder} belongs to Postgres {found}, and this program runs Postgres {version}. {advice}"
    )


@contextmanager
def creating(folder: Path) -> Iterator[None]:
    """Raise DatabaseUnusable where the system refuses to make the folder, or what it needs."""
    try:
        yield
    except OSError as error:
        raise DatabaseUnusable(
            f"The data folder {folder} cannot be created: {error.strerror}. Set "
            "IMAGE_SEARCH_POSTGRES_DIR to a folder that this user may write to."
        ) from error


@contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Hold `folder` for one server process, by a file lock that ends with it.

    Raises ResourceInUse naming the process that holds it, DatabaseUnusable where it cannot be made.
    """
    path = folder.with_name(folder.name + ".lock")
    with creating(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ResourceInUse(
                f"The data folder {folder} is in use by {file.read().strip()}. Stop that first, or "
                "set IMAGE_SEARCH_POSTGRES_DIR to another folder."
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} ({' '.join(psutil.Process().cmdline())})")
        file.flush()
        yield


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Start or stop the server of a folder while nobody else does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
