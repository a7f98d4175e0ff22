"""A worker's part of evaluations: each is one task, begun anew after an interruption."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.database.connections import Sessions
from app.errors import (
    EvaluationRejected,
    Interrupted,
)
from app.feedback.golden.golden_rows import GoldenQuery
from app.index import generations
from app.index.generations import Generation
from app.ingest.jobs import job_steps, jobs
from app.ingest.jobs.job_control import EVALUATION
from app.ingest.jobs.jobs import Job
from app.runtime import single_task_jobs
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.evaluation import evaluation_rows
from app.runtime.evaluation.evaluation_result import Evaluation, System
from app.runtime.evaluation.evaluations import MAX_SAMPLED, Asked, usable_queries
from app.runtime.evaluation.index_run import IndexRun
from app.runtime.evaluation.picture_embedding import TIMED_PICTURES, PictureEmbedding
from app.runtime.evaluation.sample_run import Candidate, SampleRun
from app.runtime.reindexing.generation_fill import GenerationFill

NONE_LEFT = (
    "No golden query is left: the pictures that they search with or should find have no vector."
)


@dataclass(frozen=True)
class EvaluationWork:
    """Runs the tasks of evaluations, on the calling thread."""

    sessions: Sessions
    registry: CollectionRegistry
    fill: GenerationFill

    def run(self, job_id: int, attempt: int) -> None:
        """Evaluate, store the result and close the job; `attempt` counts from 1.

        Raises as `single_task_jobs.run`.
        """
        single_task_jobs.run(self.sessions, job_id, attempt, self._work)

    def finish(self, job_id: int, attempt: int) -> None:
        """Close a job that was cancelled; all attempts are alike."""
        single_task_jobs.finish(self.sessions, job_id)

    def _work(self, job: Job) -> None:
        result = self._evaluated(job)
        with self.sessions.begin() as session:
            evaluation_rows.save(session, job.id, result)
            jobs.close(session, jobs.get(session, job.id))

    def _evaluated(self, job: Job) -> dict[str, Any]:
        asked = Asked.from_json(job.source[EVALUATION])
        with self.sessions.begin() as session:
            queries = usable_queries(session, job.collection_id)
            found = generations.of_collection(session, job.collection_id)
        candidates = self._candidates(asked, found)
        if all(system.index for system, _ in candidates):
            evaluation = self._by_indexes(job, queries, candidates)
        else:
            evaluation = self._on_sample(job, queries, candidates, asked.sample)
        try:
            return evaluation.to_json()
        except ValueError as error:
            raise EvaluationRejected(NONE_LEFT) from error

    def _candidates(self, asked: Asked, found: Sequence[Generation]) -> list[Candidate]:
        """The generations, and those of the models where they have one. Raises EvaluationRejected.

        The encoders need not be loaded.
        """
        whole = {one.index.id: one.index for one in found if one.state != "building"}
        missing = [one for one in asked.generations if one not in whole]
        if missing:
            raise EvaluationRejected(f"Generation {missing[0]} was deleted meanwhile.")
        chosen = [whole[one] for one in asked.generations]
        candidates = [
            (System(one.space, one), self.registry.models.encoder_of(one)) for one in chosen
        ]
        for model in asked.models:
            encoder = self.registry.models.of(model)
            own = [one for one in whole.values() if one.fingerprint == encoder.space.fingerprint]
            if not own:
                candidates.append((System(encoder.space, None), encoder))
            elif not {*own} & {*chosen}:
                candidates.append((System(own[0].space, own[0]), encoder))
        return candidates

    def _by_indexes(
        self, job: Job, queries: Sequence[GoldenQuery], candidates: Sequence[Candidate]
    ) -> Evaluation:
        with self.sessions.begin() as session:
            timed = evaluation_rows.random_pictures(session, job.collection_id, (), TIMED_PICTURES)
        self._begin(job, (len(timed) + len(queries)) * len(candidates))
        embedding = self._embedding(job)
        runs = []
        for system, encoder in candidates:
            if system.index:
                _, picture_ms = embedding.run(encoder, timed)
                index = IndexRun(self.sessions, system.index, encoder, picture_ms, embedding.count)
                runs.append(index.run(queries))
        return Evaluation(queries, runs, None)

    def _on_sample(
        self, job: Job, queries: Sequence[GoldenQuery], candidates: Sequence[Candidate], size: int
    ) -> Evaluation:
        named = {image_id for one in queries for image_id in one.relevant}
        named |= {one.image_id for one in queries if one.image_id is not None}
        if len(named) > MAX_SAMPLED:
            raise EvaluationRejected(
                f"The golden queries name {len(named):,} pictures, and a model without a "
                f"generation embeds at most {MAX_SAMPLED:,}. Build a generation, and compare that."
            )
        with self.sessions.begin() as session:
            others = evaluation_rows.random_pictures(
                session, job.collection_id, sorted(named), min(size, MAX_SAMPLED - len(named))
            )
        sample = SampleRun(self.sessions, self._embedding(job), sorted(named), others)
        self._begin(job, sample.steps(queries, candidates))
        return sample.evaluation(queries, candidates)

    def _embedding(self, job: Job) -> PictureEmbedding:
        return PictureEmbedding(self.sessions, self.fill, partial(self._count, job.id))

    def _begin(self, job: Job, steps: int) -> None:
        with self.sessions.begin() as session:
            job_steps.begin(session, job.id, steps)

    def _count(self, job_id: int, steps: int) -> None:
        if self.fill.stop.is_set():
            raise Interrupted("The worker stops.")
        with self.sessions.begin() as session:
            job_steps.count(session, job_id, steps)
