"""SQL on the files of jobs that workers take: leased, given back, settled.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from app.job_items import ITEM_COLUMNS, OPEN, Item, enqueue_batches
from app.jobs import SENT_PRIORITY, Job, get, settle
from app.tables import job_items, jobs

MAX_ATTEMPTS = 3  # an item is tried so often, then it has failed
RETRY_SECONDS = 2  # before the second attempt; doubled for the third
SUSPECTS = 8  # parts that a batch is cut into when its worker died of it, maybe

STATE_OF = {
    **dict.fromkeys(("added", "changed", "moved", "removed"), "succeeded"),
    **dict.fromkeys(("unchanged", "duplicate", "gone"), "skipped"),
    "failed": "failed",
    "cancelled": "cancelled",
}
"""The state of an item by its outcome."""


@dataclass(frozen=True)
class Result:
    """What became of an item; without an outcome it is to be tried again.

    `curable`: it has failed, but might not another day.
    """

    item: Item
    outcome: str | None
    reason: str | None = None
    image_id: int | None = None
    curable: bool = False


@dataclass(frozen=True)
class Taken:
    """The items that a worker may now work on, and their job as it was then."""

    job: Job
    items: Sequence[Item]


def take(session: Session, job_id: int, item_ids: Sequence[int], worker: str) -> Taken:
    """Take a batch that a task names, as far as it is still open.

    A batch of which some have been tried before, by a worker that died of one of them, maybe, is
    written as smaller ones instead, at last of one each: then only the one to blame fails.
    """
    job = get(session, job_id)
    query = select(*ITEM_COLUMNS).where(job_items.c.id.in_(item_ids), OPEN)
    rows = session.execute(query.order_by(job_items.c.id).with_for_update()).mappings()
    found = [Item(**row) for row in rows]
    if job.state in {"cancelling", "cancelled"}:
        record(session, job, [Result(item, "cancelled") for item in found])
        return Taken(job, [])
    worn = [item for item in found if item.attempts >= MAX_ATTEMPTS]
    record(session, job, [Result(item, "failed", _worn_out(item)) for item in worn])
    found = [item for item in found if item.attempts < MAX_ATTEMPTS]
    most = max((item.attempts for item in found), default=0)
    size = max(1, len(item_ids) // SUSPECTS) if most == 1 else 1 if most else len(item_ids)
    if len(found) > size:
        enqueue_batches(session, job, [item.id for item in found], size, SENT_PRIORITY)
        return Taken(job, [])
    return Taken(job, _mark_running(session, found, worker))


def _worn_out(item: Item) -> str:
    return item.reason or f"Its worker died {item.attempts} times while it worked on this file."


def _mark_running(session: Session, found: Sequence[Item], worker: str) -> list[Item]:
    query = update(job_items).where(job_items.c.id.in_([item.id for item in found]))
    query = query.values(
        state="running",
        attempts=job_items.c.attempts + 1,
        worker=worker,
        updated_at=func.now(),
    )
    rows = session.execute(query.returning(*ITEM_COLUMNS)).mappings()
    return sorted((Item(**row) for row in rows), key=lambda item: item.id)


def still_ours(session: Session, taken: Iterable[Item]) -> set[int]:
    """Lock the items; the ids of those that nobody else has taken meanwhile."""
    attempts = {item.id: item.attempts for item in taken}
    query = select(job_items.c.id, job_items.c.attempts).where(
        job_items.c.id.in_(attempts), job_items.c.state == "running"
    )
    rows = session.execute(query.order_by(job_items.c.id).with_for_update())
    return {row.id for row in rows if row.attempts == attempts[row.id]}


def note(session: Session, job: Job, results: Sequence[Result]) -> None:
    """Write what became of items, and count it."""
    if not results:
        return
    _write(session, results)
    counts = Counter(result.outcome for result in results if result.outcome)
    changes = {outcome: jobs.c[outcome] + number for outcome, number in counts.items()}
    query = update(jobs).where(jobs.c.id == job.id)
    session.execute(query.values(updated_at=func.now(), **changes))


def record(session: Session, job: Job, results: Sequence[Result]) -> None:
    """Write what became of items, count it, and finish the job or try again what is left."""
    if not results:
        return
    note(session, job, results)
    again = [result.item for result in results if result.outcome is None]
    for attempts in sorted({item.attempts for item in again}):
        ids = [item.id for item in again if item.attempts == attempts]
        wait = RETRY_SECONDS**attempts
        enqueue_batches(session, job, ids, len(ids), SENT_PRIORITY, wait)
    settle(session, job.id)


def keeps_staged(result: Result) -> bool:
    """Whether the bytes that were sent along are needed still."""
    return result.outcome is None or result.curable


def _write(session: Session, results: Sequence[Result]) -> None:
    query = update(job_items).where(job_items.c.id == bindparam("the_id"))
    query = query.values(
        state=bindparam("the_state"),
        outcome=bindparam("the_outcome"),
        reason=bindparam("the_reason"),
        image_id=bindparam("the_image"),
        staged=bindparam("the_staged"),
        updated_at=func.now(),
    )
    rows = [
        {
            "the_id": result.item.id,
            "the_state": STATE_OF[result.outcome] if result.outcome else "pending",
            "the_outcome": result.outcome,
            "the_reason": result.reason,
            "the_image": result.image_id,
            "the_staged": result.item.staged if keeps_staged(result) else None,
        }
        for result in results
    ]
    session.connection().execute(query, rows)


def release(session: Session, taken: Sequence[Item]) -> None:
    """Give back what was not begun: the worker stops, and no attempt is counted."""
    ours = still_ours(session, taken)
    query = update(job_items).where(job_items.c.id.in_(ours))
    session.execute(query.values(state="pending", attempts=job_items.c.attempts - 1))
