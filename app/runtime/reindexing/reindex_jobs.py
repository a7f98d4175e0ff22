"""SQL on the jobs of reindexings: unlike others', their items are the unreadable pictures alone.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from app.database.job_tables import job_items, jobs
from app.database.tables import VectorIndex
from app.errors import GenerationConflict, Interrupted
from app.ingest.jobs import jobs as job_rows
from app.ingest.jobs.job_control import REINDEXING
from app.ingest.jobs.jobs import Job, NewJob
from app.runtime.reindexing.changes import Changes
from app.runtime.reindexing.generation_fill import Unreadable


def create(
    session: Session, collection_id: int, queue: str, wanted: Changes, *, dry_run: bool = False
) -> int:
    """A job that builds a generation; returns its id. Raises CollectionNotFound."""
    source = {REINDEXING: wanted.to_json()}
    return job_rows.create(session, NewJob(collection_id, source, queue, dry_run=dry_run))


def require_none_open(session: Session, collection_id: int) -> None:
    """Raises GenerationConflict if the collection is being reindexed."""
    query = select(jobs.c.id).where(
        jobs.c.collection_id == collection_id,
        jobs.c.finished_at.is_(None),
        jobs.c.source.has_key(REINDEXING),
        ~jobs.c.dry_run,
    )
    for job_id in session.execute(query).scalars():
        raise GenerationConflict(
            f"Job {job_id} reindexes this collection already: wait for its end, or cancel it."
        )


def of_collection(session: Session, collection_id: int, after: int) -> list[Job]:
    """Its jobs with ids above `after`, the newest first; one at most is open. No dry runs."""
    query = select(*job_rows.JOB_COLUMNS).where(
        jobs.c.collection_id == collection_id,
        jobs.c.id > after,
        jobs.c.source.has_key(REINDEXING),
        ~jobs.c.dry_run,
    )
    rows = session.execute(query.order_by(jobs.c.id.desc())).mappings()
    return [Job(**row) for row in rows]


def note_generation(session: Session, job: Job, index: VectorIndex) -> None:
    """Which generation it fills, for those who read the job."""
    note(session, job, generation=index.id)


def note(session: Session, job: Job, **facts: Any) -> None:
    """Add to what its source tells."""
    source = {REINDEXING: {**job.source[REINDEXING], **facts}}
    session.execute(update(jobs).where(jobs.c.id == job.id).values(source=source))


def wanted(job: Job) -> Changes:
    """What the job builds."""
    return Changes.from_json(job.source[REINDEXING])


def has_begun(job: Job) -> bool:
    """Whether there was a generation, which may have been deleted since."""
    return "generation" in job.source[REINDEXING]


def start_over(session: Session, job: Job) -> None:
    """Forget what was counted: a dry run begins anew after a kill."""
    session.execute(delete(job_items).where(job_items.c.job_id == job.id))
    nothing = {"added": 0, "failed": 0, "total": 0}
    session.execute(update(jobs).where(jobs.c.id == job.id).values(**nothing))


def expect(session: Session, job: Job, missing: int) -> None:
    """Set the total: what is done, and what is missing now."""
    query = update(jobs).where(jobs.c.id == job.id, jobs.c.state == "running")
    session.execute(query.values(total=jobs.c.added + jobs.c.failed + missing))


def count(job_id: int, session: Session, added: int, unreadable: Sequence[Unreadable]) -> None:
    """Write down a batch. Raises Interrupted if the job was cancelled, which undoes the batch."""
    note_unreadable(session, job_id, unreadable)
    done = {"added": jobs.c.added + added, "failed": jobs.c.failed + len(unreadable)}
    query = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "running")
    total = func.greatest(jobs.c.total, jobs.c.added + jobs.c.failed + added + len(unreadable))
    query = query.values(**done, total=total, updated_at=func.now())
    if session.execute(query.returning(jobs.c.id)).first() is None:
        raise Interrupted("The job was cancelled.")


def count_later(
    job_id: int | None, session: Session, added: int, unreadable: Sequence[Unreadable]
) -> None:
    """The same for pictures that came after the job's end: vectors are not counted any more."""
    if job_id is None or not unreadable:
        return
    note_unreadable(session, job_id, unreadable)
    more = len(unreadable)
    counts = {"failed": jobs.c.failed + more, "total": jobs.c.total + more}
    session.execute(update(jobs).where(jobs.c.id == job_id).values(**counts))


def note_unreadable(session: Session, job_id: int, unreadable: Sequence[Unreadable]) -> None:
    """An item for each picture whose original could not be read."""
    rows = [
        {
            "job_id": job_id,
            "path": one.picture.path,
            "etag": one.picture.etag,
            "bytes": one.picture.bytes,
            "state": "failed",
            "outcome": "failed",
            "reason": one.reason,
            "attempts": 1,
            "image_id": one.picture.id,
        }
        for one in unreadable
    ]
    if rows:
        session.execute(insert(job_items), rows)


def filled(session: Session, job_id: int) -> None:
    """Nothing is missing: the job can be finished."""
    query = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "running")
    values = {"listed": True, "total": jobs.c.added + jobs.c.failed, "updated_at": func.now()}
    session.execute(query.values(values))
    job_rows.settle(session, job_id)


def lock_state(session: Session, job_id: int) -> str:
    """The job's state, which stays so until the transaction ends."""
    query = select(jobs.c.state).where(jobs.c.id == job_id).with_for_update()
    state: str = session.execute(query).scalar_one()
    return state
