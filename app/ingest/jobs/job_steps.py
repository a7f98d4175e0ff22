"""SQL on the progress of jobs that count steps instead of files.

Every function takes a Session and leaves the transaction to its caller.
"""

from sqlalchemy import func, update
from sqlalchemy.orm import Session

from app.database.job_tables import jobs
from app.errors import Interrupted


def begin(session: Session, job_id: int, total: int, *, done: int = 0) -> None:
    """The job takes `total` steps, and `done` are; those of an earlier attempt do not count."""
    query = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "running")
    session.execute(query.values(total=total, added=done, failed=0, updated_at=func.now()))


def extend(session: Session, job_id: int, steps: int) -> None:
    """The job takes further steps. Raises Interrupted if the job was cancelled."""
    query = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "running")
    query = query.values(total=jobs.c.total + steps, updated_at=func.now())
    if session.execute(query.returning(jobs.c.id)).first() is None:
        raise Interrupted("The job was cancelled.")


def count(session: Session, job_id: int, steps: int, *, failed: bool = False) -> None:
    """Note steps that were done, or failed. Raises Interrupted if the job was cancelled."""
    query = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "running")
    counter = jobs.c.failed if failed else jobs.c.added
    done = jobs.c.added + jobs.c.failed + steps
    counted = {counter: counter + steps, jobs.c.total: func.greatest(jobs.c.total, done)}
    query = query.values({**counted, jobs.c.updated_at: func.now()})
    if session.execute(query.returning(jobs.c.id)).first() is None:
        raise Interrupted("The job was cancelled.")


def end(session: Session, job_id: int) -> None:
    """All steps are done. Raises Interrupted if the job was cancelled."""
    query = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "running")
    query = query.values(listed=True, added=jobs.c.total - jobs.c.failed, updated_at=func.now())
    if session.execute(query.returning(jobs.c.id)).first() is None:
        raise Interrupted("The job was cancelled.")
