"""IMAGE_SEARCH_REINDEX=auto: changes the default collection to the settings' model, by itself.

It goes through the same steps as a person would, and stops where a person would hesitate: where
originals cannot be read, whose pictures would be found no more, where the graph finds too little,
where its job, or that of another server or a person for the same model, failed or was cancelled,
and where somebody has gone back from that model before.
"""

import logging
import threading
from dataclasses import dataclass, field

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.command_names import typed
from app.database.connections import Sessions, first_line
from app.database.outages import OUTAGES, is_lost
from app.encoders.model_pool import ModelName
from app.errors import (
    GenerationConflict,
    ImageSearchError,
    IndexGone,
    Interrupted,
    ModelUnavailable,
)
from app.index import generations
from app.index.generations import Generation
from app.ingest.jobs import jobs
from app.ingest.jobs.jobs import Job
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.known_collections import KnownCollection
from app.runtime.reindexing import reindex_jobs
from app.runtime.reindexing.changes import Changes
from app.runtime.reindexing.reindexing import Reindexing

log = logging.getLogger(__name__)

SETTING = "IMAGE_SEARCH_REINDEX=auto"  # as the log names it
POLL_SECONDS = 5.0  # between looks whether the generation is ready
MODEL_PAUSE_SECONDS = 60.0  # before another attempt to load a model that cannot be had
LEAST_RECALL = 0.95  # recall@10 of its graph, for it to be activated


@dataclass
class AutomaticReindexing:
    """Reindexes the default collection to `model`, unless it has its vectors already."""

    sessions: Sessions
    registry: CollectionRegistry
    reindexing: Reindexing
    model: ModelName
    _past: int | None = field(default=None, init=False)
    """The last job that had ended when it began: how that ended is over with a start."""
    _waits_for: str = field(default="", init=False)
    """The last that was logged, which would else be repeated every few seconds."""

    def change_model(self, stop: threading.Event) -> None:
        """Until it is changed, something is against it, or the event is set.

        What passes is waited for: an outage of the database, a model that cannot be had, another
        reindexing.
        """
        while (pause := self._look()) is not None and not stop.wait(pause):
            pass

    def _look(self) -> float | None:
        """Go a step further if possible; the seconds until the next look, None after the last."""
        try:
            return None if self._is_settled() else POLL_SECONDS
        except OperationalError as error:
            if is_lost(error):
                OUTAGES.note(error)
            else:
                self._wait(first_line(error))
            return POLL_SECONDS
        except ModelUnavailable as error:
            self._wait(str(error))
            return MODEL_PAUSE_SECONDS
        except Interrupted:  # the server stops
            return None
        except Exception:  # the server keeps running
            log.exception("%s ended; `%s` goes on", SETTING, typed("reindex"))
            return None

    def _wait(self, reason: str) -> None:
        if reason != self._waits_for:
            log.warning("%s waits: %s", SETTING, reason)
        self._waits_for = reason

    def _is_settled(self) -> bool:
        known = self.registry.find_id(self.registry.default.collection.id)
        if known.index.fingerprint == self.registry.models.of(self.model).space.fingerprint:
            return True
        with self.sessions.begin() as session:
            # First the job: what has ended by then has left its generation, if it has built one.
            job = self._newest_job(session, known)
            found = generations.of_collection(session, known.collection.id)
        ours = [one for one in found if self._is_ours(one)]
        if not ours:
            return self._has_failed(job) if job else not self._is_submitted(known)
        if ours[0].state == "building":
            return False
        reason = self._reason_against(ours[0])
        if reason:
            log.warning("%s: generation %s is not activated: %s", SETTING, ours[0].index.id, reason)
            return True
        try:
            self.reindexing.activate(known, ours[0].index.id)
        except (GenerationConflict, IndexGone) as error:  # another server was faster, say
            log.info("%s: %s", SETTING, error)
            return False
        log.info("%s: searches use %s now", SETTING, ours[0].index.space.name)
        return True

    def _newest_job(self, session: Session, known: KnownCollection) -> Job | None:
        """The job that builds the generation, or was to, whoever has submitted it; None before."""
        found = reindex_jobs.of_collection(session, known.collection.id, self._past or 0)
        if self._past is None:
            self._past = max((job.id for job in found if job.finished_at is not None), default=0)
        return next((job for job in found if job.id > self._past and self._is_for_ours(job)), None)

    def _is_for_ours(self, job: Job) -> bool:
        model = reindex_jobs.wanted(job).model
        models = self.registry.models
        return model is not None and models.of(model) is models.of(self.model)

    def _is_ours(self, generation: Generation) -> bool:
        fingerprint = self.registry.models.of(self.model).space.fingerprint
        return generation.index.fingerprint == fingerprint

    def _is_submitted(self, known: KnownCollection) -> bool:
        """Whether a job builds the generation, or can once another has ended; else it is logged."""
        try:
            self.reindexing.submit(known, Changes(self.model))
        except GenerationConflict as error:
            self._wait(str(error))
        except ModelUnavailable:
            raise
        except ImageSearchError as error:
            log.warning("%s: %s", SETTING, error)
            return False
        return True

    def _has_failed(self, job: Job) -> bool:
        """Whether the job, which has no generation, will build none; the log says why."""
        if job.finished_at is None:
            return False
        log.warning(
            "%s gives up: job %s has left no generation: %s `%s` tries it again.",
            *(SETTING, job.id, job.reason or f"it is {job.state}.", typed("reindex")),
        )
        return True

    def _reason_against(self, generation: Generation) -> str | None:
        """Why a person should decide."""
        if generation.state == "retired":
            return "it was in use before, and left."
        with self.sessions.begin() as session:
            job = jobs.get(session, generation.job_id) if generation.job_id else None
        if job is not None and job.failed:
            return f"{job.failed} originals could not be read (job {job.id})."
        recall = (generation.measured or {}).get("recall", 1.0)
        if recall < LEAST_RECALL:
            return f"its recall is {recall:.2f}, below {LEAST_RECALL}."
        return None
