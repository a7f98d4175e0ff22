"""SQL on leases: a worker acquires a batch of a job's files, then records results or releases it.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, and_, bindparam, func, select, tuple_, update
from sqlalchemy.orm import Session

from app.database.job_tables import job_items, jobs
from app.ingest.jobs.job_items import ITEM_COLUMNS, OPEN, Item, enqueue_batches
from app.ingest.jobs.jobs import Job, get, settle
from app.ingest.jobs.task_queue import BULK_PRIORITY, SENT_PRIORITY

MAX_ATTEMPTS = 3  # of an item, before it has failed
RETRY_SECONDS = 2  # before the second attempt; doubled for the third
MAX_LEASES = 30  # of an item, whatever killed its workers, before it has failed
EXHAUSTED = "Every worker that read this file died."
SUSPECTS = 4  # items at a time of a batch that may have killed a worker; after that one by one

STATE_OF = {
    **dict.fromkeys(("added", "changed", "moved", "removed"), "succeeded"),
    **dict.fromkeys(("unchanged", "duplicate", "gone"), "skipped"),
    "failed": "failed",
    "cancelled": "cancelled",
}
"""The state of an item by its outcome."""


@dataclass(frozen=True)
class ItemResult:
    """The outcome of an item; None if it is to be tried again.

    `code` is that of the reason. `retryable`: it has failed, but a later retry may succeed.
    """

    item: Item
    outcome: str | None
    reason: str | None = None
    image_id: int | None = None
    retryable: bool = False
    code: str | None = None


@dataclass(frozen=True)
class LeasedBatch:
    """The items that a worker has acquired, and their job at that time."""

    job: Job
    items: Sequence[Item]


def acquire(session: Session, job_id: int, item_ids: Sequence[int], worker: str) -> LeasedBatch:
    """Acquire those items of a task's batch that are still open.

    A batch that was acquired before, perhaps by a worker that one of its files killed, is split
    into smaller batches instead, finally of one item each, so that only the culprit fails.
    """
    job = get(session, job_id)
    query = select(*ITEM_COLUMNS).where(job_items.c.id.in_(item_ids), OPEN)
    rows = session.execute(query.order_by(job_items.c.id).with_for_update()).mappings()
    found = [Item(**row) for row in rows]
    if job.state in {"cancelling", "cancelled"}:
        record(session, job, [ItemResult(item, "cancelled") for item in found])
        return LeasedBatch(job, [])
    exhausted = [item for item in found if _is_exhausted(item)]
    record(
        session, job, [ItemResult(item, "failed", EXHAUSTED, retryable=True) for item in exhausted]
    )
    found = [item for item in found if not _is_exhausted(item)]
    size = _batch_limit(len(item_ids), max((item.leases for item in found), default=0))
    if len(found) > size:
        # At the lowest priority: a file that kills its workers must not delay the others.
        enqueue_batches(session, job, [item.id for item in found], size, BULK_PRIORITY)
        return LeasedBatch(job, [])
    return LeasedBatch(job, _mark_running(session, found, worker))


def _is_exhausted(item: Item) -> bool:
    return item.attempts >= MAX_ATTEMPTS or item.leases >= MAX_LEASES


def _batch_limit(size: int, leases: int) -> int:
    """How many items that have been leased so often a worker may take at once."""
    return size if leases == 0 else SUSPECTS if leases == 1 else 1


def _mark_running(session: Session, found: Sequence[Item], worker: str) -> list[Item]:
    """The items as they are now, without the attempt counted in advance: see `clear_attempt`."""
    query = update(job_items).where(job_items.c.id.in_([item.id for item in found]))
    query = query.values(
        state="running",
        attempts=job_items.c.attempts + int(len(found) == 1),
        leases=job_items.c.leases + 1,
        worker=worker,
        updated_at=func.now(),
    )
    session.execute(query)
    return [replace(item, state="running", leases=item.leases + 1, worker=worker) for item in found]


def clear_attempt(session: Session, taken: Sequence[Item]) -> None:
    """Take back the attempt counted for a single item, once it was read and decoded safely.

    If the worker dies later, the file is not the cause: otherwise a file that merely happened to
    be in work when three workers died would fail. Items leased together are never blamed.
    """
    if len(taken) == 1:
        query = update(job_items).where(_ours(taken))
        session.execute(query.values(attempts=taken[0].attempts))


def still_held(session: Session, taken: Sequence[Item]) -> set[int]:
    """Lock the items; returns the ids of those whose lease nobody else has taken over."""
    query = select(job_items.c.id).where(_ours(taken)).order_by(job_items.c.id)
    return set(session.execute(query.with_for_update()).scalars())


def _ours(taken: Sequence[Item]) -> ColumnElement[bool]:
    leases = [(item.id, item.leases) for item in taken]
    return and_(
        job_items.c.state == "running", tuple_(job_items.c.id, job_items.c.leases).in_(leases)
    )


def write_results(session: Session, job: Job, results: Sequence[ItemResult]) -> None:
    """Write the results of items, and update the job's counts."""
    if not results:
        return
    _write(session, results)
    counts = Counter(result.outcome for result in results if result.outcome)
    changes = {outcome: jobs.c[outcome] + number for outcome, number in counts.items()}
    query = update(jobs).where(jobs.c.id == job.id)
    session.execute(query.values(updated_at=func.now(), **changes))


def record(session: Session, job: Job, results: Sequence[ItemResult]) -> None:
    """Write and count results, then requeue what is to be retried, or finish the job."""
    if not results:
        return
    write_results(session, job, results)
    again = [result.item for result in results if result.outcome is None]
    for attempts in sorted({item.attempts for item in again}):
        ids = [item.id for item in again if item.attempts == attempts]
        wait = RETRY_SECONDS * 2**attempts
        enqueue_batches(session, job, ids, len(ids), SENT_PRIORITY, wait)
    settle(session, job.id)


def keeps_staged(result: ItemResult) -> bool:
    """Whether the item's staged file is kept; those of cancelled items go at the job's end."""
    return result.outcome in {None, "cancelled"} or result.retryable


def _write(session: Session, results: Sequence[ItemResult]) -> None:
    query = update(job_items).where(job_items.c.id == bindparam("the_id"))
    query = query.values(
        state=bindparam("the_state"),
        outcome=bindparam("the_outcome"),
        reason=bindparam("the_reason"),
        code=bindparam("the_code"),
        image_id=bindparam("the_image"),
        staged=bindparam("the_staged"),
        attempts=bindparam("the_attempts"),
        leases=bindparam("the_leases"),
        updated_at=func.now(),
    )
    rows = [
        {
            "the_id": result.item.id,
            "the_state": STATE_OF[result.outcome] if result.outcome else "pending",
            "the_outcome": result.outcome,
            "the_reason": result.reason,
            "the_code": result.code,
            "the_image": result.image_id,
            "the_attempts": result.item.attempts + 1,
            # A retry without a dead worker: its batch need not be split.
            "the_leases": result.item.leases - (result.outcome is None),
            "the_staged": result.item.staged if keeps_staged(result) else None,
        }
        for result in results
    ]
    session.connection().execute(query, rows)


def release(session: Session, taken: Sequence[Item]) -> None:
    """Give back unfinished items because the worker stops; no attempt is counted."""
    attempts = {item.id: item.attempts for item in taken}
    for item_id in still_held(session, taken):
        query = update(job_items).where(job_items.c.id == item_id)
        session.execute(
            query.values(state="pending", attempts=attempts[item_id], leases=job_items.c.leases - 1)
        )
