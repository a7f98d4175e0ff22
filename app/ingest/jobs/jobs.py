"""SQL on jobs.

A job is what a person sees: a source, and the outcome of each of its files. The work is done by
tasks, see `task_queue.py`.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, case, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.database.job_tables import OUTCOMES, jobs
from app.database.tables import collections
from app.errors import CollectionNotFound, ImageSearchError, JobNotFound
from app.ingest.jobs.retryability import retryable
from app.ingest.jobs.task_queue import (
    FINISH,
    HAS_WORKER,
    LIST,
    NO_WORKER,
    SENT_PRIORITY,
    WEBHOOK,
    WEBHOOKS,
    enqueue,
)
from app.ingest.webhooks.messages import WebhookMessage
from app.metrics import QueueCounts

STATES = ("pending", "running", "succeeded", "failed", "cancelling", "cancelled")
DONE = tuple(outcome for outcome in OUTCOMES if outcome not in {"removed", "gone"})


@dataclass(frozen=True)
class Job:
    """One job; the counts are files."""

    id: int
    collection_id: int
    namespace: str
    collection: str
    source: dict[str, Any]
    mode: str
    dry_run: bool
    queue: str
    state: str
    reason: str | None
    code: str | None
    waiting: str | None
    waiting_code: str | None
    checkpoint: str | None
    listed: bool
    total: int
    added: int
    changed: int
    moved: int
    removed: int
    unchanged: int
    duplicate: int
    gone: int
    failed: int
    cancelled: int
    ignored: int
    companions: int
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    webhook_url: str | None
    webhook_id: str | None
    webhook_status: str
    webhook_attempts: int
    webhook_reason: str | None
    retryable: bool

    @property
    def done(self) -> int:
        """How many of the files listed so far are finished."""
        return sum(int(getattr(self, outcome)) for outcome in DONE)

    @property
    def skipped(self) -> int:
        """How many needed no work."""
        return self.unchanged + self.duplicate

    @property
    def rate(self) -> float | None:
        """Files processed per second, without the unchanged ones; None before the first."""
        worked = self.done - self.unchanged
        if not worked or self.started_at is None:
            return None
        seconds = ((self.finished_at or self.updated_at) - self.started_at).total_seconds()
        return worked / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the rate so far; None while the source is still being listed."""
        if self.finished_at:
            return 0.0
        return (self.total - self.done) / self.rate if self.listed and self.rate else None


def _of_collection(column: Column[str]) -> ColumnElement[str]:
    query = select(column).where(collections.c.id == jobs.c.collection_id)
    return query.correlate(jobs).scalar_subquery()


def _waiting() -> ColumnElement[str | None]:
    """Why a job makes no progress: what was noted, or that nobody would work on it."""
    nobody = case(((jobs.c.state == "pending") & text(f"NOT {HAS_WORKER}"), NO_WORKER), else_=None)
    return func.coalesce(jobs.c.waiting, nobody)


JOB_COLUMNS: list[ColumnElement[Any]] = [
    retryable().label("retryable"),
    _waiting().label("waiting"),
    _of_collection(collections.c.namespace).label("namespace"),
    _of_collection(collections.c.name).label("collection"),
    *(jobs.c[name] for name in Job.__dataclass_fields__ if name in jobs.c and name != "waiting"),
]


@dataclass(frozen=True)
class NewJob:
    """A job before it has a row: its source, the queue of workers that can read it, its mode."""

    collection_id: int
    source: Mapping[str, Any]
    queue: str
    mode: str = "add"  # sync: pictures that the source lacks are removed
    dry_run: bool = False
    listed: bool = False  # all its files are known already
    webhook_url: str | None = None  # where its end is reported


def create(session: Session, new: NewJob) -> int:
    """Write the job, and the task that lists its source; returns its id.

    Raises CollectionNotFound where its collection was deleted meanwhile.
    """
    values = {**vars(new), "source": dict(new.source)}
    query = insert(jobs).values(values).returning(jobs.c.id)
    try:
        job_id: int = session.execute(query).scalar_one()
    except IntegrityError as error:  # the only foreign key
        raise CollectionNotFound("This collection was deleted.") from error
    if not new.listed:
        enqueue(session, LIST, new.queue, {"job_id": job_id}, priority=SENT_PRIORITY)
    return job_id


def open_like(session: Session, new: NewJob) -> list[int]:
    """The ids of unfinished jobs identical to `new`."""
    query = select(jobs.c.id).where(
        jobs.c.finished_at.is_(None),
        jobs.c.collection_id == new.collection_id,
        jobs.c.source == dict(new.source),
        jobs.c.mode == new.mode,
        jobs.c.dry_run == new.dry_run,
    )
    return list(session.execute(query.order_by(jobs.c.id)).scalars())


def get(session: Session, job_id: int) -> Job:
    """One job. Raises JobNotFound."""
    row = session.execute(select(*JOB_COLUMNS).where(jobs.c.id == job_id)).mappings().one_or_none()
    if row is None:
        raise JobNotFound(f"There is no job with id {job_id}.")
    return Job(**row)


def newest(
    session: Session,
    collection_id: int | None,
    state: str | None,
    before: int | None,
    limit: int,
    namespace: str | None = None,
) -> list[Job]:
    """Jobs with ids below `before`, newest first; of one collection, a namespace, or all."""
    query = select(*JOB_COLUMNS).order_by(jobs.c.id.desc()).limit(limit)
    if namespace is not None:
        here = select(collections.c.id).where(collections.c.namespace == namespace)
        query = query.where(jobs.c.collection_id.in_(here))
    if collection_id is not None:
        query = query.where(jobs.c.collection_id == collection_id)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if before is not None:
        query = query.where(jobs.c.id < before)
    return [Job(**row) for row in session.execute(query).mappings()]


def start(session: Session, job_id: int) -> Job:
    """Mark the job as running unless it has been started before."""
    query = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "pending")
    session.execute(query.values(state="running", started_at=func.now(), updated_at=func.now()))
    waiting = update(jobs).where(jobs.c.id == job_id, jobs.c.waiting.is_not(None))
    session.execute(waiting.values(waiting=None, waiting_code=None))
    return get(session, job_id)


def note_waiting(session: Session, job_id: int, error: ImageSearchError) -> None:
    """Note why the job makes no progress now, until a task of it is begun again."""
    query = update(jobs).where(jobs.c.id == job_id, jobs.c.finished_at.is_(None))
    why = {"waiting": str(error), "waiting_code": error.code}
    session.execute(query.values(**why, updated_at=func.now()))


def settle(session: Session, job_id: int) -> None:
    """Write the task that finishes the job if no other work is left.

    The caller must have just updated the job's row, so that of two transactions that end at the
    same time the second sees the first.
    """
    job = get(session, job_id)
    if job.listed and job.done >= job.total and job.finished_at is None:
        enqueue(session, FINISH, job.queue, {"job_id": job_id}, priority=SENT_PRIORITY)


def give_up_listing(session: Session, job: Job, reason: str, code: str | None) -> None:
    """The source cannot be listed completely: work on what was listed, then fail the job."""
    query = update(jobs).where(jobs.c.id == job.id, jobs.c.state == "running")
    session.execute(query.values(listed=True, reason=reason, code=code, updated_at=func.now()))
    settle(session, job.id)


def close(session: Session, job: Job, reason: str | None = None, code: str | None = None) -> None:
    """End the job, and write the task that reports it; with a `reason` it has failed as a whole."""
    state = "cancelled" if job.state == "cancelling" else "failed" if reason else "succeeded"
    query = update(jobs).where(jobs.c.id == job.id, jobs.c.finished_at.is_(None))
    now = func.now()
    why = {"reason": reason, "code": code, "waiting": None, "waiting_code": None}
    query = query.values(state=state, **why, finished_at=now, updated_at=now)
    has_ended = session.execute(query.returning(jobs.c.id)).first() is not None
    if has_ended and job.webhook_url is not None:
        _report_end(session, get(session, job.id))


def _report_end(session: Session, job: Job) -> None:
    message = WebhookMessage.of_end(vars(job))
    query = update(jobs).where(jobs.c.id == job.id)
    session.execute(query.values(webhook_id=message.id, webhook_status="pending"))
    told = {"ended_job": job.id, "url": job.webhook_url, **vars(message), "attempt": 1}
    enqueue(session, WEBHOOK, WEBHOOKS, told)


def any_open(session: Session) -> bool:
    """Whether any job is unfinished."""
    query = select(jobs.c.id).where(jobs.c.finished_at.is_(None)).limit(1)
    return session.execute(query).first() is not None


def count_queue(session: Session) -> QueueCounts:
    """The number of tasks of jobs waiting for a worker, and of jobs by state."""
    waiting = text(
        "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo' AND queue_name <> :webhooks"
    ).bindparams(webhooks=WEBHOOKS)  # which may wait for a day
    by_state = select(jobs.c.state, func.count()).group_by(jobs.c.state)
    found = dict(session.execute(by_state).tuples().all())
    jobs_now = {state: found.get(state, 0) for state in STATES}
    return QueueCounts(session.execute(waiting).scalar_one(), jobs_now)
