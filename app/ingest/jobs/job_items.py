"""SQL on the files of jobs.

Every function takes a Session and leaves the transaction to its caller. Items are always written
before their job's row, to avoid deadlocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from app.database.job_tables import job_items, jobs
from app.ingest.jobs.jobs import Job, get, settle
from app.ingest.jobs.task_queue import BULK_PRIORITY, INGEST, enqueue


@dataclass(frozen=True)
class Item:
    """One file of a job."""

    id: int
    job_id: int
    path: str
    etag: str
    bytes: int | None
    removal: bool
    staged: str | None
    caption: str | None
    metadata: dict[str, Any] | None
    sidecars: list[str] | None
    taken: dict[str, Any] | None
    derived_place: dict[str, str] | None
    state: str
    outcome: str | None
    reason: str | None
    code: str | None
    attempts: int
    leases: int
    worker: str | None
    image_id: int | None
    updated_at: datetime


@dataclass(frozen=True)
class NewItem:
    """A file found by the listing; with a `reason` it is refused at once, a `note` is a warning.

    `code` is the reason's, if it has one.
    `sidecars` are the names of those beside it; `taken` is when it was taken, as recorded;
    `derived_place` is named from the position in its sidecar.
    """

    path: str
    etag: str = ""
    bytes: int | None = None
    removal: bool = False
    staged: str | None = None
    caption: str | None = None
    metadata: dict[str, Any] | None = None
    sidecars: list[str] | None = None
    taken: Mapping[str, Any] | None = None
    derived_place: dict[str, str] | None = None
    reason: str | None = None
    code: str | None = None
    note: str | None = None

    def values(self) -> dict[str, Any]:
        """Its columns, without the job."""
        columns = {**vars(self), "reason": self.reason or self.note}
        del columns["note"]
        failed = "failed" if self.reason else None
        return {**columns, "state": failed or "pending", "outcome": failed}


@dataclass(frozen=True)
class ListedFile:
    """A chunk of a source's listing, from the checkpoint `after` to `checkpoint`.

    `unchanged` counts files that become no items, `ignored` and `companions` names that are no
    files of the job; `whole` marks the end of the listing.
    """

    after: str | None
    items: Sequence[NewItem] = ()
    unchanged: int = 0
    checkpoint: str | None = None
    whole: bool = False
    priority: int = field(default=BULK_PRIORITY, kw_only=True)
    ignored: int = field(default=0, kw_only=True)
    companions: int = field(default=0, kw_only=True)


ITEM_COLUMNS = [job_items.c[name] for name in Item.__dataclass_fields__]
OPEN = job_items.c.state.in_(("pending", "running")) & ~job_items.c.removal


def items(
    session: Session,
    job_id: int,
    limit: int,
    *,
    state: str | None = None,
    outcome: str | None = None,
    after: int = 0,
) -> list[Item]:
    """Items of a job with ids above `after`, in the order of its listing."""
    query = select(*ITEM_COLUMNS).where(job_items.c.job_id == job_id, job_items.c.id > after)
    if state is not None:
        query = query.where(job_items.c.state == state)
    if outcome is not None:
        query = query.where(job_items.c.outcome == outcome)
    rows = session.execute(query.order_by(job_items.c.id).limit(limit)).mappings()
    return [Item(**row) for row in rows]


def attach(
    session: Session, job_id: int, new: Sequence[NewItem], batch_size: int, priority: int
) -> None:
    """Write the files of an upload, and the tasks of those that are not refused."""
    job = get(session, job_id)
    fresh = _insert(session, job, new)
    enqueue_batches(session, job, fresh, batch_size, priority)
    counts = {"total": jobs.c.total + len(new), "failed": jobs.c.failed + len(new) - len(fresh)}
    session.execute(update(jobs).where(jobs.c.id == job_id).values(counts))
    settle(session, job_id)


def _insert(session: Session, job: Job, new: Sequence[NewItem]) -> list[int]:
    """Write items; returns the ids of those to work on."""
    rows = [{"job_id": job.id, **item.values()} for item in new]
    query = insert(job_items).returning(job_items.c.id, sort_by_parameter_order=True)
    ids = session.execute(query, rows).scalars() if rows else ()
    pairs = zip(ids, new, strict=True)
    return [item_id for item_id, item in pairs if not item.removal and not item.reason]


def add_listed(session: Session, job: Job, listed: ListedFile, batch_size: int) -> bool:
    """Write a chunk of the listing and the tasks of its items, `batch_size` each.

    False if the job is no longer running or another worker has listed this chunk: the caller
    must then stop listing and roll back.
    """
    fresh = _insert(session, job, listed.items)
    enqueue_batches(session, job, fresh, batch_size, listed.priority)
    files = sum(not item.removal for item in listed.items)
    changes = {
        "total": jobs.c.total + files + listed.unchanged,
        "unchanged": jobs.c.unchanged + listed.unchanged,
        "ignored": jobs.c.ignored + listed.ignored,
        "companions": jobs.c.companions + listed.companions,
        "failed": jobs.c.failed + files - len(fresh),
        "checkpoint": listed.checkpoint or jobs.c.checkpoint,
        "listed": listed.whole,
        "updated_at": func.now(),
    }
    count = update(jobs).where(
        jobs.c.id == job.id,
        jobs.c.state == "running",
        ~jobs.c.listed,
        jobs.c.checkpoint.is_not_distinct_from(listed.after),
    )
    count = count.values(changes)
    running = session.execute(count.returning(jobs.c.id)).first() is not None
    if running:
        settle(session, job.id)
    return running


def enqueue_batches(
    session: Session, job: Job, ids: Sequence[int], size: int, priority: int, wait_seconds: int = 0
) -> None:
    """Write tasks for these items, `size` items each."""
    batches = [
        {"job_id": job.id, "item_ids": list(ids[start : start + size])}
        for start in range(0, len(ids), size)
    ]
    if batches:
        enqueue(session, INGEST, job.queue, *batches, priority=priority, wait_seconds=wait_seconds)


def moved(session: Session, job_id: int, image_ids: Sequence[int]) -> set[int]:
    """Which of the pictures this dry run has found moved."""
    query = select(job_items.c.image_id).where(
        job_items.c.job_id == job_id,
        job_items.c.outcome == "moved",
        job_items.c.image_id.in_(image_ids),
    )
    return set(session.execute(query).scalars())


def staged_bytes(session: Session, job_id: int) -> int:
    """The size of the job's staged files that are still to be indexed."""
    query = select(func.coalesce(func.sum(job_items.c.bytes), 0)).where(
        job_items.c.job_id == job_id, job_items.c.staged.is_not(None), OPEN
    )
    return int(session.execute(query).scalar_one())


def staged_of_cancelled(session: Session, job_id: int) -> list[str]:
    """The names of the staged files of cancelled items."""
    query = select(job_items.c.staged).where(
        job_items.c.job_id == job_id,
        job_items.c.state == "cancelled",
        job_items.c.staged.is_not(None),
    )
    return [str(name) for name in session.execute(query).scalars()]


def removals(session: Session, job_id: int, limit: int) -> list[Item]:
    """Pictures missing from the listing that are not decided yet."""
    query = select(*ITEM_COLUMNS).where(
        job_items.c.job_id == job_id, job_items.c.removal, job_items.c.state == "pending"
    )
    rows = session.execute(query.order_by(job_items.c.id).limit(limit)).mappings()
    return [Item(**row) for row in rows]


def unlisted_folders(session: Session, job_id: int) -> tuple[str, ...]:
    """The folders that could not be listed, each with a slash at its end."""
    query = select(job_items.c.path).where(
        job_items.c.job_id == job_id,
        job_items.c.state == "failed",
        job_items.c.path.endswith("/"),
    )
    return tuple(session.execute(query).scalars())


def dismiss(session: Session, ids: Sequence[int]) -> None:
    """Delete removals that turned out to be none: the file was moved, or is back."""
    session.execute(delete(job_items).where(job_items.c.id.in_(ids)))


def dismiss_removals(session: Session, job_id: int) -> None:
    """Delete all undecided removals."""
    undecided = (job_items.c.job_id == job_id, job_items.c.removal, job_items.c.state == "pending")
    session.execute(delete(job_items).where(*undecided))
