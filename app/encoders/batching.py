"""The micro-batcher: one lane to the model, shared by searches and indexing.

A model on a CPU uses all cores for one batch, so batches run one at a time. While one runs,
requests queue up; the next batch takes as many of one kind as fit, searches before indexing.
A lone request never waits for others to join it. If the last batch merged several searches, the
next one waits briefly, because those clients are likely to send another search as soon as they
have read their answers. Other work runs in batches of about POLITE_SECONDS while searches are
coming in, so that a search is barely delayed, and of at most PATIENT_SECONDS otherwise.
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


RECENT_SECONDS = 10.0  # searches count as coming in for this long after the last one
POLITE_SECONDS = 0.01  # target for an upload or indexing batch while searches come in
PATIENT_SECONDS = 0.5  # its limit otherwise: the longest the first search may wait
LEAST_SECONDS = 1e-9  # lower bound per item: the clock may not have advanced
FIRST_ITEMS = 4  # batch size for a kind that has not been timed yet
COMPANY_SECONDS = 0.003  # how long a search waits for others if the last ones were merged
KINDS = {"encode_tokens": "text", "encode_pixels": "image"}  # of batch, by encode function


class Priority(IntEnum):
    """The order in which queued requests run: lower values first."""

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
        self._seconds_an_item: dict[str, float] = {}  # by kind, from the last non-search batch
        self._company = 0  # how many searches the last search batch merged
        self._company_ended = -COMPANY_SECONDS  # when that batch ended, by time.monotonic
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
        """Record that a search came in, even if its embedding was cached and needs no encoding."""
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
            del batch  # or the model would stay in memory while we wait for work

    def _note(self, batch: list[_Request], items: int, seconds: float) -> None:
        if batch[0].priority is Priority.SEARCH:
            self._company, self._company_ended = len(batch), time.monotonic()
        elif items:
            self._seconds_an_item[_kind(batch[0].encode)] = seconds / items

    def _next_batch(self) -> list[_Request]:
        """Wait for work and return the next batch; empty once the batcher is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or any(self._waiting.values()))
            if searches := self._waiting[Priority.SEARCH]:
                self._gather(searches)
            for priority, queue in self._waiting.items():
                if queue:
                    return self._take(queue, self._bound(priority, queue[0]))
            return []

    def _gather(self, searches: deque[_Request]) -> None:
        """Under load, wait for as many searches as last time, up to COMPANY_SECONDS.

        Clients that are answered together tend to ask again together. Without the wait, the first
        one back would run alone and the rest would queue behind it. The lock is released
        while waiting.
        """
        ends = self._company_ended + COMPANY_SECONDS
        if self._company > 1 and (left := ends - time.monotonic()) > 0:
            many = min(self._company, self._max_items)
            self._changed.wait_for(lambda: self._closed or len(searches) >= many, timeout=left)

    def is_searched(self) -> bool:
        """Whether the last search was so recent that another may come at any moment."""
        return time.monotonic() - self._last_search < RECENT_SECONDS

    def _bound(self, priority: Priority, first: _Request) -> int:
        """The maximum number of items in a batch that starts with `first`."""
        if priority is Priority.SEARCH:
            return self._max_items
        seconds = self._seconds_an_item.get(_kind(first.encode))
        if seconds is None:
            return min(FIRST_ITEMS, self._max_items)
        allowed = POLITE_SECONDS if self.is_searched() else PATIENT_SECONDS
        return max(1, min(int(allowed / max(seconds, LEAST_SECONDS)), self._max_items))

    def _take(self, queue: deque[_Request], bound: int) -> list[_Request]:
        """Pop the first request and as many of the same kind right behind it as fit."""
        batch: list[_Request] = []
        size = 0
        while queue and (not batch or queue[0].encode == batch[0].encode):
            size += len(queue[0].items)
            if batch and size > bound:
                break
            batch.append(queue.popleft())
        return batch


def _serve(batch: list[_Request]) -> int:
    """Encode the requests that were not cancelled; return how many items were encoded."""
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
    """The kind of input `encode` takes: `text`, `image` or `other`."""
    return KINDS.get(getattr(encode, "__name__", ""), "other")
