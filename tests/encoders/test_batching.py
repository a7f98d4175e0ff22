import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest

from app.encoders import batching
from app.encoders.batching import (
    FIRST_ITEMS,
    PATIENT_SECONDS,
    POLITE_SECONDS,
    Batcher,
    Priority,
)
from app.vectors import Vectors


class Recorder:
    """An encode function that waits to be let through, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.started = threading.Event()
        self.go = threading.Event()

    def encode(self, items: list[Any]) -> Vectors:
        self.started.set()
        assert self.go.wait(10)
        self.batches.append(items)
        return np.array([[item] for item in items], np.float32)


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    made = Batcher(max_items=4)
    yield made
    made.close()


@pytest.fixture
def busy(batcher: Batcher) -> Recorder:
    """A recorder whose first batch, [0], is running and waits."""
    recorder = Recorder()
    batcher.submit(recorder.encode, [0], Priority.INDEXING)
    assert recorder.started.wait(10)
    return recorder


def test_rows_come_back_to_whoever_sent_the_items(batcher: Batcher, busy: Recorder) -> None:
    futures = [batcher.submit(busy.encode, [n, n + 10], Priority.SEARCH) for n in (1, 2, 3)]
    busy.go.set()
    assert [future.result(10)[:, 0].tolist() for future in futures] == [[1, 11], [2, 12], [3, 13]]


def test_waiting_requests_are_merged_up_to_the_bound(batcher: Batcher, busy: Recorder) -> None:
    futures = [batcher.submit(busy.encode, [n], Priority.SEARCH) for n in range(1, 7)]
    busy.go.set()
    for future in futures:
        future.result(10)
    assert busy.batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_searches_overtake_indexing(batcher: Batcher, busy: Recorder) -> None:
    slow = batcher.submit(busy.encode, [1, 2, 3, 4], Priority.INDEXING)
    quick = batcher.submit(busy.encode, [9], Priority.SEARCH)
    busy.go.set()
    slow.result(10), quick.result(10)
    assert busy.batches == [[0], [9], [1, 2, 3, 4]]


def test_a_request_over_the_bound_runs_alone(batcher: Batcher, busy: Recorder) -> None:
    large = batcher.submit(busy.encode, [1, 2, 3, 4, 5, 6], Priority.SEARCH)
    busy.go.set()
    assert large.result(10).shape == (6, 1)


def test_an_error_reaches_all_that_shared_the_batch_and_no_other(
    batcher: Batcher, busy: Recorder
) -> None:
    def fail(items: list[Any]) -> Vectors:
        raise RuntimeError(f"out of memory at {items}")

    failed = [batcher.submit(fail, [n], Priority.SEARCH) for n in (1, 2)]
    sound = batcher.submit(busy.encode, [5], Priority.SEARCH)
    busy.go.set()
    for future in failed:
        with pytest.raises(RuntimeError, match=r"at \[1, 2\]"):
            future.result(10)
    assert sound.result(10).tolist() == [[5]]


def test_an_empty_request_is_refused(batcher: Batcher) -> None:
    with pytest.raises(ValueError, match="nothing to encode"):
        batcher.submit(Recorder().encode, [], Priority.SEARCH)


def test_closing_cancels_what_waits() -> None:
    batcher = Batcher(max_items=4)
    recorder = Recorder()
    running = batcher.submit(recorder.encode, [0], Priority.INDEXING)
    assert recorder.started.wait(10)
    waiting = batcher.submit(recorder.encode, [1], Priority.INDEXING)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    with pytest.raises(CancelledError):
        waiting.result(10)
    recorder.go.set()
    closing.join(10)
    assert running.result(0).tolist() == [[0]]
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(recorder.encode, [2], Priority.INDEXING)


@pytest.mark.parametrize("searched", [True, False])
def test_indexing_goes_in_short_batches_only_while_somebody_searches(searched: bool) -> None:
    item_seconds = POLITE_SECONDS / 4
    sizes: list[int] = []

    def encode(items: list[Any]) -> Vectors:
        time.sleep(item_seconds * len(items))  # at least: so a polite batch has at most four
        sizes.append(len(items))
        return np.zeros((len(items), 1), np.float32)

    batcher = Batcher(max_items=32)
    try:
        batcher.submit(encode, [0] * 8, Priority.INDEXING).result(10)
        if searched:
            batcher.submit(encode, [0], Priority.SEARCH).result(10)
        sizes.clear()
        for future in [batcher.submit(encode, [n], Priority.INDEXING) for n in range(40)]:
            future.result(10)
    finally:
        batcher.close()
    assert sum(sizes) == 40
    assert max(sizes) <= 4 if searched else max(sizes) > 16


def test_searches_are_not_held_up_by_indexing_that_began_before_them() -> None:
    """Nobody searched for long: even so no batch takes longer than PATIENT_SECONDS allows."""
    item_seconds = PATIENT_SECONDS / 8
    sizes: list[int] = []

    def encode(items: list[Any]) -> Vectors:
        time.sleep(item_seconds * len(items))
        sizes.append(len(items))
        return np.zeros((len(items), 1), np.float32)

    batcher = Batcher(max_items=32)
    try:
        for future in [batcher.submit(encode, [n], Priority.INDEXING) for n in range(24)]:
            future.result(10)
    finally:
        batcher.close()
    assert sum(sizes) == 24
    assert sizes[0] <= FIRST_ITEMS
    assert 1 < max(sizes) <= 8  # fewer than eight on a machine that is busy


def test_a_lone_search_never_waits_for_company(
    batcher: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One client, one question after the other, as fast as it can."""
    monkeypatch.setattr(batching, "COMPANY_SECONDS", 60.0)
    instants: list[float] = []

    def encode(items: list[Any]) -> Vectors:
        instants.append(time.monotonic())
        return np.zeros((len(items), 1), np.float32)

    waits = []
    for _ in range(20):
        asked = time.monotonic()
        batcher.submit(encode, [0], Priority.SEARCH).result(10)
        waits.append(instants[-1] - asked)
    assert max(waits) < batching.COMPANY_SECONDS / 2


def test_clients_that_were_answered_together_go_together_again() -> None:
    """Four clients in a loop: without a moment's patience the first would go alone each time."""
    sizes: list[int] = []

    def encode(items: list[Any]) -> Vectors:
        sizes.append(len(items))
        time.sleep(0.02)
        return np.zeros((len(items), 1), np.float32)

    batcher = Batcher(max_items=32)

    def ask() -> None:
        for _ in range(10):
            batcher.submit(encode, [0], Priority.SEARCH).result(10)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    try:
        for client in clients:
            client.start()
        for client in clients:
            client.join(20)
    finally:
        batcher.close()
    assert sum(sizes) == 40
    assert len(sizes) <= 20  # ten batches, were nothing else running
