"""A worker's part of labelling: one task labels all pictures that lack labels by a set.

It reads their stored vectors, never their files. A killed worker's task is run again, and goes on
with what is not labelled yet.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.encoders.batching import Priority
from app.encoders.resident_model import ResidentModel
from app.errors import Interrupted
from app.index import vector_indexes
from app.ingest.jobs import job_steps, jobs
from app.ingest.jobs.job_control import LABELLING
from app.ingest.jobs.jobs import Job
from app.runtime import single_task_jobs
from app.runtime.collection_registry import CollectionRegistry
from app.understanding.labels import image_label_rows, label_set_rows
from app.understanding.labels.label_set_rows import StoredLabelSet
from app.understanding.labels.labelling import embed_prompts, label_stored
from app.understanding.labels.scoring import Scorer
from app.vectors import Vectors

BATCH = 1_000  # pictures in one transaction: 2 MB of vectors
PAGE = 50_000  # ids looked up at a time: the query reads the whole index


@dataclass(frozen=True)
class LabelWork:
    """Runs the tasks of labelling, on the calling thread; `stop` interrupts."""

    sessions: Sessions
    registry: CollectionRegistry
    stop: threading.Event

    def run(self, job_id: int, attempt: int) -> None:
        """Label what lacks labels and close the job; `attempt` counts from 1.

        Raises as `single_task_jobs.run`.
        """
        single_task_jobs.run(self.sessions, job_id, attempt, self._work)

    def finish(self, job_id: int, attempt: int) -> None:
        """Close a job that was cancelled; all attempts are alike."""
        single_task_jobs.finish(self.sessions, job_id)

    def _work(self, job: Job) -> None:
        done: int | None = 0
        while done is not None:
            done = self._label_all(job, done)

    def _label_all(self, job: Job, done: int) -> int | None:
        """How many pictures this job has labelled, `done` before; None once it is closed.

        0 where the set or the index has changed, so that none counts. Raises LabelSetNotFound.
        """
        stored, index, scorer = self._ready(job)
        with self.sessions.begin() as session:
            left = image_label_rows.count_unlabelled(session, stored, index)
            job_steps.begin(session, job.id, done + left, done=done)
        after = labelled = 0
        while ids := self._unlabelled(stored, index, after):
            for start in range(0, len(ids), BATCH):
                some = self._label(job, stored, index, scorer, ids[start : start + BATCH])
                if some is None:
                    return 0
                labelled += some
            after = ids[-1]
        with self.sessions.begin() as session:
            if not _is_unchanged(session, stored, index):
                return 0
            if labelled and image_label_rows.has_unlabelled(session, stored, index):
                return done + labelled  # pictures were left that were changing
            _close(session, job)
        return None

    def _unlabelled(self, stored: StoredLabelSet, index: VectorIndex, after: int) -> list[int]:
        with self.sessions.begin() as session:
            return image_label_rows.unlabelled(session, stored, index, after, PAGE)

    def _label(
        self, job: Job, stored: StoredLabelSet, index: VectorIndex, scorer: Scorer, ids: list[int]
    ) -> int | None:
        """How many were labelled and counted; None: the set or the index has changed.

        Raises Interrupted.
        """
        if self.stop.is_set():
            raise Interrupted("The worker stops.")
        with self.sessions.begin() as session:
            if not _is_unchanged(session, stored, index):
                return None
            labelled = label_stored(session, stored, index, scorer, ids)
            job_steps.count(session, job.id, labelled)
        return labelled

    def _ready(self, job: Job) -> tuple[StoredLabelSet, VectorIndex, Scorer]:
        """The set with its prompts embedded by the model of the active index."""
        set_id = job.source[LABELLING]["set"]
        while True:
            with self.sessions.begin() as session:
                stored = label_set_rows.lock(session, set_id)
                index = vector_indexes.active_index(session, stored.collection_id)
                scorer = label_set_rows.get_scorer(session, stored, index.space)
            if scorer is not None:
                return stored, index, scorer
            self._embed(stored, index)

    def _embed(self, stored: StoredLabelSet, index: VectorIndex) -> None:
        """Embed the prompts, between searches. Never inside a transaction."""
        encoder = self.registry.models.encoder_of(index)
        encode = partial(self._encoded, encoder)
        embed_prompts(self.sessions, stored, index.space, encode, encoder.logit_scale)

    def _encoded(self, encoder: ResidentModel, texts: Sequence[str]) -> Vectors:
        if self.stop.is_set():
            raise Interrupted("The worker stops.")
        return encoder.encode_texts(texts, Priority.INDEXING)


def _is_unchanged(session: Session, stored: StoredLabelSet, index: VectorIndex) -> bool:
    """Whether set and index are as they were; the set stays so until the transaction ends."""
    now = label_set_rows.lock(session, stored.id)
    active = vector_indexes.active_index(session, index.collection_id)
    return (now.revision, active.id) == (stored.revision, index.id)


def _close(session: Session, job: Job) -> None:
    """Also where pictures are left of which none could be labelled: the next job does them."""
    job_steps.end(session, job.id)
    jobs.close(session, jobs.get(session, job.id))
