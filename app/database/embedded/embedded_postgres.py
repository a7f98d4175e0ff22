"""The embedded Postgres: a server of our own on a data folder, which outlives its own crashes.

Processes that use one folder share its server. Each holds a lock on USERS_FILE, which ends with the
process however that ends; the last to leave stops the server. While they run, each of them watches
the server, and whoever first finds it dead starts it again.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import psutil

from app.command_names import typed
from app.database.embedded.postgres_programs import VERSION as CURRENT
from app.database.embedded.postgres_programs import VERSIONS, ProgramFailed, find_programs
from app.database.embedded.postmaster import Postmaster
from app.errors import DatabaseUnusable, ResourceInUse

log = logging.getLogger(__name__)

CONFIGURATION = "image_search.conf"
USERS_FILE = "image_search.users"
VERSION_FILE = "PG_VERSION"
SHARED_BUFFERS_MB = 256
MAINTENANCE_WORK_MEM_MB = 512  # for HNSW builds: 100,000 halfvecs of 512 dimensions fit
KEPT_LOG_MB = 4_096  # that standbys have not had yet; one that needs more has to be made anew
MAINTENANCE_WORKERS = 2  # beside the one that builds
QUERY_SHARED_MB = 64  # of shared memory that parallel queries may take beside a build
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # where Linux keeps what parallel workers share
INIT_SECONDS = 300  # far more than initdb takes
WATCH_SECONDS = 1.0  # between looks at the server
RETRY_SECONDS = 5.0  # between attempts to start it again
OTHERS_SECONDS = 3 * RETRY_SECONDS  # for its other users to start it again

SETTINGS = """\
# Written at every start of the image search engine; edit postgresql.conf instead.
listen_addresses = ''
unix_socket_permissions = 0700
shared_buffers = {shared_buffers}MB
maintenance_work_mem = {maintenance_work_mem}MB
max_parallel_maintenance_workers = {workers}
max_connections = 200
jit = off
max_slot_wal_keep_size = {kept_log}MB
hot_standby_feedback = on
"""


@contextmanager
def embedded_server(folder: Path, version: int = CURRENT) -> Iterator[str]:
    """Run Postgres on `folder` and yield its URL: a Unix socket, never the network.

    Should the server die, it is started again within seconds under the same URL.
    Raises DatabaseUnusable when it does not start.
    """
    folder = folder.resolve()
    postmaster = Postmaster(folder, find_programs(version))
    with ExitStack() as stack:
        try:
            stack.enter_context(_shared(postmaster))
        except (OSError, ProgramFailed) as error:
            raise DatabaseUnusable(
                f"The embedded Postgres in {folder} does not start: {error}."
            ) from error
        stack.enter_context(_watched(postmaster))
        yield _url(postmaster)


def running_server(folder: Path) -> str | None:
    """The URL of the server that runs on `folder`, as `embedded_server` yields it, if one runs.

    Raises DatabaseUnusable where the programs of Postgres cannot be used.
    """
    if not (folder / VERSION_FILE).exists():
        return None
    postmaster = Postmaster(folder.resolve(), find_programs())
    return None if postmaster.running() is None else _url(postmaster)


def _url(postmaster: Postmaster) -> str:
    host = quote(str(postmaster.socket_folder), safe="/")
    return f"postgresql://postgres:@/postgres?host={host}"


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


def check_version(folder: Path, version: int = CURRENT) -> None:
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


def initialize(postmaster: Postmaster, *options: str) -> None:
    """Make the folder a data folder of Postgres unless it is one.

    Raises DatabaseUnusable or ProgramFailed.
    """
    folder = postmaster.folder
    check_version(folder, postmaster.programs.version)
    if not (folder / VERSION_FILE).exists():
        if not any(folder.iterdir()):  # whatever else is in it, its owner stays
            postmaster.programs.give(folder)
        postmaster.programs.check_access(folder)
        postmaster.programs.run(
            "initdb", "--auth=trust", "--encoding=utf8", "--username=postgres",
            *options, "-D", folder, seconds=INIT_SECONDS,
        )  # fmt: skip
    postmaster.programs.check_access(folder)


@contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Hold `folder` for one server process, by a file lock that ends with it.

    Raises ResourceInUse naming the process that holds it, DatabaseUnusable where it cannot be made.
    """
    path = folder.with_name(folder.name + ".lock")
    with _creating(folder):
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
def _creating(folder: Path) -> Iterator[None]:
    """Raises DatabaseUnusable where the system refuses it."""
    try:
        yield
    except OSError as error:
        raise DatabaseUnusable(
            f"The data folder {folder} cannot be created: {error.strerror}. Set "
            "IMAGE_SEARCH_POSTGRES_DIR to a folder that this user may write to."
        ) from error


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Start or stop the server of a folder while nobody else does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _shared(postmaster: Postmaster) -> Iterator[None]:
    """Be one of the users of the server, which runs as long as it has any."""
    folder = postmaster.folder
    with _creating(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with folder_lock(folder):
            initialize(postmaster)
            users = stack.enter_context((folder / USERS_FILE).open("a"))
        _wait_for_others(postmaster, users.fileno())
        with folder_lock(folder):
            _configure(folder)
            postmaster.start()
        try:
            yield
        finally:
            with folder_lock(folder):
                if _is_last(users.fileno()):
                    postmaster.stop()


def _wait_for_others(postmaster: Postmaster, users: int) -> None:
    """Let other users start the server that they use, should it have just died.

    Raises DatabaseUnusable where it stays away: they run where it cannot be seen, in another
    container, and a second server would destroy the data.
    """
    deadline = time.monotonic() + OTHERS_SECONDS
    while not _is_last(users) and postmaster.running() is None:
        if time.monotonic() > deadline:
            raise DatabaseUnusable(
                f"The data folder {postmaster.folder} is in use by a process whose server cannot "
                "be seen from here, in another container for example. Stop that first, or set "
                "IMAGE_SEARCH_POSTGRES_DIR to another folder."
            )
        time.sleep(WATCH_SECONDS)
    fcntl.flock(users, fcntl.LOCK_SH)


def _is_last(users: int) -> bool:
    """Whether nobody else holds the lock; ours is given up otherwise."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _watched(postmaster: Postmaster) -> Iterator[None]:
    """Have a thread start the server again whenever it is found dead."""
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(postmaster, stop), name="postgres", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(postmaster: Postmaster, stop: threading.Event) -> None:
    while not stop.wait(WATCH_SECONDS):
        if postmaster.running() is not None:
            continue
        log.error("The embedded Postgres in %s has ended; it is started again", postmaster.folder)
        while not stop.is_set() and not _restarted(postmaster):
            stop.wait(RETRY_SECONDS)  # a full disk may have room again


def _restarted(postmaster: Postmaster) -> bool:
    try:
        with folder_lock(postmaster.folder):
            process = postmaster.start()
    except (OSError, psutil.Error, DatabaseUnusable) as error:
        log.warning("%s", error)
        return False
    log.warning("The embedded Postgres runs again as process %d", process.pid)
    return True


def _configure(folder: Path) -> None:
    path = folder / CONFIGURATION
    path.write_text(settings(_shared_memory_bytes()))
    path.chmod(0o644)
    main = folder / "postgresql.conf"
    include = f"include = '{CONFIGURATION}'\n"
    if include not in main.read_text():
        # At the top, so that what the administrator adds to postgresql.conf wins.
        main.write_text(include + _without_defaults(main.read_text()))


def settings(shared_memory_bytes: int | None) -> str:
    """The text of CONFIGURATION for that much free shared memory; None: without a bound.

    A parallel build claims all of maintenance_work_mem in shared memory at once. Where that has no
    room, a graph is built by one process, whose memory is its own.
    """
    needed = (MAINTENANCE_WORK_MEM_MB + QUERY_SHARED_MB) * 2**20
    has_room = shared_memory_bytes is None or shared_memory_bytes >= needed
    return SETTINGS.format(
        shared_buffers=SHARED_BUFFERS_MB,
        maintenance_work_mem=MAINTENANCE_WORK_MEM_MB,
        kept_log=KEPT_LOG_MB,
        workers=MAINTENANCE_WORKERS if has_room else 0,
    )


def _shared_memory_bytes() -> int | None:
    try:
        found = os.statvfs(SHARED_MEMORY)
    except OSError:  # not on this system
        return None
    return found.f_bavail * found.f_frsize


def _without_defaults(configuration: str) -> str:
    """Drop two settings that initdb writes: further down, they would override ours."""
    ours = ("shared_buffers", "max_connections")
    return "".join(
        line for line in configuration.splitlines(keepends=True) if not line.startswith(ours)
    )
