"""The settings of the embedded Postgres, in a file of the data folder that every start rewrites."""

import os
from pathlib import Path

CONFIGURATION = "image_search.conf"
SHARED_BUFFERS_MB = 256
MAINTENANCE_WORK_MEM_MB = 512  # for HNSW builds: 100,000 halfvecs of 512 dimensions fit
KEPT_LOG_MB = 4_096  # that standbys have not had yet; one that needs more has to be made anew
MAINTENANCE_WORKERS = 2  # beside the one that builds
QUERY_SHARED_MB = 64  # of shared memory that parallel queries may take beside a build
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # where Linux keeps what parallel workers share

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


def configure(folder: Path) -> None:
    """Write our settings into a data folder, and have its `postgresql.conf` include them."""
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
