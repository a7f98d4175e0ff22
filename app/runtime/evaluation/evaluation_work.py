"""A worker's part of evaluations: each is one task, begun anew after an interruption."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.errors import (
    EvaluationRejected,
    ImageSearchError,
    Interrupted,
    ModelUnavailable,
    own_fault,
)
from app.feedback.golden.golden_rows import GoldenQuery
from app.index import generations
from app.ingest import jobs
from app.ingest.job_control import EVALUATION
from app.ingest.jobs import Job
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.evaluation import evaluation_rows
from app.runtime.evaluation.evaluation_result import Evaluation
from app.runtime.evaluation.evaluations import usable_queries
from app.runtime.evaluation.index_run import IndexRun

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3  # that end with an error nobody expects; then the job fails


@dataclass(frozen=True)
class EvaluationWork:
    """Runs the tasks of evaluations, on the calling thread."""

    sessions: Sessions
    registry: CollectionRegistry

    def run(self, job_id: int, attempt: int) -> None:
        """Evaluate, store the result and close the job; `attempt` counts from 1.

        Raises Interrupted, ModelUnavailable, and until the last attempt any unexpected error.
        """
        with self.sessions.begin() as session:
            job = jobs.start(session, job_id)
        if job.listed or job.state != "running":
            return
        try:
            result = self._evaluated(job)
            with self.sessions.begin() as session:
                evaluation_rows.save(session, job_id, result)
                jobs.close(session, jobs.get(session, job_id))
        except (Interrupted, ModelUnavailable) as error:
            self._note(job_id, error)
        except ImageSearchError as error:
            self._close(job_id, str(error))
        except Exception as error:
            if attempt < MAX_ATTEMPTS:
                raise
            log.exception("job %s failed for good", job_id)
            self._close(job_id, own_fault(error))

    def finish(self, job_id: int, attempt: int) -> None:
        """Close a job that was cancelled; all attempts are alike."""
        with self.sessions.begin() as session:
            job = jobs.get(session, job_id)
            if job.state == "cancelling":
                jobs.close(session, job)

    def _note(self, job_id: int, error: Interrupted | ModelUnavailable) -> None:
        """Raise it again, unless the job was cancelled meanwhile."""
        with self.sessions.begin() as session:
            if jobs.get(session, job_id).state != "running":
                return
            if isinstance(error, ModelUnavailable):
                jobs.note_waiting(session, job_id, str(error))
        raise error

    def _close(self, job_id: int, reason: str) -> None:
        with self.sessions.begin() as session:
            jobs.close(session, jobs.get(session, job_id), reason)

    def _evaluated(self, job: Job) -> dict[str, Any]:
        with self.sessions.begin() as session:
            queries = usable_queries(session, job.collection_id)
            indexes = [
                generations.get(session, job.collection_id, generation_id).index
                for generation_id in _asked(job)["generations"]
            ]
            evaluation_rows.begin(session, job.id, len(queries) * len(indexes))
        evaluation = Evaluation(queries, self._runs(job, queries, indexes), None)
        try:
            return evaluation.to_json()
        except ValueError as error:
            raise EvaluationRejected(
                "No golden query is left: a generation has no vector of the pictures that they "
                "search with."
            ) from error

    def _runs(
        self, job: Job, queries: Sequence[GoldenQuery], indexes: Sequence[VectorIndex]
    ) -> list[Any]:
        count = partial(self._count, job.id)
        return [
            IndexRun(self.sessions, index, self.registry.encoder_of(index), count).run(queries)
            for index in indexes
        ]

    def _count(self, job_id: int, steps: int) -> None:
        with self.sessions.begin() as session:
            evaluation_rows.count(session, job_id, steps)


def _asked(job: Job) -> Mapping[str, Any]:
    asked: Mapping[str, Any] = job.source[EVALUATION]
    return asked
