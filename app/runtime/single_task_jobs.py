"""Jobs whose work is one task, run again as a whole after an interruption."""

import logging
from collections.abc import Callable

from app.database.connections import Sessions
from app.errors import ImageSearchError, Interrupted, ModelUnavailable, own_fault
from app.ingest.jobs import job_control, jobs
from app.ingest.jobs.jobs import Job

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 5  # that end with an error nobody expects; then the job fails


def run(sessions: Sessions, job_id: int, attempt: int, work: Callable[[Job], None]) -> None:
    """Start the job and do `work`, which closes it; `attempt` counts from 1.

    An error of ours ends the job with its sentence. Raises Interrupted and ModelUnavailable unless
    the job was cancelled, and until the last attempt any unexpected error.
    """
    with sessions.begin() as session:
        job = jobs.start(session, job_id)
    if job.listed or job.state != "running":
        return
    try:
        work(job)
    except (Interrupted, ModelUnavailable) as error:
        with sessions.begin() as session:
            goes_on = job_control.goes_on_after(session, job_id, error)
        if goes_on:
            raise
    except ImageSearchError as error:
        _close(sessions, job_id, str(error))
    except Exception as error:
        if attempt < MAX_ATTEMPTS:
            raise
        log.exception("job %s failed for good", job_id)
        _close(sessions, job_id, own_fault(error))


def finish(sessions: Sessions, job_id: int) -> None:
    """Close a job that was cancelled."""
    with sessions.begin() as session:
        job = jobs.get(session, job_id)
        if job.state == "cancelling":
            jobs.close(session, job)


def _close(sessions: Sessions, job_id: int, reason: str) -> None:
    with sessions.begin() as session:
        jobs.close(session, jobs.get(session, job_id), reason)
