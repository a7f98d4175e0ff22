"""Reads that come to an end: a disk that does not answer holds threads of its own, and only a few.

A network disk whose server is away, or a dying one, keeps a read waiting for as long as it likes;
nothing can interrupt it. So each runs on a thread that its caller need not wait for.
"""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar, cast

from app.errors import SourceUnavailable

T = TypeVar("T")
Beat = Callable[[], None]
"""Called by a read each time it has got a piece: it is slow then, but it does not hang."""

SILENCE_SECONDS = 15.0  # without a piece; a disk that was asleep takes ten to turn again
LATE_SECONDS = 2.0  # without a piece: it may hang
MAX_LATE = 8  # reads of one disk that may hang; further ones are refused at once
MOUNTS = Path("/proc/self/mountinfo")  # Linux; elsewhere all disks count as one
MOUNTS_SECONDS = 2.0  # how long what it says is believed


class BoundedReads:
    """Runs reads on threads of its own; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._idle = 0  # threads without a task
        self._running: dict[str, set[_Task]] = {}  # by mount point, also those given up
        self._mounts: tuple[float, list[str]] = (-MOUNTS_SECONDS, [])

    def call(self, place: Path, read: Callable[[Beat], T], silence: float = SILENCE_SECONDS) -> T:
        """What `read` returns or raises; it reads from `place`.

        Raises SourceUnavailable if it gets nothing for `silence` seconds, or at once if many reads
        of that disk get nothing now.
        """
        task = _Task(read)
        self._start(task, place)
        while not task.done.wait(max(0.0, silence - task.silence())):
            if task.silence() >= silence:
                raise _unanswered(place)
        if task.error is not None:
            raise task.error
        return cast(T, task.value)

    def _start(self, task: "_Task", place: Path) -> None:
        mount = self._mount(place)
        with self._lock:
            running = self._running.setdefault(mount, set())
            if sum(one.silence() > LATE_SECONDS for one in running) >= MAX_LATE:
                raise _unanswered(place)
            running.add(task)
            has_thread = self._idle > 0
            self._idle -= has_thread
        task.at_end = partial(self._forget, mount, task)
        self._tasks.put(task)
        if not has_thread:  # daemon: the process may end while it hangs
            threading.Thread(target=self._work, name="read", daemon=True).start()

    def _forget(self, mount: str, task: "_Task") -> None:
        with self._lock:
            self._running[mount].discard(task)
            self._idle += 1

    def _work(self) -> None:
        while True:
            self._tasks.get().run()

    def _mount(self, place: Path) -> str:
        """Where the disk is mounted that `place` lies on, by its name alone: a look may hang."""
        since, mounts = self._mounts
        if time.monotonic() >= since + MOUNTS_SECONDS:
            mounts = _mounts()
            self._mounts = time.monotonic(), mounts
        path = f"{place.absolute().as_posix()}/"
        return next((mount for mount in mounts if path.startswith(f"{mount.rstrip('/')}/")), "")


class _Task:
    """One read, and what became of it."""

    def __init__(self, read: Callable[[Beat], Any]) -> None:
        self._read = read
        self._heard_of = time.monotonic()
        self.done = threading.Event()
        self.at_end: Callable[[], None] = self.done.set
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.value = self._read(self._beat)
        except Exception as error:  # noqa: BLE001  # raised to whoever waits
            self.error = error
        finally:
            self.at_end()
            self.at_end = self.done.set  # else a cycle would keep the value until a collection
            self.done.set()

    def _beat(self) -> None:
        self._heard_of = time.monotonic()

    def silence(self) -> float:
        """Seconds since the read got a piece, or began."""
        return time.monotonic() - self._heard_of


def _mounts() -> list[str]:
    """The mount points, longest first."""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return []
    found = [line.split(" ")[4].encode().decode("unicode_escape") for line in lines]
    return sorted(found, key=len, reverse=True)


def _unanswered(place: Path) -> SourceUnavailable:
    return SourceUnavailable(f"The disk of {place.parent} does not answer: try again later.")


def in_pieces(
    place: Path, found: Iterator[T], size: int, silence: float = SILENCE_SECONDS
) -> Iterator[T]:
    """What an iterator that reads from `place` yields, so many at a time; raises as `call`."""

    def piece(beat: Beat) -> list[T]:
        taken = []
        for one in islice(found, size):
            beat()
            taken.append(one)
        return taken

    while taken := ORIGINALS.call(place, piece, silence):
        yield from taken


ORIGINALS = BoundedReads()
"""For all originals of this process: how many of a disk's reads may hang is one number."""
