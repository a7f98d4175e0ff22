"""Threads for the routes that read originals: a disk that hangs leaves all other routes free."""

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

_limiter: RunVar[CapacityLimiter] = RunVar("_limiter")  # one for each event loop


def on_file_thread(endpoint: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Run a route's function on one of the threads for files."""

    @wraps(endpoint)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return await to_thread.run_sync(partial(endpoint, *args, **kwargs), limiter=file_limiter())

    return run


def file_limiter() -> CapacityLimiter:
    """What bounds the threads for files of this event loop."""
    try:
        return _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(FILE_THREADS)
        _limiter.set(limiter)
        return limiter
