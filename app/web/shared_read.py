"""One read of the database for all requests that ask for the same at the same time."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from fastapi.concurrency import run_in_threadpool

T = TypeVar("T")


class SharedRead(Generic[T]):
    """What `read` returns, on a thread: one runs, and the next serves all that ask meanwhile.

    So nobody gets what was read before they asked. Used on the event loop only.
    """

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being read, nor will be."""
        return self._next is None and (self._running is None or self._running.done())

    async def value(self) -> T:
        """What is read from now on. Raises what `read` raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
        return await asyncio.shield(self._next)  # who leaves takes nothing from the others

    async def _after(self, before: "asyncio.Task[T] | None") -> T:
        if before is not None:
            await asyncio.wait([before])  # also if it failed
        self._running, self._next = self._next, None
        return await run_in_threadpool(self._read)
