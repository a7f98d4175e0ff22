"""The server process of a Postgres data folder: found by its pid file, started, stopped.

The pid file is doubted as Postgres doubts it, and more: a power cut or a restart of the container
leaves it behind, and its number may belong to any other process by now, also to another Postgres.
"""

import contextlib
import hashlib
import os
import re
import shlex
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from app.database.embedded.postgres_programs import ProgramFailed, Programs
from app.errors import DatabaseUnusable

PID_FILE = "postmaster.pid"
LOG_FILE = "log"
SOCKET = ".s.PGSQL.5432"
SOCKET_BYTES = 103  # the longest path that a socket may have on macOS; Linux allows 107
SHORT_FOLDER = Path("/tmp")  # noqa: S108  # for sockets; the folder made there is private
NAME = "postgres"  # of the processes, as the system shows it
RECOVERY_SECONDS = 120  # how long a start may take after a crash
READY_POLL_SECONDS = 0.1
COMPLAINT = re.compile(r"(?:FATAL|PANIC):\s+(?!the database system is )(\S.*)")
MAX_PID = 2**31 - 1
STATUS_LINE = 7  # of the pid file, counted from 0
STOP_SECONDS = 60  # how long a stop may take: it writes a checkpoint
KILL_SECONDS = 5  # how long processes may take to end once they are told to


@dataclass
class Postmaster:
    """A data folder, and the programs of its version. Callers hold the folder's lock."""

    folder: Path
    programs: Programs
    _known: psutil.Process | None = field(default=None, init=False)  # to be the folder's server

    def running(self) -> psutil.Process | None:
        """The living server of the folder, if there is one."""
        pid = _read_pid(self.folder / PID_FILE)
        if pid is None:
            return None
        try:
            process = psutil.Process(pid)
            if process == self._known and process.status() != psutil.STATUS_ZOMBIE:
                return process  # by its number and the time of its start
        except psutil.NoSuchProcess:
            return None
        self._known = process if _works_in(process, self.folder) else None
        return self._known

    def start(self) -> psutil.Process:
        """The living server, started unless it runs.

        Raises DatabaseUnusable with what the server's log says.
        """
        running = self.running()
        if running is None:
            self._end_orphans()
            self._discard_lock_files()
            return self._started()
        self._wait_until_ready(running, self._log_bytes())
        return running

    def stop(self) -> None:
        """Stop the server if it runs; what it must not lose is on the disk at any time."""
        running = self.running()
        if running is None:
            return
        where = ("-D", self.folder)
        with contextlib.suppress(ProgramFailed):
            self.programs.run("pg_ctl", "stop", "-w", "-t", str(STOP_SECONDS), "-m", "fast", *where,
                              seconds=2 * STOP_SECONDS)  # fmt: skip
        if self.running() == running:
            _end([running, *running.children()])
        if self.socket_folder != self.folder:
            with contextlib.suppress(OSError):
                self.socket_folder.rmdir()

    @property
    def socket_folder(self) -> Path:
        """Where the server's socket lies: the data folder, unless its path is too long."""
        if len(os.fsencode(self.folder / SOCKET)) <= SOCKET_BYTES:
            return self.folder
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return SHORT_FOLDER / f"image-search-{digest}"

    def _started(self) -> psutil.Process:
        sockets = self._make_socket_folder()
        log, end = self.folder / LOG_FILE, self._log_bytes()
        stale = _written(self.folder / PID_FILE)
        try:
            options = f"-h '' -k {shlex.quote(str(sockets))}"
            self.programs.run(
                "pg_ctl", "start", "-w", "-t", str(RECOVERY_SECONDS), "-D", self.folder,
                "-l", log, "-o", options, seconds=2 * RECOVERY_SECONDS,
            )  # fmt: skip
        except ProgramFailed as error:
            raise self._failed(_complaint(log, end) or str(error)) from error
        running = self.running()
        if running is None:
            raise self._failed("it ended as soon as it had started")
        # pg_ctl believes the file that a killed server has left, if that had the same number and
        # had started a moment before: in a container, each start counts from 1.
        self._wait_until_ready(running, end, stale)
        return running

    def _wait_until_ready(
        self, running: psutil.Process, end: int, stale: int | None = None
    ) -> None:
        """Wait for a server that somebody has started who ended before it had recovered.

        The log had `end` bytes before. A pid file that was written at the moment `stale` is not
        this server's. Raises DatabaseUnusable, also where the server ends meanwhile.
        """
        deadline = time.monotonic() + RECOVERY_SECONDS
        while _is_alive(running):
            if self._is_ready(stale):
                return
            if time.monotonic() > deadline:
                raise self._failed("it has not recovered yet")
            time.sleep(READY_POLL_SECONDS)
        complaint = _complaint(self.folder / LOG_FILE, end)
        raise self._failed(complaint or "it ended while it recovered")

    def _log_bytes(self) -> int:
        log = self.folder / LOG_FILE
        return log.stat().st_size if log.exists() else 0

    def _is_ready(self, stale: int | None) -> bool:
        path = self.folder / PID_FILE
        return _read_lines(path)[STATUS_LINE:] == ["ready"] and _written(path) != stale

    def _failed(self, reason: str) -> DatabaseUnusable:
        return DatabaseUnusable(
            f"The embedded Postgres in {self.folder} does not start: {reason}. "
            f"Its log: {self.folder / LOG_FILE}"
        )

    def _make_socket_folder(self) -> Path:
        """The folder of the socket; one in SHORT_FOLDER, whose name can be guessed, is checked."""
        sockets = self.socket_folder
        if sockets == self.folder:
            return sockets
        with contextlib.suppress(FileExistsError):
            sockets.mkdir(mode=0o700)
            self.programs.give(sockets)
        found = sockets.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.folder.stat().st_uid:
            raise DatabaseUnusable(f"{sockets} belongs to somebody else. Delete it.")
        sockets.chmod(0o700)
        return sockets

    def _end_orphans(self) -> None:
        """End what a killed server has left: busy ones keep its memory, and the next one waits."""
        _end(list(processes_in(self.folder)))

    def _discard_lock_files(self) -> None:
        """Delete lock files that Postgres would refuse to start on although no server runs.

        One whose process is gone is left to Postgres, which knows that, and looks besides whether
        the memory named there is in use.
        """
        for path in (self.folder / PID_FILE, self.socket_folder / f"{SOCKET}.lock"):
            pid = _read_pid(path)
            if pid is None or psutil.pid_exists(pid):
                path.unlink(missing_ok=True)


def _written(path: Path) -> int | None:
    """When a file was written last, in nanoseconds since 1970; None where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _read_pid(path: Path) -> int | None:
    """The number in a lock file; None where there is no file, or none of use."""
    lines = _read_lines(path)
    pid = int(lines[0]) if lines and re.fullmatch(r"[0-9]{1,10}", lines[0]) else 0
    return pid if 0 < pid <= MAX_PID else None


def _read_lines(path: Path) -> list[str]:
    """The lines of a lock file without what pads them; none where there is no file."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines()]


def _is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that has ended stays a zombie where nobody waits for it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _works_in(process: psutil.Process, folder: Path) -> bool:
    """Whether it is a living process of the Postgres of `folder`: all of them work in there."""
    try:
        if process.name() != NAME or process.status() == psutil.STATUS_ZOMBIE:
            return False
        owner = process.uids().effective
        return owner == folder.stat().st_uid and _working_folder(process, owner).samefile(folder)
    except (psutil.Error, OSError):  # it has just ended, or another user's folder is closed to us
        return False


def _working_folder(process: psutil.Process, owner: int) -> Path:
    """As the process's owner sees it where root may not look, as in most containers."""
    try:
        return Path(process.cwd())
    except psutil.AccessDenied:
        if os.geteuid() != 0:
            raise
    command = ["readlink", f"/proc/{process.pid}/cwd"]
    group = process.gids().effective  # Linux compares that too
    done = subprocess.run(  # noqa: S603  # ours
        command, check=False, capture_output=True, text=True,
        user=owner, group=group, extra_groups=(), cwd="/",
    )  # fmt: skip
    return Path(done.stdout.removesuffix("\n"))


def processes_in(folder: Path) -> Iterator[psutil.Process]:
    """All living processes of the Postgres of `folder`: the server's, or what it has left."""
    return (one for one in psutil.process_iter(["name"]) if _works_in(one, folder))


def _end(processes: list[psutil.Process]) -> None:
    """End processes of Postgres at once: by the signal that it has for that, then by force."""
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        _, processes = psutil.wait_procs(processes, timeout=KILL_SECONDS)


def _complaint(log: Path, start: int) -> str | None:
    """The last error that was logged since the log had `start` bytes.

    Clients that knock meanwhile are told of no error: "the database system is starting up".
    """
    try:
        with log.open("rb") as file:
            file.seek(start)
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    found = (COMPLAINT.search(line) for line in reversed(lines))
    return next((match[1] for match in found if match), None)
