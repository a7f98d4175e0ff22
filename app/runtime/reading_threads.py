"""The threads that read and decode pictures for jobs, behind whoever answers a search."""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

from app.ingest.batch_indexing import ReadingPools
from app.runtime.shutdown import closing_soon

DECODING_THREADS = max(2, os.cpu_count() or 2)
FETCHING_THREADS = 8
POLITE_THREADS = max(1, DECODING_THREADS // 2)  # that decode while somebody searches
NICENESS = 10


@contextmanager
def open_reading_pools() -> Iterator[ReadingPools]:
    """The pools of a process; what hangs at the end is left behind."""
    with (
        _threads(DECODING_THREADS, "decode") as decoding,
        _threads(FETCHING_THREADS, "fetch") as fetching,
    ):
        yield ReadingPools(decoding, fetching, threading.Semaphore(POLITE_THREADS))


def _threads(count: int, name: str) -> AbstractContextManager[ThreadPoolExecutor]:
    return closing_soon(ThreadPoolExecutor(count, name, initializer=_lower_priority))


def _lower_priority() -> None:
    """Let searches go first, where the system can."""
    if sys.platform == "linux":  # where a thread has a niceness of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
