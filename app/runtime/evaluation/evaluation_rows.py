"""SQL on what evaluations found, and on the progress of their jobs.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.golden_tables import evaluations
from app.database.job_tables import jobs
from app.database.tables import PRESENT, images
from app.errors import EvaluationNotFound, Interrupted
from app.index.hnsw_search import any_of


@dataclass(frozen=True)
class StoredEvaluation:
    """A result, as `Evaluation.to_json` has it, and when it was found."""

    job_id: int
    result: Mapping[str, Any]
    created_at: datetime


def begin(session: Session, job_id: int, total: int) -> None:
    """The job will take `total` steps; what an interrupted attempt has done is done again."""
    query = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "running")
    session.execute(query.values(total=total, added=0, updated_at=func.now()))


def count(session: Session, job_id: int, steps: int) -> None:
    """Note steps that were done. Raises Interrupted if the job was cancelled."""
    query = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "running")
    query = query.values(added=jobs.c.added + steps, updated_at=func.now())
    if session.execute(query.returning(jobs.c.id)).first() is None:
        raise Interrupted("The job was cancelled.")


def random_pictures(
    session: Session, collection_id: int, without: Sequence[int], limit: int
) -> list[int]:
    """The ids of `limit` pictures of a collection, chosen at random, always the same ones."""
    query = select(images.c.id).where(images.c.collection_id == collection_id, PRESENT)
    query = query.where(~(images.c.id == any_of(without)))
    chosen = query.order_by(func.hashint8(images.c.id), images.c.id).limit(limit)
    return list(session.execute(chosen).scalars())


def save(session: Session, job_id: int, result: Mapping[str, Any]) -> None:
    """Store the result; one of an earlier attempt is replaced. Raises Interrupted, as `count`."""
    query = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "running")
    query = query.values(listed=True, added=jobs.c.total)
    if session.execute(query.returning(jobs.c.id)).first() is None:
        raise Interrupted("The job was cancelled.")
    stored = upsert(evaluations).values(job_id=job_id, result=dict(result))
    changed = {"result": stored.excluded.result, "created_at": func.now()}
    session.execute(stored.on_conflict_do_update(index_elements=["job_id"], set_=changed))


def get(session: Session, collection_id: int, job_id: int) -> StoredEvaluation:
    """What a job of the collection found. Raises EvaluationNotFound."""
    query = (
        select(evaluations.c.job_id, evaluations.c.result, evaluations.c.created_at)
        .join(jobs, jobs.c.id == evaluations.c.job_id)
        .where(jobs.c.collection_id == collection_id, jobs.c.id == job_id)
    )
    row = session.execute(query).one_or_none()
    if row is None:
        raise EvaluationNotFound(
            f"This collection has no result of an evaluation by job {job_id}: it is still running, "
            "or is none, or has ended without one."
        )
    return StoredEvaluation(row.job_id, row.result, row.created_at)
