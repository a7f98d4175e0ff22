"""Has every process load the models of generations that are about to be searched.

Else the first search after a swap would wait for that in each process but the one that built it.
"""

import logging
import threading
from dataclasses import dataclass

from sqlalchemy.exc import OperationalError

from app.database.connections import Sessions
from app.encoders.model_pool import ModelName
from app.errors import ModelUnavailable
from app.index import generations
from app.runtime.collection_registry import CollectionRegistry

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0  # between looks for such generations


@dataclass(frozen=True)
class ModelPreloading:
    """Looks for generations that are building or ready, and loads their models.

    Nothing is done where `max_resident_models` is 1: the model that searches use would go.
    """

    sessions: Sessions
    registry: CollectionRegistry
    max_resident_models: int

    def preload_models(self, stop: threading.Event) -> None:
        """Until the event is set."""
        if self.max_resident_models < 2:
            return
        done = set[int]()
        while not stop.wait(POLL_SECONDS):
            try:
                done = self.load(done)
            except OperationalError:  # the database is away: others say so, and this is each second
                continue
            except Exception:  # the server goes on
                log.exception("looking for models to load failed")

    def load(self, done: set[int]) -> set[int]:
        """Load the models of generations whose ids are not in `done`; the ids of all."""
        with self.sessions.begin() as session:
            found = generations.soon_searched(session)
        for index in found:
            if index.id not in done:
                try:
                    self.registry.models.of(ModelName.of(index.space)).load()
                except ModelUnavailable as error:
                    log.warning("the model of generation %s is not loaded: %s", index.id, error)
        return {index.id for index in found}
