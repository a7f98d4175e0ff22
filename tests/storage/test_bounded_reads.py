"""Reads that hang end for their caller, and do not grow without bound: issue 21, line 27."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.errors import SourceUnavailable
from app.storage import bounded_reads
from app.storage.bounded_reads import MAX_LATE, BoundedReads, in_pieces

SILENCE = 0.3  # seconds
PLACE = Path("/folder/a.png")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> BoundedReads:
    monkeypatch.setattr(bounded_reads, "LATE_SECONDS", SILENCE / 3)
    return BoundedReads()


@pytest.fixture
def hang() -> Iterator[Callable[[Callable[[], None]], int]]:
    """A read that waits until the test is over."""
    over = threading.Event()
    yield lambda beat: int(over.wait())
    over.set()


def test_what_a_read_gives_or_raises_is_its_caller_s(reads: BoundedReads) -> None:
    assert reads.call(PLACE, lambda beat: 3) == 3
    with pytest.raises(ZeroDivisionError):
        reads.call(PLACE, lambda beat: 1 // 0)


def test_threads_are_used_again(reads: BoundedReads) -> None:
    idents = {reads.call(PLACE, lambda beat: threading.get_ident()) for _ in range(50)}
    assert len(idents) == 1


def test_a_slow_read_may_go_on_as_long_as_it_gets_something(reads: BoundedReads) -> None:
    def slow(beat: Callable[[], None]) -> int:
        for _ in range(6):
            time.sleep(SILENCE / 2)
            beat()
        return 6

    assert reads.call(PLACE, slow, SILENCE) == 6


def test_a_read_that_gets_nothing_ends(
    reads: BoundedReads, hang: Callable[[Callable[[], None]], int]
) -> None:
    began = time.monotonic()
    with pytest.raises(SourceUnavailable, match="The disk of /folder does not answer"):
        reads.call(PLACE, hang, SILENCE)
    assert time.monotonic() - began == pytest.approx(SILENCE, abs=0.2)


def test_further_reads_of_a_disk_that_hangs_are_refused_at_once_until_it_answers(
    reads: BoundedReads,
) -> None:
    over = threading.Event()
    for _ in range(MAX_LATE):
        with pytest.raises(SourceUnavailable):
            reads.call(PLACE, lambda beat: over.wait(), SILENCE / 2)
    threads = threading.active_count()
    for _ in range(100):
        with pytest.raises(SourceUnavailable):
            reads.call(PLACE, lambda beat: 1)
    assert threading.active_count() == threads
    over.set()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            assert reads.call(PLACE, lambda beat: 1) == 1
            break
        except SourceUnavailable:
            time.sleep(0.01)


def test_another_disk_is_read_beside_one_that_hangs(
    reads: BoundedReads, hang: Callable[[Callable[[], None]], int]
) -> None:
    """Told apart by their mount points: /proc is one everywhere."""
    for _ in range(MAX_LATE):
        with pytest.raises(SourceUnavailable):
            reads.call(PLACE, hang, SILENCE / 2)
    assert reads.call(Path("/proc/a.png"), lambda beat: 1) == 1


def test_an_iterator_is_read_in_pieces_and_its_error_raised() -> None:
    def found() -> Iterator[int]:
        yield from range(5)
        raise SourceUnavailable("gone")

    pieces = in_pieces(PLACE, found(), 2)
    assert [next(pieces) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(SourceUnavailable, match="gone"):
        next(pieces)
    assert list(in_pieces(PLACE, iter(range(5)), 2)) == [0, 1, 2, 3, 4]
