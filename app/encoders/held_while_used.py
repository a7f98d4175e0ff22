"""What takes much memory, held while it is used and for a while afterwards; without torch."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Self, TypeVar

from app.encoders import memory

T = TypeVar("T")


class HeldWhileUsed(Generic[T]):
    """A `value` that whoever uses it makes if there is none. Any thread may call.

    `end` is called with it before it is given up.
    """

    def __init__(self, end: Callable[[T], object] | None = None) -> None:
        self.value: T | None = None
        self._end = end
        self._lock = threading.Lock()
        self._used = 0.0  # a reading of the monotonic clock

    @contextmanager
    def use(self) -> Iterator[Self]:
        """Keep others from using and from dropping it."""
        with self._lock:
            try:
                yield self
            finally:
                self._used = time.monotonic()

    def drop(self) -> None:
        """Give up the value, if there is one, and its memory; within `use` alone."""
        if self.value is None:
            return
        if self._end is not None:
            self._end(self.value)
        self.value = None
        memory.trim()

    def drop_if_idle(self, seconds: float) -> None:
        """The same if nobody uses it, or has used it for so long; this waits for nobody."""
        is_idle = time.monotonic() - self._used >= seconds
        if is_idle and self.value is not None and self._lock.acquire(blocking=False):
            try:
                self.drop()
            finally:
                self._lock.release()
