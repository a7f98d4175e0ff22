"""The micro-batcher: one lane to the model, shared by searches and indexing.

A model on a CPU uses all cores for one batch, so batches run one at a time. While one runs,
requests queue up; the next batch takes as many of one kind as fit, searches before indexing.
A lone request never waits for company. While somebody searches, what is not a search goes in
batches so short that the next search waits for one hardly longer than for its own answer.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from app import metrics
from app.vectors import Vectors

Encode = Callable[[list[Any]], Vectors]


RECENT_SECONDS = 10.0  # somebody searches: there was a search so short a time ago
POLITE_SECONDS = 0.01  # that another's batch may take then
KINDS = {"encode_texts": "text", "encode_pixels": "image"}  # of batches, by what encodes them


class Priority(IntEnum):
    """Who waits for whom: lower values go first."""

    SEARCH = 0
    UPLOAD = 1
    INDEXING = 2


@dataclass(frozen=True)
class _Request:
    encode: Encode
    items: Sequence[Any]
    priority: Priority
    result: "Future[Vectors]"


class Batcher:
    """Runs encode functions on a thread of its own, merging requests for the same function.

    `max_items` bounds what is merged into one call; a larger single request is run as it is.
    """

    def __init__(self, max_items: int) -> None:
        self._max_items = max_items
        self._waiting: dict[Priority, deque[_Request]] = {level: deque() for level in Priority}
        self._changed = threading.Condition()
        self._closed = False
        self._last_search = -RECENT_SECONDS
        self._seconds_an_item = 0.0  # of the last batch that was no search
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)
        self._thread.start()

    def submit(self, encode: Encode, items: Sequence[Any], priority: Priority) -> "Future[Vectors]":
        """Queue `items`; the future yields one row for each, in their order.

        It raises what `encode` raises. Raises ValueError for no items, RuntimeError after
        `close`.
        """
        if not items:
            raise ValueError("nothing to encode")
        request = _Request(encode, items, priority, Future())
        if priority is Priority.SEARCH:
            self.note_search()
        with self._changed:
            if self._closed:
                raise RuntimeError("the encoder is closed")
            self._waiting[priority].append(request)
            self._changed.notify()
        return request.result

    def note_search(self) -> None:
        """Somebody searches, maybe with what was encoded before."""
        self._last_search = time.monotonic()

    def close(self) -> None:
        """Refuse new requests, cancel those waiting, and let the running batch end."""
        with self._changed:
            self._closed = True
            for queue in self._waiting.values():
                for request in queue:
                    request.result.cancel()
                queue.clear()
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            began = time.monotonic()
            items = _serve(batch)
            if items and batch[0].priority is not Priority.SEARCH:
                self._seconds_an_item = (time.monotonic() - began) / items
            del batch  # while this waits for the next, it must not keep a model in memory

    def _next_batch(self) -> list[_Request]:
        """Wait for work; an empty list means closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or any(self._waiting.values()))
            for priority, queue in self._waiting.items():
                if queue:
                    return self._take(queue, self._bound(priority))
            return []

    def is_searched(self) -> bool:
        """Whether there was a search so short a time ago that the next may come any moment."""
        return time.monotonic() - self._last_search < RECENT_SECONDS

    def _bound(self, priority: Priority) -> int:
        """How many items may go together."""
        if priority is Priority.SEARCH or not self.is_searched() or not self._seconds_an_item:
            return self._max_items
        polite = int(POLITE_SECONDS / self._seconds_an_item)
        return max(1, min(polite, self._max_items))

    def _take(self, queue: deque[_Request], bound: int) -> list[_Request]:
        """The first request and those behind it of the same kind, as far as they fit."""
        batch: list[_Request] = []
        size = 0
        while queue and (not batch or queue[0].encode == batch[0].encode):
            size += len(queue[0].items)
            if batch and size > bound:
                break
            batch.append(queue.popleft())
        return batch


def _serve(batch: list[_Request]) -> int:
    """Encode what is still wanted; returns how many items that were."""
    live = [request for request in batch if request.result.set_running_or_notify_cancel()]
    if not live:
        return 0
    items = [item for request in live for item in request.items]
    encode = live[0].encode
    began = time.perf_counter()
    try:
        rows = encode(items)
    except BaseException as error:  # noqa: BLE001  # the waiting thread gets it, whatever it is
        for request in live:
            request.result.set_exception(error)
        return 0
    kind = KINDS.get(getattr(encode, "__name__", ""), "other")
    metrics.observe_batch(kind, len(items), time.perf_counter() - began)
    ends = np.cumsum([len(request.items) for request in live])
    for request, part in zip(live, np.split(rows, ends[:-1]), strict=True):
        request.result.set_result(part)
    return len(items)
