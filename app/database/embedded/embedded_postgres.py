"""The embedded Postgres: a server of our own on a data folder, which outlives its own crashes.

Processes that use one folder share its server. Each holds a lock on USERS_FILE, which ends with the
process however that ends; the last to leave stops the server. While they run, each of them watches
the server, and whoever first finds it dead starts it again.
"""

import fcntl
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import psutil

from app.database.embedded.configuration import configure
from app.database.embedded.data_folder import VERSION_FILE, creating, folder_lock, initialize
from app.database.embedded.postgres_programs import VERSION, ProgramFailed, find_programs
from app.database.embedded.postmaster import Postmaster
from app.errors import DatabaseUnusable

log = logging.getLogger(__name__)

USERS_FILE = "image_search.users"
WATCH_SECONDS = 1.0  # between looks at the server
RETRY_SECONDS = 5.0  # between attempts to start it again
OTHERS_SECONDS = 3 * RETRY_SECONDS  # for its other users to start it again


@contextmanager
def embedded_server(folder: Path, version: int = VERSION) -> Iterator[str]:
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


@contextmanager
def _shared(postmaster: Postmaster) -> Iterator[None]:
    """Be one of the users of the server, which runs as long as it has any."""
    folder = postmaster.folder
    with creating(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with folder_lock(folder):
            initialize(postmaster)
            users = stack.enter_context((folder / USERS_FILE).open("a"))
        _wait_for_others(postmaster, users.fileno())
        with folder_lock(folder):
            configure(folder)
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
