"""What is known of an index as a whole: how many vectors it has, and what chance reaches in it."""

import logging
import threading
import time
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from app import embeddings, indexes
from app.batching import Priority
from app.chance import SAMPLE, Chance, is_stale, measure, unrelated_texts
from app.db import Sessions
from app.encoders.resident import Resident
from app.errors import Interrupted
from app.nearest import find_nearest_distance
from app.tables import VectorIndex
from app.vectors import Vectors

log = logging.getLogger(__name__)

COUNT_SECONDS = 2.0  # that a count is believed: counting a million rows takes 0.1 s
TEXTS_AT_ONCE = 8  # encoded in one go: a search waits for so many at most


@dataclass(frozen=True)
class Counts:
    """Pictures of the collection, and those of them that the index has a vector of."""

    pictures: int
    vectors: int

    @property
    def coverage(self) -> float:
        """The share of pictures that can be found by their vectors, 0 to 1."""
        return self.vectors / self.pictures if self.pictures else 1.0


class Census:
    """Of one index. The null distribution is measured by `threads`, unless `stop` is set."""

    def __init__(
        self,
        sessions: Sessions,
        encoder: Resident,
        index: VectorIndex,
        threads: Executor,
        stop: threading.Event,
    ) -> None:
        self._sessions = sessions
        self._encoder = encoder
        self._index = index
        self._threads = threads
        self._stop = stop
        self._counted: tuple[float, Counts] | None = None
        self._chance: Chance | None = None
        self._measuring = threading.Lock()

    def counts(self) -> Counts:
        """As they are, or were at most COUNT_SECONDS ago."""
        now = time.monotonic()
        known = self._counted
        if known is None or now - known[0] > COUNT_SECONDS:
            with self._sessions.begin() as session:
                known = now, Counts(*embeddings.count_covered(session, self._index))
            self._counted = known
        return known[1]

    def chance(self) -> Chance | None:
        """The null distribution; None until it was first measured, which this sets off."""
        if self._chance is None:
            self._chance = self._stored()
        if self._is_due(self._chance, self.counts()) and not self._measuring.locked():
            self._threads.submit(self._measure_quietly)
        return self._chance

    @staticmethod
    def _is_due(chance: Chance | None, counts: Counts) -> bool:
        if counts.vectors == 0:
            return False
        return chance is None or is_stale(chance.counted, counts.vectors)

    def _stored(self) -> Chance | None:
        with self._sessions.begin() as session:
            stored = indexes.get_chance(session, self._index)
        try:
            return Chance.from_bytes(stored) if stored else None
        except ValueError:  # of an older version
            return None

    def _measure_quietly(self) -> None:
        try:
            self.measure()
        except Interrupted:
            pass
        except Exception:  # the answers go on without it
            log.exception("the null distribution of index %s was not measured", self._index.id)

    def measure(self) -> None:
        """Measure the null distribution anew where it is due. Raises Interrupted."""
        with self._measuring:
            known = self._stored()  # another process may have measured meanwhile
            with self._sessions.begin() as session:
                counts = Counts(*embeddings.count_covered(session, self._index))
            if not self._is_due(known, counts):
                self._chance = known
                return
            self._chance = self._measured(self._probes())

    def _probes(self) -> Vectors:
        """The embeddings of the unrelated texts, a few at a time."""
        texts, rows = unrelated_texts(), []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            self._check_stop()
            some = texts[start : start + TEXTS_AT_ONCE]
            rows.append(self._encoder.encode_texts(some, Priority.INDEXING))
        return np.concatenate(rows)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Interrupted("The service stops.")

    def _measured(self, probes: Vectors) -> Chance | None:
        with self._sessions.begin() as session:
            count = indexes.count_vectors(session, self._index)
            sampled = embeddings.sample(session, self._index, SAMPLE)
        if not sampled:  # deleted meanwhile
            return None
        sample = np.stack(list(sampled.values()))
        best = None
        if count > len(sample):
            best = 1 - np.array([self._distance(probe) for probe in probes], np.float32)
        chance = measure(probes, sample, count, best)
        with self._sessions.begin() as session:
            indexes.keep_chance(session, self._index, chance.to_bytes(), count)
        return chance

    def _distance(self, probe: Vectors) -> float:
        self._check_stop()
        with self._sessions.begin() as session:
            return find_nearest_distance(session, self._index, probe)
