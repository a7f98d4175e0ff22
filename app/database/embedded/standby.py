"""A hot standby: a data folder that is copied from a server and follows its log from then on."""

import hashlib
from pathlib import Path

from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from app.database.embedded.data_folder import VERSION_FILE
from app.database.embedded.postgres_programs import ProgramFailed, find_programs
from app.errors import DatabaseUnusable

STANDBY_FILE = "standby.signal"
COPY_SECONDS = 24 * 3_600  # within which a copy must end

DROP_SLOT = """
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
WHERE slot_name = :slot AND NOT active
"""


def copy_server(primary: str, folder: Path) -> None:
    """Make the empty `folder` the data folder of a standby of the server at the URL `primary`.

    The server keeps the log that the standby has not had yet, up to its max_slot_wal_keep_size.
    Raises DatabaseUnusable, which says why, and leaves the folder empty.
    """
    programs = find_programs()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise DatabaseUnusable(f"{folder} is not empty: a standby needs an empty folder.")
    programs.give(folder)
    folder.chmod(0o700)
    programs.check_access(folder)
    slot = slot_name(folder)
    try:
        _drop_slot(primary, slot)
        programs.run(
            "pg_basebackup", "-D", folder, "-d", primary, "--write-recovery-conf",
            "--wal-method=stream", "--checkpoint=fast", "--create-slot", f"--slot={slot}",
            seconds=COPY_SECONDS,
        )  # fmt: skip
    except (ProgramFailed, DBAPIError) as error:
        said = str(getattr(error, "orig", error)).strip().splitlines()[-1]
        raise DatabaseUnusable(f"No standby can be made in {folder}: {said}") from error


def slot_name(folder: Path) -> str:
    """The name of the standby's replication slot on its primary."""
    return f"image_search_{hashlib.sha256(bytes(folder.resolve())).hexdigest()[:16]}"


def _drop_slot(primary: str, slot: str) -> None:
    """One of that name that a former standby in the folder has left."""
    url = make_url(primary).set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(DROP_SLOT), {"slot": slot})


def is_standby(folder: Path) -> bool:
    """Whether it is the data folder of a standby.

    Raises DatabaseUnusable if it is one of another server, which was promoted for example.
    """
    if (folder / STANDBY_FILE).exists():
        return True
    if (folder / VERSION_FILE).exists():
        raise DatabaseUnusable(f"{folder} holds the data of another server, not of a standby.")
    return False
