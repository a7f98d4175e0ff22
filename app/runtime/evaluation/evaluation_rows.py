"""SQL on what evaluations found.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.golden_tables import evaluations
from app.database.job_tables import jobs
from app.database.tables import PRESENT, images
from app.errors import EvaluationNotFound
from app.index.hnsw_search import any_of
from app.ingest.jobs import job_steps


@dataclass(frozen=True)
class StoredEvaluation:
    """A result, as `Evaluation.to_json` has it, and when it was found."""

    job_id: int
    result: Mapping[str, Any]
    created_at: datetime


def random_pictures(
    session: Session, collection_id: int, without: Sequence[int], limit: int
) -> list[int]:
    """The ids of `limit` pictures of a collection, chosen at random, always the same ones."""
    query = select(images.c.id).where(images.c.collection_id == collection_id, PRESENT)
    query = query.where(~(images.c.id == any_of(without)))
    chosen = query.order_by(func.hashint8(images.c.id), images.c.id).limit(limit)
    return list(session.execute(chosen).scalars())


def save(session: Session, job_id: int, result: Mapping[str, Any]) -> None:
    """Store the result; one of an earlier attempt is replaced. Raises Interrupted."""
    job_steps.end(session, job_id)
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
            f"Job {job_id} has no result of an evaluation of this collection: it is still running, "
            "ended without one, or is not an evaluation."
        )
    return StoredEvaluation(row.job_id, row.result, row.created_at)
