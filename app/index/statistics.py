"""Statistics of an index as a whole: how many vectors it has, and its null distribution."""

import logging
import threading
import time
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.encoders.batching import Priority
from app.encoders.resident_model import ResidentModel
from app.errors import Interrupted
from app.index import embeddings, vector_indexes
from app.index.calibration import SAMPLE_SIZE, NullDistribution, is_stale, measure, unrelated_texts
from app.index.hnsw_search import find_nearest_distance
from app.index.scan_settings import prepare
from app.vectors import Vectors

log = logging.getLogger(__name__)

COUNT_CACHE_SECONDS = 2.0  # counting a million rows takes 0.1 s
RETRY_SECONDS = 60.0  # after a failed measurement
TEXT_BATCH = 8  # a search waits for at most this many texts to be encoded


@dataclass(frozen=True)
class Counts:
    """Pictures of the collection, and those of them that the index has a vector of.

    `parts` are the vectors of pages and regions besides these, where they are counted.
    """

    pictures: int
    vectors: int
    parts: int = 0

    @property
    def coverage(self) -> float:
        """The share of pictures that can be found by their vectors, 0 to 1."""
        return self.vectors / self.pictures if self.pictures else 1.0


class IndexStatistics:
    """Those of one index. `threads` measure the null distribution, until `stop` is set."""

    def __init__(
        self,
        sessions: Sessions,
        encoder: ResidentModel,
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
        self._null: NullDistribution | None = None
        self._counting = threading.Lock()
        self._measuring = threading.Lock()
        self._failed_at = -RETRY_SECONDS  # when measuring failed last

    def counts(self) -> Counts:
        """The counts, at most COUNT_CACHE_SECONDS old."""
        if (recent := self._recent_counts()) is not None:
            return recent
        # One thread counts; the others use the previous count, or wait where there is none.
        previous = self._counted
        if previous is None:
            self._counting.acquire()
        elif not self._counting.acquire(blocking=False):
            return previous[1]
        try:
            if (recent := self._recent_counts()) is not None:  # somebody else was faster
                return recent
            self._counted = time.monotonic(), self._count()
            return self._counted[1]
        finally:
            self._counting.release()

    def _recent_counts(self) -> Counts | None:
        known = self._counted
        if known is None or time.monotonic() - known[0] > COUNT_CACHE_SECONDS:
            return None
        return known[1]

    def _count(self) -> Counts:
        with self._sessions.begin() as session:
            prepare(session)
            parts = embeddings.count_parts(session, self._index) if self._index.has_parts else 0
            return Counts(*embeddings.count_covered(session, self._index), parts)

    def null_distribution(self) -> NullDistribution | None:
        """The null distribution, None at first; it is measured in the background when due."""
        if self._must_measure() and self._measuring.acquire(blocking=False):  # else it is measured
            self._threads.submit(self._measure_and_release)
        return self._null

    def current_null_distribution(self) -> NullDistribution | None:
        """The same, but measured before where that is due: for whoever has time to wait.

        None for an index without vectors, and where measuring failed.
        """
        if self._must_measure():
            self.measure()
        return self._null

    def _must_measure(self) -> bool:
        if self._null is None:
            self._null = self._stored()
        rested = time.monotonic() - self._failed_at > RETRY_SECONDS
        return rested and self._is_due(self._null, self.counts())

    @staticmethod
    def _is_due(null: NullDistribution | None, counts: Counts) -> bool:
        if counts.vectors == 0:
            return False
        return null is None or is_stale(null.counted, counts.vectors + counts.parts)

    def _stored(self) -> NullDistribution | None:
        with self._sessions.begin() as session:
            stored = vector_indexes.get_null_distribution(session, self._index)
        try:
            return NullDistribution.from_bytes(stored) if stored else None
        except ValueError:  # of an older version
            return None

    def measure(self) -> None:
        """Measure the null distribution now if it is due."""
        self._measuring.acquire()  # no `with`: see _measure_and_release
        self._measure_and_release()

    def _measure_and_release(self) -> None:
        try:
            self._measure()
        except Interrupted:
            pass
        except Exception:  # whatever model or database raise: nobody waits for this
            self._failed_at = time.monotonic()
            log.exception("the null distribution of index %s was not measured", self._index.id)
        finally:
            self._measuring.release()

    def _measure(self) -> None:
        known = self._stored()  # another process may have measured meanwhile
        counts = self._count()
        if self._is_due(known, counts):
            known = self._measured(self._probes(), counts.vectors + counts.parts)
        self._null = known

    def _probes(self) -> Vectors:
        """The embeddings of the unrelated texts, a few at a time."""
        texts, rows = unrelated_texts(), []
        for start in range(0, len(texts), TEXT_BATCH):
            self._check_stop()
            some = texts[start : start + TEXT_BATCH]
            rows.append(self._encoder.encode_texts(some, Priority.INDEXING))
        return np.concatenate(rows)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Interrupted("The service stops.")

    def _measured(self, probes: Vectors, count: int) -> NullDistribution | None:
        with self._sessions.begin() as session:
            sampled = embeddings.sample(session, self._index, SAMPLE_SIZE)
        if not sampled:  # deleted meanwhile
            return None
        sample = np.stack(list(sampled.values()))
        best = None
        if count > len(sample):
            best = 1 - np.array([self._distance(probe) for probe in probes], np.float32)
        null = measure(probes, sample, count, best)
        with self._sessions.begin() as session:
            vector_indexes.keep_null_distribution(session, self._index, null.to_bytes())
        return null

    def _distance(self, probe: Vectors) -> float:
        self._check_stop()
        with self._sessions.begin() as session:
            return find_nearest_distance(session, self._index, probe)
