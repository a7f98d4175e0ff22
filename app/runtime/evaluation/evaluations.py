"""The requests about evaluations: begin one, read what it found."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from app.database.connections import Sessions, retry_on_lock
from app.errors import EvaluationRejected, GenerationConflict
from app.feedback.golden import golden_rows
from app.feedback.golden.golden_rows import GoldenQuery
from app.index import generations
from app.ingest import jobs
from app.ingest.job_control import EVALUATION
from app.ingest.jobs import NewJob
from app.runtime.collection_registry import KnownCollection
from app.runtime.evaluation import evaluation_rows
from app.runtime.evaluation.evaluation_rows import StoredEvaluation

MAX_SYSTEMS = 5  # in one evaluation, besides the active generation


@dataclass(frozen=True)
class Evaluations:
    """Answers requests about evaluations. `queue` is that of this disk."""

    sessions: Sessions
    queue: str

    def submit(self, known: KnownCollection, generation_ids: Sequence[int]) -> int:
        """A job that compares generations with the active one; returns its id.

        Raises EvaluationRejected, GenerationNotFound, GenerationConflict.
        """
        chosen = [one for one in dict.fromkeys(generation_ids) if one != known.index.id]
        if len(chosen) > MAX_SYSTEMS:
            raise EvaluationRejected(
                f"generations: at most {MAX_SYSTEMS} besides the active one are compared at once."
            )
        return retry_on_lock(self.sessions, partial(self._begin, known=known, chosen=chosen))

    def _begin(self, session: Session, known: KnownCollection, chosen: Sequence[int]) -> int:
        collection_id = known.collection.id
        for generation_id in chosen:
            if generations.get(session, collection_id, generation_id).state == "building":
                raise GenerationConflict(
                    f"Generation {generation_id} is still building: wait for the end of its job."
                )
        usable_queries(session, collection_id)
        about: dict[str, Any] = {"generations": [known.index.id, *chosen]}
        return jobs.create(session, NewJob(collection_id, {EVALUATION: about}, self.queue))

    def result(self, known: KnownCollection, job_id: int) -> StoredEvaluation:
        """What an evaluation found. Raises EvaluationNotFound."""
        with self.sessions.begin() as session:
            return evaluation_rows.get(session, known.collection.id, job_id)


def usable_queries(session: Session, collection_id: int) -> list[GoldenQuery]:
    """The golden queries that should find something. Raises EvaluationRejected if there is none."""
    found = golden_rows.page(session, collection_id, 0, golden_rows.MAX_QUERIES)
    usable = [one for one in found if one.relevant]
    if not usable:
        raise EvaluationRejected(
            "This collection has no golden query with a relevant picture: add some first, see "
            "docs/evaluation.md."
        )
    return usable
