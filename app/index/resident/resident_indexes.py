"""The indexes whose codes this process holds: loaded beside the searches, bounded in bytes."""

import logging
import threading
import time
from collections import OrderedDict
from concurrent.futures import Executor
from contextvars import copy_context

import numpy as np

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.errors import Interrupted
from app.index import embeddings, vector_indexes
from app.index.exact_search import read_vectors
from app.index.resident.changes import current_snapshot
from app.index.resident.codes import Codes, code_bytes
from app.index.resident.resident_index import ResidentIndex

log = logging.getLogger(__name__)

MIN_VECTORS = 5_000  # fewer are compared by Postgres as fast
SAMPLE = 1_000  # vectors whose mean is left out of the codes
RETRY_SECONDS = 60.0  # after a look at an index that was too small or too large, or failed


class ResidentIndexes:
    """Up to `max_bytes` of codes, the least recently searched out first. Thread-safe.

    `threads` load them, until `stop` is set.
    """

    def __init__(
        self,
        sessions: Sessions,
        max_bytes: int,
        threads: Executor,
        stop: threading.Event,
        min_vectors: int = MIN_VECTORS,
    ) -> None:
        self._sessions = sessions
        self._max_bytes = max_bytes
        self._threads = threads
        self._stop = stop
        self._min_vectors = min_vectors
        self._loaded: OrderedDict[int, ResidentIndex] = OrderedDict()  # least recent first
        self._loading: set[int] = set()
        self._rested: dict[int, float] = {}  # time.monotonic() from when to look again
        self._lock = threading.Lock()

    def of(self, index: VectorIndex) -> ResidentIndex | None:
        """That index if it is loaded. If it is not, or has to be anew, loading begins."""
        with self._lock:
            found = self._loaded.get(index.id)
            if found is not None:
                self._loaded.move_to_end(index.id)
            if (found is None or found.is_due) and self._may_load(index):
                self._loading.add(index.id)
                self._threads.submit(copy_context().run, self._load, index)
        return found

    def _may_load(self, index: VectorIndex) -> bool:
        rested = time.monotonic() >= self._rested.get(index.id, 0.0)
        return rested and index.id not in self._loading and self._max_bytes > 0

    def _load(self, index: VectorIndex) -> None:
        resident: ResidentIndex | None = None
        try:
            resident = self._read(index)
        except Interrupted:
            pass
        except Exception:  # whatever the database raises: searches go on without
            log.exception("the codes of index %s were not loaded", index.id)
        finally:
            self._finish(index, resident)

    def _finish(self, index: VectorIndex, resident: ResidentIndex | None) -> None:
        with self._lock:
            self._loading.discard(index.id)
            self._loaded.pop(index.id, None)
            if resident is None:
                self._rested[index.id] = time.monotonic() + RETRY_SECONDS
                return
            self._rested.pop(index.id, None)
            self._loaded[index.id] = resident
            while sum(map(_bytes_of, self._loaded.values())) > self._max_bytes:
                self._loaded.popitem(last=False)

    def _read(self, index: VectorIndex) -> ResidentIndex | None:
        """All of its codes; None if they are too few or too many."""
        began = time.perf_counter()
        most = self._max_bytes // code_bytes(index.dimensions, 1)
        with self._sessions.begin() as session:
            count = vector_indexes.count_vectors(session, index, limit=most + 1)
            if not self._min_vectors <= count <= most:
                return None
            # Before the vectors: what is written meanwhile is read again, not missed.
            snapshot = current_snapshot(session)
            sample = embeddings.sample(session, index, SAMPLE)
            codes = Codes(np.mean(list(sample.values()), axis=0))
            for ids, vectors in read_vectors(session, index, every_row=True):
                if self._stop.is_set():
                    raise Interrupted("The service stops.")
                codes.add(ids, vectors)
        seconds = time.perf_counter() - began
        log.info("index %s: %s codes in memory after %.1f s", index.id, len(codes), seconds)
        return ResidentIndex(index, codes, snapshot)


def _bytes_of(resident: ResidentIndex) -> int:
    return code_bytes(resident.index.dimensions, len(resident))
