"""Waiting for the end of a job, through a restart of the database too."""

import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import OperationalError

from app.ingest.jobs.jobs import Job

FOLLOW_SECONDS = 0.1  # between looks at the job
AWAY_SECONDS = 60.0  # for the database to come back


def follow(look: Callable[[], Job], show: Callable[[Job], object], stop: threading.Event) -> Job:
    """Wait until the job that `look` reads ends or `stop` is set, calling `show` with its progress.

    Raises OperationalError if the database does not answer for AWAY_SECONDS.
    """
    job, heard_of = look(), time.monotonic()
    while job.finished_at is None and not stop.wait(FOLLOW_SECONDS):
        show(job)
        try:
            job, heard_of = look(), time.monotonic()
        except OperationalError:
            if time.monotonic() - heard_of > AWAY_SECONDS:
                raise
    show(job)
    return job
