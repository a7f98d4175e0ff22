"""Threads of their own for routes that may wait for long: all other routes stay free.

Reading an original waits for a disk that may hang, and a search by picture for memory.
"""

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

P = ParamSpec("P")
T = TypeVar("T")

FILE_THREADS = (
    64  # beside FastAPI's 40; each waits for a disk no longer than `bounded_reads.py` does
)
PICTURE_THREADS = 64  # likewise; each waits for memory no longer than `MemoryBudget` does

_files: RunVar[CapacityLimiter] = RunVar("_files")  # one for each event loop
_pictures: RunVar[CapacityLimiter] = RunVar("_pictures")


def on_file_thread(endpoint: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Run a route's function on one of the threads for files."""

    @wraps(endpoint)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return await to_thread.run_sync(partial(endpoint, *args, **kwargs), limiter=file_limiter())

    return run


def file_limiter() -> CapacityLimiter:
    """What bounds the threads for files of this event loop."""
    return _limiter(_files, FILE_THREADS)


def picture_limiter() -> CapacityLimiter:
    """What bounds the threads for searches by picture of this event loop."""
    return _limiter(_pictures, PICTURE_THREADS)


def _limiter(variable: RunVar[CapacityLimiter], threads: int) -> CapacityLimiter:
    try:
        return variable.get()
    except LookupError:
        limiter = CapacityLimiter(threads)
        variable.set(limiter)
        return limiter
