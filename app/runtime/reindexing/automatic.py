"""REINDEX=auto: changes the default collection to the settings' model, by itself.

It goes through the same steps as a person would, and stops where a person would hesitate: where
originals cannot be read, whose pictures would be found no more, where the graph finds too little,
and where somebody has gone back from that model before.
"""

import logging
import threading
from dataclasses import dataclass

from app.database.connections import Sessions
from app.encoders.model_pool import ModelName
from app.errors import GenerationConflict, ImageSearchError, IndexGone
from app.index import generations
from app.index.generations import Generation
from app.ingest.jobs import jobs
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.reindexing.changes import Changes
from app.runtime.reindexing.reindexing import Reindexing

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0  # between looks whether the generation is ready
LEAST_RECALL = 0.95  # recall@10 of its graph, for it to be activated


@dataclass(frozen=True)
class AutomaticReindexing:
    """Reindexes the default collection to `model`, unless it has its vectors already."""

    sessions: Sessions
    registry: CollectionRegistry
    reindexing: Reindexing
    model: ModelName

    def change_model(self, stop: threading.Event) -> None:
        """Until it is changed, something is against it, or the event is set."""
        try:
            while not self._is_settled() and not stop.wait(POLL_SECONDS):
                pass
        except Exception:  # the server keeps running
            log.exception("REINDEX=auto ended; make reindex goes on")

    def _is_settled(self) -> bool:
        known = self.registry.find_id(self.registry.default.collection.id)
        if known.index.fingerprint == self.registry.model(self.model).space.fingerprint:
            return True
        with self.sessions.begin() as session:
            found = generations.of_collection(session, known.collection.id)
        ours = [one for one in found if self._is_ours(one)]
        if not ours:
            return not self._is_submitted()
        if ours[0].state == "building":
            return False
        reason = self._reason_against(ours[0])
        if reason:
            log.warning(
                "REINDEX=auto: generation %s is not activated: %s", ours[0].index.id, reason
            )
            return True
        try:
            self.reindexing.activate(known, ours[0].index.id)
        except (GenerationConflict, IndexGone) as error:  # another server was faster, say
            log.info("REINDEX=auto: %s", error)
            return False
        log.info("REINDEX=auto: searches use %s now", ours[0].index.space.name)
        return True

    def _is_ours(self, generation: Generation) -> bool:
        fingerprint = self.registry.model(self.model).space.fingerprint
        return generation.index.fingerprint == fingerprint

    def _is_submitted(self) -> bool:
        """Whether a job builds the generation; else the reason is logged."""
        known = self.registry.find_id(self.registry.default.collection.id)
        try:
            self.reindexing.submit(known, Changes(self.model))
        except GenerationConflict as error:
            log.info("REINDEX=auto waits: %s", error)
        except ImageSearchError as error:
            log.warning("REINDEX=auto: %s", error)
            return False
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
