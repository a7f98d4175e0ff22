"""SQL on the files of jobs that workers take: leased, given back, settled.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, and_, bindparam, func, select, tuple_, update
from sqlalchemy.orm import Session

from app.database.tables import job_items, jobs
from app.ingest.job_items import ITEM_COLUMNS, OPEN, Item, enqueue_batches
from app.ingest.jobs import BULK_PRIORITY, SENT_PRIORITY, Job, get, settle

MAX_ATTEMPTS = 3  # an item is tried so often, then it has failed
RETRY_SECONDS = 2  # before the second attempt; doubled for the third
MAX_LEASES = 30  # whatever killed its workers: then it has failed
WORN_OUT = "Each worker that worked on this file died."
SUSPECTS = 4  # files of a batch that may have killed a worker go so many at a time, then alone

STATE_OF = {
    **dict.fromkeys(("added", "changed", "moved", "removed"), "succeeded"),
    **dict.fromkeys(("unchanged", "duplicate", "gone"), "skipped"),
    "failed": "failed",
    "cancelled": "cancelled",
}
"""The state of an item by its outcome."""


@dataclass(frozen=True)
class ItemResult:
    """What became of an item; without an outcome it is to be tried again.

    `curable`: it has failed, but might not another day.
    """

    item: Item
    outcome: str | None
    reason: str | None = None
    image_id: int | None = None
    curable: bool = False


@dataclass(frozen=True)
class LeasedBatch:
    """The items that a worker may now work on, and their job as it was then."""

    job: Job
    items: Sequence[Item]


def take(session: Session, job_id: int, item_ids: Sequence[int], worker: str) -> LeasedBatch:
    """Take a batch that a task names, as far as it is still open.

    A batch that was taken before, by a worker that died of one of them, maybe, is written as
    smaller ones instead, at last of one each: then only the one to blame fails.
    """
    job = get(session, job_id)
    query = select(*ITEM_COLUMNS).where(job_items.c.id.in_(item_ids), OPEN)
    rows = session.execute(query.order_by(job_items.c.id).with_for_update()).mappings()
    found = [Item(**row) for row in rows]
    if job.state in {"cancelling", "cancelled"}:
        record(session, job, [ItemResult(item, "cancelled") for item in found])
        return LeasedBatch(job, [])
    worn = [item for item in found if _is_worn_out(item)]
    record(session, job, [ItemResult(item, "failed", WORN_OUT, curable=True) for item in worn])
    found = [item for item in found if not _is_worn_out(item)]
    size = _bearable(len(item_ids), max((item.leases for item in found), default=0))
    if len(found) > size:
        # Last of all: a file that kills its workers must not keep the others from their work.
        enqueue_batches(session, job, [item.id for item in found], size, BULK_PRIORITY)
        return LeasedBatch(job, [])
    return LeasedBatch(job, _mark_running(session, found, worker))


def _is_worn_out(item: Item) -> bool:
    return item.attempts >= MAX_ATTEMPTS or item.leases >= MAX_LEASES


def _bearable(size: int, leases: int) -> int:
    """How many items a worker may risk at once that have been taken so often."""
    return size if leases == 0 else SUSPECTS if leases == 1 else 1


def _mark_running(session: Session, found: Sequence[Item], worker: str) -> list[Item]:
    """The items as they are now, but for the attempt of one that is alone: see `survived`."""
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


def survived(session: Session, taken: Sequence[Item]) -> None:
    """The worker has read and decoded the one file that it took, and lives.

    Should it die later the file is not to blame: without this, one would fail that only happened
    to be at hand when three workers died. Of many that are taken together none is blamed.
    """
    if len(taken) == 1:
        query = update(job_items).where(_ours(taken))
        session.execute(query.values(attempts=taken[0].attempts))


def still_ours(session: Session, taken: Sequence[Item]) -> set[int]:
    """Lock the items; the ids of those that nobody else has taken meanwhile."""
    query = select(job_items.c.id).where(_ours(taken)).order_by(job_items.c.id)
    return set(session.execute(query.with_for_update()).scalars())


def _ours(taken: Sequence[Item]) -> ColumnElement[bool]:
    leases = [(item.id, item.leases) for item in taken]
    return and_(
        job_items.c.state == "running", tuple_(job_items.c.id, job_items.c.leases).in_(leases)
    )


def note(session: Session, job: Job, results: Sequence[ItemResult]) -> None:
    """Write what became of items, and count it."""
    if not results:
        return
    _write(session, results)
    counts = Counter(result.outcome for result in results if result.outcome)
    changes = {outcome: jobs.c[outcome] + number for outcome, number in counts.items()}
    query = update(jobs).where(jobs.c.id == job.id)
    session.execute(query.values(updated_at=func.now(), **changes))


def record(session: Session, job: Job, results: Sequence[ItemResult]) -> None:
    """Write what became of items, count it, and finish the job or try again what is left."""
    if not results:
        return
    note(session, job, results)
    again = [result.item for result in results if result.outcome is None]
    for attempts in sorted({item.attempts for item in again}):
        ids = [item.id for item in again if item.attempts == attempts]
        wait = RETRY_SECONDS * 2**attempts
        enqueue_batches(session, job, ids, len(ids), SENT_PRIORITY, wait)
    settle(session, job.id)


def keeps_staged(result: ItemResult) -> bool:
    """Whether the bytes that were sent along stay; what is cancelled goes at the job's end."""
    return result.outcome in {None, "cancelled"} or result.curable


def _write(session: Session, results: Sequence[ItemResult]) -> None:
    query = update(job_items).where(job_items.c.id == bindparam("the_id"))
    query = query.values(
        state=bindparam("the_state"),
        outcome=bindparam("the_outcome"),
        reason=bindparam("the_reason"),
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
            "the_image": result.image_id,
            "the_attempts": result.item.attempts + 1,
            # To be tried again, but nobody died of it: it need not go in fours.
            "the_leases": result.item.leases - (result.outcome is None),
            "the_staged": result.item.staged if keeps_staged(result) else None,
        }
        for result in results
    ]
    session.connection().execute(query, rows)


def release(session: Session, taken: Sequence[Item]) -> None:
    """Give back what was not done: the worker stops, and no attempt is counted."""
    attempts = {item.id: item.attempts for item in taken}
    for item_id in still_ours(session, taken):
        query = update(job_items).where(job_items.c.id == item_id)
        session.execute(
            query.values(state="pending", attempts=attempts[item_id], leases=job_items.c.leases - 1)
        )
