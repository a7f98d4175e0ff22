"""The micro-batcher: one lane to the model, shared by searches and indexing.

A model on a CPU uses all cores for one batch, so batches run one at a time. While one runs,
requests queue up; the next batch takes as many of one kind as fit, searches before indexing.
A lone request never waits for company; where several came together just now, the next batch
waits a moment for those whose answers its clients are still reading. What is not a search goes in
batches of about POLITE_SECONDS while somebody searches, so that a search hardly waits for them, and
of at most PATIENT_SECONDS otherwise.
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
POLITE_SECONDS = 0.01  # that a batch of uploads or indexing may take then
PATIENT_SECONDS = 0.5  # that it may take otherwise: the longest wait of the first search
LEAST_SECONDS = 1e-9  # of an item: a clock may stand still
FIRST_ITEMS = 4  # of a kind whose seconds are not known yet
COMPANY_SECONDS = 0.003  # that a search waits for others, where the last ones came together
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
        self._seconds_an_item: dict[str, float] = {}  # by kind, of the last that was no search
        self._company = 0  # searches in the last batch of them
        self._company_ended = -COMPANY_SECONDS  # of time.monotonic
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
            self._note(batch, items, time.monotonic() - began)
            del batch  # while this waits for the next, it must not keep a model in memory

    def _note(self, batch: list[_Request], items: int, seconds: float) -> None:
        if batch[0].priority is Priority.SEARCH:
            self._company, self._company_ended = len(batch), time.monotonic()
        elif items:
            self._seconds_an_item[_kind(batch[0].encode)] = seconds / items

    def _next_batch(self) -> list[_Request]:
        """Wait for work; an empty list means closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or any(self._waiting.values()))
            if searches := self._waiting[Priority.SEARCH]:
                self._gather(searches)
            for priority, queue in self._waiting.items():
                if queue:
                    return self._take(queue, self._bound(priority, queue[0]))
            return []

    def _gather(self, searches: deque[_Request]) -> None:
        """Under load, wait until as many have come as last time, COMPANY_SECONDS at most.

        Clients that were answered together ask again together: the first to come would have the
        lane for itself, and the others wait for it. Releases the lock meanwhile.
        """
        ends = self._company_ended + COMPANY_SECONDS
        if self._company > 1 and (left := ends - time.monotonic()) > 0:
            many = min(self._company, self._max_items)
            self._changed.wait_for(lambda: self._closed or len(searches) >= many, timeout=left)

    def is_searched(self) -> bool:
        """Whether there was a search so short a time ago that the next may come any moment."""
        return time.monotonic() - self._last_search < RECENT_SECONDS

    def _bound(self, priority: Priority, first: _Request) -> int:
        """How many items may go together."""
        if priority is Priority.SEARCH:
            return self._max_items
        seconds = self._seconds_an_item.get(_kind(first.encode))
        if seconds is None:
            return min(FIRST_ITEMS, self._max_items)
        allowed = POLITE_SECONDS if self.is_searched() else PATIENT_SECONDS
        return max(1, min(int(allowed / max(seconds, LEAST_SECONDS)), self._max_items))

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
    metrics.observe_batch(_kind(encode), len(items), time.perf_counter() - began)
    ends = np.cumsum([len(request.items) for request in live])
    for request, part in zip(live, np.split(rows, ends[:-1]), strict=True):
        request.result.set_result(part)
    return len(items)


def _kind(encode: Encode) -> str:
    """Of what `encode` takes: `text`, `image` or `other`."""
    return KINDS.get(getattr(encode, "__name__", ""), "other")
