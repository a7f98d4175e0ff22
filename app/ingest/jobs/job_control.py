"""Cancel, retry and resume jobs, and the upkeep of their queue.

Every function takes a Session and leaves the transaction to its caller.
"""

from contextlib import suppress
from datetime import timedelta

from sqlalchemy import delete, exists, func, select, text, update
from sqlalchemy.orm import Session

from app.database.job_tables import job_items, jobs
from app.database.tables import vector_indexes
from app.errors import Interrupted, JobConflict, ModelUnavailable
from app.ingest.jobs.job_items import OPEN, enqueue_batches
from app.ingest.jobs.jobs import JOB_COLUMNS, Job, get, note_waiting, settle
from app.ingest.jobs.retryability import could_be_retried
from app.ingest.jobs.task_queue import BULK_PRIORITY, LIST, SENT_PRIORITY, enqueue

RETENTION = timedelta(days=30)  # how long finished jobs are kept
REINDEXING = (
    "reindex"  # the source of a job that fills a new generation of the collection's vectors
)
EVALUATION = "evaluate"  # that of one that compares generations and models by golden queries
LABELLING = "labels"  # that of one that labels the collection's pictures by a label set
ANNOTATING = "annotate"  # that of one that looks at the collection's pictures for an annotator

WITHOUT_ITEMS = (REINDEXING, EVALUATION, LABELLING, ANNOTATING)
"""Jobs on what the collection has: their counts are of pictures or searches, not of items."""


def goes_on_after(session: Session, job_id: int, error: Interrupted | ModelUnavailable) -> bool:
    """Whether an interrupted job is to be tried again, or was cancelled meanwhile.

    A job that waits for a model says so.
    """
    if get(session, job_id).state != "running":
        return False
    if isinstance(error, ModelUnavailable):
        note_waiting(session, job_id, error)
    return True


def is_reindexing(job: Job) -> bool:
    """Whether the job embeds the collection's own pictures again, rather than files of a source."""
    return REINDEXING in job.source


def is_evaluation(job: Job) -> bool:
    """Whether the job searches for the collection's golden queries."""
    return EVALUATION in job.source


def is_labelling(job: Job) -> bool:
    """Whether the job labels the collection's pictures."""
    return LABELLING in job.source


def is_annotating(job: Job) -> bool:
    """Whether the job looks at the collection's pictures for an annotator."""
    return ANNOTATING in job.source


def resume(session: Session, job: Job, batch_size: int) -> None:
    """Write the missing tasks of an unfinished job, and touch its `updated_at`."""
    session.execute(update(jobs).where(jobs.c.id == job.id).values(updated_at=func.now()))
    if not job.listed:
        enqueue(session, LIST, job.queue, {"job_id": job.id})
        return
    query = select(job_items.c.id).where(job_items.c.job_id == job.id, OPEN)
    ids = list(session.execute(query.order_by(job_items.c.id)).scalars())
    enqueue_batches(session, job, ids, batch_size, BULK_PRIORITY)
    settle(session, job.id)


def cancel(session: Session, job_id: int) -> Job:
    """Cancel all items not yet begun; those in progress finish. Raises JobNotFound, JobConflict."""
    job = get(session, job_id)
    if job.finished_at is not None:
        raise JobConflict(f"Job {job_id} has ended as {job.state}: there is nothing to cancel.")
    query = update(job_items).where(
        job_items.c.job_id == job_id, job_items.c.state == "pending", ~job_items.c.removal
    )
    query = query.values(state="cancelled", outcome="cancelled", updated_at=func.now())
    number = len(session.execute(query.returning(job_items.c.id)).all())
    if job.source.keys() & {*WITHOUT_ITEMS}:
        number = job.total - job.done
    changes = {"cancelled": jobs.c.cancelled + number, "listed": True, "updated_at": func.now()}
    query = update(jobs).where(jobs.c.id == job_id, jobs.c.finished_at.is_(None))
    session.execute(query.values(state="cancelling", **changes))
    settle(session, job_id)
    return get(session, job_id)


def cancel_if_open(session: Session, job_id: int) -> None:
    """The same, unless the job has ended; it may do so at this moment. Raises JobNotFound."""
    with suppress(JobConflict):
        cancel(session, job_id)


def retry(session: Session, job_id: int, batch_size: int) -> Job:
    """Try the failed files of an ended job again, and the listing if that failed.

    Uploaded files that were refused are deleted and stay failed. Raises JobNotFound, JobConflict.
    """
    job = get(session, job_id)
    if job.finished_at is None:
        raise JobConflict(f"Job {job_id} is {job.state}: wait for its end, or cancel it.")
    if is_reindexing(job):
        return _retry_reindexing(session, job)
    query = update(job_items).where(job_items.c.job_id == job_id, job_items.c.state == "failed")
    query = query.where(jobs.c.id == job_items.c.job_id, could_be_retried())
    query = query.values(state="pending", outcome=None, attempts=0, leases=0, updated_at=func.now())
    ids = sorted(session.execute(query.returning(job_items.c.id)).scalars())
    if not ids and not job.reason:
        raise JobConflict(f"Job {job_id} has no failed file that could be tried again.")
    changes = {
        "state": "running",
        "failed": jobs.c.failed - len(ids),
        "reason": None,
        "code": None,
        "finished_at": None,
        "listed": job.reason is None,
        "webhook_status": "waiting",
        "webhook_attempts": 0,
        "webhook_reason": None,
        "updated_at": func.now(),
    }
    query = update(jobs).where(jobs.c.id == job_id, jobs.c.finished_at.is_not(None))
    if session.execute(query.values(changes).returning(jobs.c.id)).first() is None:
        raise JobConflict(f"Job {job_id} is being retried already.")
    if job.reason is not None:
        enqueue(session, LIST, job.queue, {"job_id": job_id})
    enqueue_batches(session, job, ids, batch_size, SENT_PRIORITY)
    return get(session, job_id)


def _retry_reindexing(session: Session, job: Job) -> Job:
    """Forget which originals were unreadable, so that they are looked for again."""
    query = delete(job_items).where(job_items.c.job_id == job.id, job_items.c.state == "failed")
    failed = len(session.execute(query.returning(job_items.c.id)).all())
    if not failed or job.state != "succeeded":
        raise JobConflict(f"Job {job.id} has no failed picture that could be tried again.")
    changes = {"state": "running", "listed": False, "finished_at": None, "updated_at": func.now()}
    again = update(jobs).where(jobs.c.id == job.id, jobs.c.finished_at.is_not(None))
    again = again.values(**changes, failed=0, total=jobs.c.total - failed)
    if session.execute(again.returning(jobs.c.id)).first() is None:
        raise JobConflict(f"Job {job.id} is being retried already.")
    enqueue(session, LIST, job.queue, {"job_id": job.id})
    return get(session, job.id)


def rescue(session: Session, lease_seconds: float) -> None:
    """Requeue the tasks of workers whose heartbeat is older than this, each once."""
    stalled = text(
        "SELECT q.id FROM procrastinate_jobs q LEFT JOIN procrastinate_workers w "
        "ON w.id = q.worker_id WHERE q.status = 'doing' AND (w.id IS NULL "
        "OR w.last_heartbeat < now() - make_interval(secs => :lease)) "
        "FOR UPDATE OF q SKIP LOCKED"
    )
    again = text("SELECT procrastinate_retry_job_v2(:task, now(), NULL, NULL, NULL)")
    for task in list(session.execute(stalled, {"lease": lease_seconds}).scalars()):
        session.execute(again, {"task": task})


def without_tasks(session: Session, seconds: float) -> list[Job]:
    """Unfinished jobs without a task that have not been updated for `seconds`."""
    query = select(*JOB_COLUMNS).where(
        jobs.c.finished_at.is_(None),
        jobs.c.updated_at < func.now() - timedelta(seconds=seconds),
        text(
            "NOT EXISTS (SELECT 1 FROM procrastinate_jobs q WHERE q.status IN ('todo', 'doing') "
            "AND (q.args->>'job_id')::bigint = jobs.id)"
        ),
    )
    query = query.with_for_update(skip_locked=True)  # only one of two workers resumes it
    return [Job(**row) for row in session.execute(query).mappings()]


def purge(session: Session) -> list[str]:
    """Delete the jobs that ended more than RETENTION ago, with their items.

    Not the job of a generation, which lists the pictures that it lacks.
    Returns the names of their staged files, which were kept for a retry.
    """
    of_generation = exists().where(vector_indexes.c.job_id == jobs.c.id)
    old = (jobs.c.finished_at < func.now() - RETENTION) & ~of_generation
    of_items = select(job_items.c.staged).join(jobs, jobs.c.id == job_items.c.job_id)
    of_items = of_items.where(old, job_items.c.staged.is_not(None))
    staged = list(session.execute(of_items).scalars())
    query = delete(jobs).where(old).returning(jobs.c.source["staged"].astext)
    return [*staged, *filter(None, session.execute(query).scalars())]
