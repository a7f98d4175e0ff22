"""The end of a process within seconds, also where threads wait for a disk that never answers.

Nothing can interrupt such a thread, and Python waits for all of them at its exit. So they are left
behind: what they were at is in the database as not done, and taken up by another worker.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NoReturn

log = logging.getLogger(__name__)

JOIN_SECONDS = 1.0  # for threads that have been told to end


def unwind_on_signals() -> None:
    """Make SIGTERM and SIGHUP end a command as Ctrl-C does, so that Postgres is stopped too."""

    def unwind(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, unwind)


@contextmanager
def closing_soon(pool: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    """A pool whose tasks under way are waited for at the end, but for JOIN_SECONDS at most."""
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        last = threading.Thread(target=pool.shutdown, name="last tasks", daemon=True)
        last.start()
        last.join(JOIN_SECONDS)


def join(thread: threading.Thread, seconds: float) -> None:
    """Wait for a thread's end, but no longer."""
    thread.join(seconds)
    if thread.is_alive():
        log.warning("%s is still waiting for a disk, and is left behind", thread.name)


def exit_process(status: int = 0) -> NoReturn:
    """End the process; call it last, when all else is closed."""
    deadline = time.monotonic() + JOIN_SECONDS
    others = [one for one in threading.enumerate() if one is not threading.current_thread()]
    for thread in others:
        if not thread.daemon:
            thread.join(max(0.0, deadline - time.monotonic()))
    # A daemon may be in the middle of torch's import or of a load: libraries that are torn down
    # under it abort the process.
    if any(thread.is_alive() for thread in others):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
