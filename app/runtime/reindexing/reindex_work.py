"""A worker's part of reindexings: filling a new generation, finishing it, keeping others complete.

The first task of a job fills, the last one builds the graph and measures; a killed worker's task is
run again and goes on from what is in the database.
"""

import logging
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import partial

from sqlalchemy.orm import Session

from app.database.connections import Sessions
from app.database.locks import alone, retry_on_lock
from app.database.outages import is_lost
from app.database.tables import Regions, VectorIndex
from app.encoders.model_pool import ModelName
from app.errors import (
    AnnotatorUnavailable,
    Busy,
    CalibrationLost,
    CollectionRejected,
    GenerationConflict,
    ImageSearchError,
    IndexGone,
    Interrupted,
    ModelUnavailable,
    own_fault,
)
from app.index import (
    generations,
    graph_health,
    graph_rebuild,
    missing_vectors,
    vector_indexes,
)
from app.index.generations import Generation
from app.index.tuning import find_tunings, keep_tuning
from app.index.vector_indexes import Shape
from app.ingest.jobs import job_control, jobs
from app.ingest.jobs.jobs import Job
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.reindexing import reindex_jobs
from app.runtime.reindexing.changes import Changes, require_change
from app.runtime.reindexing.dry_run import DryRun
from app.runtime.reindexing.generation_fill import GenerationFill
from app.runtime.reindexing.tuning import tuned_like
from app.vectors import VectorSpace

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 20  # of filling or finishing that end with an error; then the job fails
PAUSE_SECONDS = 0.2  # before another look for pictures that were being changed
GRACE = timedelta(minutes=1)  # a generation stays so long after it was active: requests read it
LEAST_PAUSE_SECONDS = 2.0  # between two looks for what a generation lacks
PAUSE_FACTOR = 50.0  # times what the last look took: it costs 2 % of a core at most
GONE = "Its generation was deleted."
UNFAITHFUL = (
    "precision: in int8 the vectors of {} differ too much from its own, as measured on your "
    "pictures. Keep it in float, or choose another model."
)


@dataclass
class ReindexWork:
    """Runs the tasks of reindexings, on the calling thread.

    `keep_generations` is how many former generations of a collection are kept.
    """

    sessions: Sessions
    registry: CollectionRegistry
    fill: GenerationFill
    keep_generations: int
    _next_look: dict[int, float] = field(default_factory=dict, init=False)
    """By index id, a reading of the monotonic clock."""

    def run(self, job_id: int, attempt: int) -> None:
        """Fill the job's generation; `attempt` counts from 1.

        Raises Interrupted, ModelUnavailable, and until the last attempt any other error.
        """
        with self.sessions.begin() as session:
            job = jobs.start(session, job_id)
            generation = generations.of_job(session, job_id)
        if job.listed or job.state != "running":
            return
        if generation is None and reindex_jobs.has_begun(job):
            self._close(job_id, GONE)
            return
        try:
            if job.dry_run:
                self._estimate(job)
            else:
                self._fill(job, generation.index if generation else self.begin(job))
        except (ModelUnavailable, Interrupted) as error:
            self._note(job_id, error)
        except (CollectionRejected, GenerationConflict) as error:
            self._fail(job_id, str(error))
        except Exception as error:
            if attempt < MAX_ATTEMPTS:
                raise
            log.exception("job %s failed for good", job_id)
            self._fail(job_id, _reason(error))

    def begin(self, job: Job) -> VectorIndex:
        """The generation, empty. Loads its model if that is another one.

        Raises CollectionRejected, GenerationConflict, Interrupted, ModelUnavailable.
        """
        active, space, shape, own_regions = self._wanted(job)

        def write(session: Session) -> VectorIndex:
            if reindex_jobs.lock_state(session, job.id) != "running":
                raise Interrupted("The job was cancelled.")
            index = generations.begin(session, active, space, shape, job.id, own_regions)
            reindex_jobs.note_generation(session, job, index)
            return index

        return retry_on_lock(self.sessions, write)

    def _wanted(self, job: Job) -> tuple[VectorIndex, VectorSpace, Shape, Regions | None]:
        """The active index, and what the job is to build beside it. Raises as `begin`."""
        known = self.registry.find_id(job.collection_id)
        active, wanted = known.index, reindex_jobs.wanted(job)
        space, shape = self._space(active, wanted), wanted.shape(active)
        own_regions = wanted.regions_beside(known.collection.regions)
        require_change(active, space, shape, own_regions)
        return active, space, shape, own_regions

    def _estimate(self, job: Job) -> None:
        active, space, shape, own_regions = self._wanted(job)
        encoder = self.registry.models.of(ModelName.of(space))
        DryRun(self.sessions, self.fill, job, active, own_regions).run(space, shape, encoder)
        with self.sessions.begin() as session:
            reindex_jobs.filled(session, job.id)

    def _space(self, active: VectorIndex, wanted: Changes) -> VectorSpace:
        model = wanted.model_of(active)
        if self.registry.models.has_model(active, model):
            return active.space
        space = self.registry.models.of(model).space
        if model.precision == "int8" and space.precision != "int8":
            raise CollectionRejected(UNFAITHFUL.format(space.name))
        return active.space if space.fingerprint == active.fingerprint else space

    def _note(self, job_id: int, error: ModelUnavailable | Interrupted) -> None:
        """Raise it again, unless the job was cancelled meanwhile."""
        with self.sessions.begin() as session:
            goes_on = job_control.goes_on_after(session, job_id, error)
        if goes_on:
            raise error

    def _fill(self, job: Job, index: VectorIndex) -> None:
        record = partial(reindex_jobs.count, job.id)
        while missing := self._missing(job, index):
            log.info("job %s: %s pictures to go", job.id, missing)
            if not self.fill.run(index, record):
                self.fill.stop.wait(PAUSE_SECONDS)
        with self.sessions.begin() as session:
            reindex_jobs.filled(session, job.id)

    def _missing(self, job: Job, index: VectorIndex) -> int:
        with self.sessions.begin() as session:
            missing = missing_vectors.count_missing(session, index)
            reindex_jobs.expect(session, job, missing)
        return missing

    def finish(self, job_id: int, attempt: int) -> None:
        """Build the graph and measure it, or clear up after a cancelled job; close the job."""
        with self.sessions.begin() as session:
            job = jobs.get(session, job_id)
            generation = generations.of_job(session, job_id)
        if job.finished_at is not None:
            return
        if job.state == "cancelling":
            self._fail(job_id, None)
        elif generation is None:
            self._close(job_id, None if job.dry_run else GONE)
        else:
            self._conclude(job, generation, attempt)

    def _conclude(self, job: Job, generation: Generation, attempt: int) -> None:
        index = generation.index
        if job.failed and job.failed == job.total:
            self._fail(job.id, "No picture's original could be read.")
            return
        try:
            measured = self._built(index)
        except (Interrupted, ModelUnavailable, Busy):
            raise
        except Exception as error:
            if attempt < MAX_ATTEMPTS:
                raise
            log.exception("job %s could not be finished", job.id)
            self._fail(job.id, _reason(error))
            return
        with self.sessions.begin() as session:
            if reindex_jobs.lock_state(session, job.id) == "running":  # else it was cancelled
                generations.become_ready(session, index, measured)
                jobs.close(session, jobs.get(session, job.id))
                return
        self._fail(job.id, None)

    def _built(self, index: VectorIndex) -> dict[str, object]:
        """Build the index's graph, measure its chance and its recall; warms the model too.

        A model that is not in memory is loaded for vectors of its own alone: where they were
        copied, its graph is measured by pictures. Without any picture nothing is measured.
        """
        graph_rebuild.build_graph(self.sessions, index)
        graph_health.maintain(self.sessions, index)
        with self.sessions.begin() as session:
            active = vector_indexes.active_index(session, index.collection_id)
            is_empty = vector_indexes.count_vectors(session, index, limit=1) == 0
        if is_empty:
            return {}
        if index.fingerprint != active.fingerprint:
            self.registry.models.encoder_of(index).load()
        opened = self.registry.open_generation(index)
        if opened.encoder.is_loaded:
            opened.source_lister.measure()
        texts = opened.encoder.is_loaded
        former = self.registry.open_generation(active).recall
        with self.sessions.begin() as session:
            chosen = find_tunings(session, [active.id]).get(active.id)
        try:
            tuned = tuned_like(former, chosen, opened.recall, texts=texts)
        except CalibrationLost:  # of the former model: pictures have vectors in both
            tuned = tuned_like(former, chosen, opened.recall, texts=False)
        if tuned:
            with self.sessions.begin() as session:
                keep_tuning(session, index, *tuned)
            opened = self.registry.open_generation(replace(index, ef_search=tuned[0]))
        return asdict(opened.recall.measure_graph(texts=texts))

    def _fail(self, job_id: int, reason: str | None) -> None:
        """Drop the generation, if there is one and it is not active, and close the job."""
        with self.sessions.begin() as session:
            growing = generations.of_job(session, job_id)
        if growing is not None and growing.state == "building":
            retry_on_lock(self.sessions, partial(generations.drop, index=growing.index))
        self._close(job_id, reason)

    def _close(self, job_id: int, reason: str | None) -> None:
        with self.sessions.begin() as session:
            jobs.close(session, jobs.get(session, job_id), reason)

    def keep_complete(self) -> None:
        """Add to each generation the pictures that came since; drop what need not be kept.

        Raises Interrupted, and what is raised while the database is away. Other errors of one
        generation leave the others alone.
        """
        with self.sessions.begin() as session:
            kept = generations.kept_complete(session)
            superfluous = generations.superfluous(session, self.keep_generations, GRACE)
        for index in superfluous:
            self._drop(index)
        for generation in kept:
            if generation.index not in superfluous:
                self._complete(generation)
        ids = {generation.index.id for generation in kept}
        self._next_look = {one: at for one, at in self._next_look.items() if one in ids}

    def _drop(self, index: VectorIndex) -> None:
        try:
            retry_on_lock(self.sessions, partial(generations.drop, index=index))
            log.info("generation %s of %s was dropped", index.id, index.space.name)
        except Exception as error:  # a long search holds a lock, say; the next look tries again
            if is_lost(error):
                raise
            log.exception("generation %s was not dropped", index.id)

    def _complete(self, generation: Generation) -> None:
        index = generation.index
        began = time.monotonic()
        if began < self._next_look.get(index.id, 0.0):
            return
        try:
            with self.sessions.begin() as session:
                missing = missing_vectors.count_missing(session, index)
            pause = max(LEAST_PAUSE_SECONDS, PAUSE_FACTOR * (time.monotonic() - began))
            self._next_look[index.id] = time.monotonic() + pause
            if missing:
                with alone(self.sessions, f"fill {index.partition}") as is_alone:
                    if is_alone:
                        self.fill.run(index, partial(reindex_jobs.count_later, generation.job_id))
        except (AnnotatorUnavailable, IndexGone, ModelUnavailable) as error:
            log.warning("generation %s is not kept complete: %s", index.id, error)
        except Interrupted:
            raise
        except Exception as error:
            if is_lost(error):
                raise
            log.exception("generation %s is not kept complete", index.id)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ImageSearchError) else own_fault(error)
