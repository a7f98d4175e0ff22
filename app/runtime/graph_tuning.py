"""Chooses `ef_search` of large graphs, anew when they have doubled, in pauses between searches."""

import logging
import threading
import time
from dataclasses import dataclass, field, replace

from sqlalchemy.orm import Session

from app.database.connections import Sessions
from app.database.locks import alone
from app.database.outages import is_lost
from app.database.tables import VectorIndex
from app.encoders.model_pool import ModelName
from app.encoders.resident_model import ResidentModel
from app.errors import Busy, IndexGone, Interrupted, ModelUnavailable, QueryRejected
from app.index import embeddings, vector_indexes
from app.index.recall import DEFAULT_K, UNATTENDED_SAMPLE
from app.index.tuning import Choice, Tuning, due_from, get_choice, replace_choice
from app.ingest.jobs import jobs
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.known_collections import KnownCollection

log = logging.getLogger(__name__)

FAILURE_SECONDS = 3_600.0  # before an index that failed is tried again: each try reads all vectors


@dataclass(frozen=True)
class GraphTuning:
    """Works on the calling thread, for `target_recall` or what an admin wanted.

    A search of this process that needs the model ends it, and so do `stop` and whoever asks for a
    measurement of recall; the next look begins anew. Searches that other processes answer are not
    known here, nor those that need no model: for what is like a stored picture, or by words alone.
    """

    sessions: Sessions
    registry: CollectionRegistry
    target_recall: float
    stop: threading.Event
    _failed_at: dict[int, float] = field(default_factory=dict, init=False)
    """By index, of the monotonic clock; an index that is tuned at last stays in it."""

    def tune_graphs(self) -> None:
        """Look at each collection whose model is in memory. Not while a job is open.

        Raises what is raised while the database is away; other errors of one collection leave the
        others alone, and it is not tried again for FAILURE_SECONDS.
        """
        with self.sessions.begin() as session:
            if jobs.any_open(session):
                return
        for known in self.registry.every():
            encoder = self.registry.models.of(ModelName.of(known.index.space))
            if self.stop.is_set() or encoder.is_searched():
                return
            if encoder.is_loaded and not self._has_failed(known.index):
                self._try(known, encoder)

    def _has_failed(self, index: VectorIndex) -> bool:
        failed_at = self._failed_at.get(index.id)
        return failed_at is not None and time.monotonic() - failed_at < FAILURE_SECONDS

    def _try(self, known: KnownCollection, encoder: ResidentModel) -> None:
        try:
            self._tune_if_due(known, encoder)
        except (Busy, IndexGone, Interrupted, ModelUnavailable, QueryRejected):
            pass  # the next look tries again
        except Exception as error:  # a statement ran out of time, say, and would again
            if is_lost(error):
                raise
            self._failed_at[known.index.id] = time.monotonic()
            log.exception("index %s was not tuned", known.index.id)

    def _tune_if_due(self, known: KnownCollection, encoder: ResidentModel) -> None:
        with alone(self.sessions, f"tune {known.index.partition}") as is_alone:
            with self.sessions.begin() as session:
                former = get_choice(session, known.index)
                count = _count_if_due(session, known.index, former)
            if is_alone and count is not None:
                self._tune(known, former, encoder, count)

    def _tune(
        self, known: KnownCollection, former: Choice, encoder: ResidentModel, count: int
    ) -> None:
        """For an index of `count` vectors that searches can come to.

        Raises Interrupted where a search needs the model, and as `Recall.tune`.
        """

        def go_on() -> None:
            if self.stop.is_set() or encoder.is_searched():
                raise Interrupted("Somebody searches, or the service stops.")

        recall = self.registry.open_known(known).recall
        why = former.tuning
        wanted = why.wanted if why else self.target_recall
        k = why.k if why else DEFAULT_K
        result = recall.tune(wanted, k, UNATTENDED_SAMPLE, go_on=go_on, gives_way=True)
        by = why.by if why else "service"
        tuning = replace(Tuning.of(by, result), vectors=count)  # as the next look counts them
        ef_search = result.ef_search or result.tried[-1].ef_search
        with self.sessions.begin() as session:
            is_kept = replace_choice(session, known.index, former, ef_search, tuning)
        if not is_kept:  # an admin's stays, in whichever process it was made
            log.info("index %s: ef_search was chosen by somebody else meanwhile", known.index.id)
            return
        log.info(
            "index %s: ef_search %s finds %.3f of the %s nearest to %s, at %s vectors",
            known.index.id, ef_search, tuning.recall, k, tuning.worse, tuning.vectors,
        )  # fmt: skip


def _count_if_due(session: Session, index: VectorIndex, former: Choice) -> int | None:
    """How many vectors searches can come to, where these are enough to choose; else None.

    Those of pictures that are held for review stay for as long as nobody decides.
    """
    least = due_from(former)
    if least is None or vector_indexes.count_vectors(session, index, limit=least) < least:
        return None  # the cheaper count, and never the smaller
    count = embeddings.count_findable(session, index)
    return count if count >= least else None
