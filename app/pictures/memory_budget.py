"""The memory that decoding may take, over all threads of this process.

A picture of some hundred kilobytes can need a gigabyte while it is decoded. Each decode reserves
what its header says it will need, and waits while others hold the budget.
"""

import ctypes
import heapq
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

from app.errors import Busy, ImageTooLarge

MB = 1_000_000  # bytes
DEFAULT_BYTES = 1_000 * MB  # a WebP of 50 megapixels needs 810 MB
WAIT_SECONDS = 50.0  # that a request waits before it is answered 503; proxies wait for 60 s
TRIM_BYTES = 32 * MB  # after a larger decode, freed memory is returned to the system, ...
TRIM_AGAIN_SECONDS = 10.0  # ... and once more when its request has ended


@dataclass(order=True)
class _Ticket:
    """A waiting decode, ordered: requests before background work, then by arrival."""

    is_background: bool
    number: int
    size: int = field(compare=False)


class MemoryBudget:
    """Bounds the bytes that are reserved at a time. Thread-safe.

    Requests go before background work, and of each kind those that came first, so that large
    pictures get their turn.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._used = 0
        self._waiting: list[_Ticket] = []  # a heap
        self._issued = 0
        self._will_trim = False
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """The budget in bytes."""
        return self._limit

    def set_limit(self, limit_bytes: int) -> None:
        """Set the budget in bytes; reservations in progress are kept."""
        with self._changed:
            self._limit = limit_bytes
            self._changed.notify_all()

    @contextmanager
    def reserve(self, size: int, *, is_background: bool = False) -> Iterator[None]:
        """Hold `size` bytes of the budget, after waiting for them if others hold it.

        Raises ImageTooLarge if `size` exceeds the whole budget, and Busy after WAIT_SECONDS;
        background work waits without limit.
        """
        self._acquire(size, is_background)
        try:
            yield
        finally:
            self._release(size)

    def _acquire(self, size: int, is_background: bool) -> None:
        deadline = None if is_background else time.monotonic() + WAIT_SECONDS
        with self._changed:
            self._issued += 1
            ticket = _Ticket(is_background, self._issued, size)
            heapq.heappush(self._waiting, ticket)
            try:
                while not self._may_start(ticket):
                    self._wait_until(deadline)
                self._used += size
            finally:
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
                self._changed.notify_all()  # the next in line may fit too

    def _may_start(self, ticket: _Ticket) -> bool:
        """Raises ImageTooLarge."""
        if ticket.size > self._limit:
            raise ImageTooLarge(
                f"Decoding the picture needs {_rounded(ticket.size)} MB of memory; "
                f"{_rounded(self._limit)} MB are allowed (IMAGE_SEARCH_DECODING_MEMORY_MB)."
            )
        return self._waiting[0] is ticket and self._used + ticket.size <= self._limit

    def _wait_until(self, deadline: float | None) -> None:
        """Raises Busy."""
        left = None if deadline is None else deadline - time.monotonic()
        if (left is not None and left <= 0) or not self._changed.wait(left):
            raise Busy("Other pictures take up all the memory for decoding now: try again.")

    def _release(self, size: int) -> None:
        if size > TRIM_BYTES:
            _trim()
        with self._changed:
            self._used -= size
            self._changed.notify_all()
            if size > TRIM_BYTES and not self._will_trim:
                self._will_trim = True
                timer = threading.Timer(TRIM_AGAIN_SECONDS, self._trim_again)
                timer.daemon = True
                timer.start()

    def _trim_again(self) -> None:
        with self._changed:
            self._will_trim = False
        _trim()


def _rounded(size: int) -> int:
    return -(-size // MB)


def _trim() -> None:
    """Return freed memory to the system.

    glibc keeps what a thread has freed for that thread: after large pictures on many threads the
    process would stay at several times its size.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """Glibc's `malloc_trim`, or None where there is none (macOS, musl)."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


DECODING_MEMORY = MemoryBudget(DEFAULT_BYTES)
"""The budget of this process: memory is the process's, whichever service decodes."""
