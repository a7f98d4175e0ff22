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
        self._ended: asyncio.Future[None] | None = None  # that of the read that runs
        self._next: asyncio.Task[T] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being read, nor will be."""
        return self._next is None and self._ended is None

    async def value(self) -> T:
        """What is read from now on. Raises what `read` raises."""
        if self._next is None:
            if self._ended is None:
                return await self._read_now()
            self._next = asyncio.create_task(self._read_after(self._ended))
        return await asyncio.shield(self._next)  # who leaves takes nothing from the others

    async def _read_now(self) -> T:
        ended = self._ended = asyncio.get_running_loop().create_future()
        try:
            return await run_in_threadpool(self._read)
        finally:
            self._ended = None
            ended.set_result(None)

    async def _read_after(self, ended: "asyncio.Future[None]") -> T:
        await ended
        self._next = None
        return await self._read_now()
