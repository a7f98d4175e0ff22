"""Answers given again: only while nothing was written, by whomever."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.database.answer_cache import AnswerCache, Found
from app.index.resident.changes import current_snapshot
from app.runtime.services import Services
from app.search.search import FlatAnswerCache
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import sql, statements

T = TypeVar("T")


class Asked:
    """Counts how often it is asked."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.times = 0

    def __call__(self) -> Found[int]:
        self.times += 1
        return now(self._services, self.times)


def now(services: Services, answer: T) -> Found[T]:
    """An answer that is looked up at this moment."""
    with services.sessions() as session:
        return Found(current_snapshot(session), answer)


@pytest.fixture
def cache(services: Services) -> AnswerCache[int]:
    return AnswerCache(services.sessions, lambda _: 1)


@pytest.fixture
def asked(services: Services) -> Asked:
    return Asked(services)


def test_the_same_question_is_asked_once(cache: AnswerCache[int], asked: Asked) -> None:
    assert [cache.answer("a", asked).answer for _ in range(5)] == [1] * 5
    assert cache.answer("b", asked).answer == 2


def test_what_anybody_writes_makes_answers_void(
    cache: AnswerCache[int], services: Services, asked: Asked
) -> None:
    assert cache.answer("a", asked).answer == 1
    sql(services, "UPDATE collections SET name = name")
    assert cache.answer("a", asked).answer == 2
    assert cache.answer("a", asked).answer == 2


def test_what_is_not_committed_changes_nothing_until_it_is(
    cache: AnswerCache[int], services: Services, asked: Asked
) -> None:
    with services.sessions.begin() as session:
        session.execute(text("UPDATE collections SET name = name"))
        during = cache.answer("a", asked).answer
    assert cache.answer("a", asked).answer == during + 1


def test_what_is_written_while_it_is_asked_makes_the_answer_void(
    cache: AnswerCache[int], services: Services
) -> None:
    def ask() -> Found[int]:
        found = now(services, 1)
        sql(services, "UPDATE collections SET name = name")
        return found

    assert cache.answer("a", ask).answer == 1
    assert cache.answer("a", lambda: now(services, 2)).answer == 2


def test_a_failure_is_not_kept(cache: AnswerCache[int], services: Services) -> None:
    def fail() -> Found[int]:
        raise ValueError("away")

    with pytest.raises(ValueError, match="away"):
        cache.answer("a", fail)
    assert cache.answer("a", lambda: now(services, 2)).answer == 2


def test_those_asked_longest_ago_are_forgotten(services: Services, asked: Asked) -> None:
    cache: AnswerCache[int] = AnswerCache(services.sessions, lambda _: 1, max_characters=2)
    for name in ("a", "b", "a", "c"):  # b goes
        cache.answer(name, asked)
    assert cache.answer("a", asked).answer == 1
    assert cache.answer("b", asked).answer == 4


def test_long_answers_take_the_room_of_many(services: Services) -> None:
    cache: AnswerCache[int] = AnswerCache(
        services.sessions, lambda answer: answer, max_characters=10
    )
    assert cache.answer("small", lambda: now(services, 4)).answer == 4
    assert cache.answer("other", lambda: now(services, 6)).answer == 6
    assert cache.answer("small", lambda: now(services, 1)).answer == 4  # all of them have room
    assert cache.answer("too long", lambda: now(services, 11)).answer == 11
    assert cache.answer("too long", lambda: now(services, 2)).answer == 2  # none had
    assert cache.answer("small", lambda: now(services, 3)).answer == 3
    sql(services, "UPDATE collections SET name = name")
    assert cache.answer("small", lambda: now(services, 5)).answer == 5
    assert cache.answer("third", lambda: now(services, 3)).answer == 3
    assert cache.answer("small", lambda: now(services, 0)).answer == 5


def test_what_people_say_of_pictures_is_counted(client: TestClient, services: Services) -> None:
    """1,000 answers of 100 pictures may have 20,000 characters of metadata each."""
    said = {"metadata": json.dumps({"about": "x" * 10_000})}
    client.post("/upload", files={"file": ("long.png", png(78))}, data=said)
    hits = services.search.by_image(png(78), 1).hits
    assert hits[0].image.metadata == {"about": "x" * 10_000}
    cache = FlatAnswerCache(services.sessions)
    cache.answer("a", lambda: now(services, hits))
    assert cache._length > 10_000
    cache.answer("b", lambda: now(services, []))
    assert len(cache._entries) == 2
    assert cache._length > 14_000  # what finds nothing takes room too


def test_any_thread_may_ask(cache: AnswerCache[int], services: Services) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(
                lambda n: cache.answer(n % 5, lambda: now(services, n % 5)).answer, range(200)
            )
        )
    assert answers == [n % 5 for n in range(200)]


@pytest.fixture
def search(client: TestClient) -> Callable[[], Any]:
    for n in range(3):
        client.post("/upload", files={"file": (f"{n}.png", png(n))})
    return lambda: client.get("/search-by-text", params={"query": "a repeated tree"}).json()


def test_a_repeated_search_walks_no_graph(search: Callable[[], Any], services: Services) -> None:
    first = search()
    with statements(services.sessions) as told:
        assert search() == first
    assert not [one for one in told if "embeddings" in one]
    assert len(told) == 1


def test_a_repeated_search_finds_what_was_just_uploaded_and_not_what_was_deleted(
    client: TestClient, search: Callable[[], Any]
) -> None:
    before = search()
    best = before[0]["id"]
    sent = client.post("/upload", files={"file": ("new.png", png(77))}).json()[0]
    same = client.post("/search-by-image", files={"file": ("new.png", png(77))}).json()
    assert same[0]["id"] == sent["id"]
    assert client.delete(f"/images/{best}").status_code == 204
    assert best not in {hit["id"] for hit in search()}
    assert client.delete(f"/images/{sent['id']}").status_code == 204
    same = client.post("/search-by-image", files={"file": ("new.png", png(77))}).json()
    assert sent["id"] not in {hit["id"] for hit in same}
