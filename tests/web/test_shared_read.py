"""Requests that ask for the same at the same time share a read that began after they asked."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

import pytest

from app.web.shared_read import SharedRead

SECONDS = 60  # after which a read counts as stuck
CROWD = 20


class Source:
    """What is read: how often it was, at the latest. A read ends when it is let go."""

    def __init__(self) -> None:
        self._reads = count(1)
        self.failing = 0  # which of the reads
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self) -> int:
        number = next(self._reads)
        self.begun.release()
        assert self.go.acquire(timeout=SECONDS)
        if number == self.failing:
            raise OSError("no database")
        return number

    async def has_begun(self) -> None:
        """Wait until one more read has begun."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=SECONDS)


@pytest.fixture
def source() -> Source:
    return Source()


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), SECONDS))


async def asked(shared: SharedRead[int], times: int = 1) -> "list[asyncio.Task[int]]":
    """So many who ask at the same moment, and wait for the value."""
    tasks = [asyncio.create_task(shared.value()) for _ in range(times)]
    await asyncio.sleep(0)  # until they wait
    return tasks


def test_who_asks_during_a_read_gets_the_next_which_all_of_them_share(source: Source) -> None:
    async def story() -> None:
        shared = SharedRead(source)
        (first,) = await asked(shared)
        await source.has_begun()
        crowd = await asked(shared, CROWD)
        assert not shared.is_idle
        source.go.release(2)
        assert await first == 1
        assert await asyncio.gather(*crowd) == [2] * CROWD
        assert shared.is_idle

    run(story)


def test_who_asks_after_a_read_gets_a_new_one(source: Source) -> None:
    async def story() -> None:
        shared = SharedRead(source)
        source.go.release(3)
        assert [await shared.value() for _ in range(3)] == [1, 2, 3]

    run(story)


def test_a_read_that_fails_fails_for_those_who_shared_it_alone(source: Source) -> None:
    async def story() -> None:
        source.failing = 2
        shared = SharedRead(source)
        first, *both = await asked(shared, 3)
        await source.has_begun()
        source.go.release()
        assert await first == 1
        await source.has_begun()
        (later,) = await asked(shared)
        source.go.release(2)
        for one in both:
            with pytest.raises(OSError, match="no database"):
                await one
        assert await later == 3
        assert shared.is_idle

    run(story)


def test_who_leaves_takes_nothing_from_the_others(source: Source) -> None:
    async def story() -> None:
        shared = SharedRead(source)
        first, leaving, staying = await asked(shared, 3)
        await source.has_begun()
        leaving.cancel()
        source.go.release(2)
        assert await first == 1
        assert await staying == 2
        assert leaving.cancelled()

    run(story)


def test_a_read_that_fails_with_nobody_waiting_does_not_stop_the_next(source: Source) -> None:
    async def story() -> None:
        source.failing = 1
        shared = SharedRead(source)
        source.go.release(2)
        with pytest.raises(OSError, match="no database"):
            await shared.value()
        assert await shared.value() == 2

    run(story)
