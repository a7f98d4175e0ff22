"""Answers given again: only while nothing was written, by whomever."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.database.answer_cache import AnswerCache
from app.runtime.services import Services
from app.search.search import FlatAnswerCache
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import sql, statements


class Asked:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> int:
        self.times += 1
        return self.times


@pytest.fixture
def cache(services: Services) -> AnswerCache[int]:
    return AnswerCache(services.sessions, lambda _: 1)


def test_the_same_question_is_asked_once(cache: AnswerCache[int]) -> None:
    asked = Asked()
    assert [cache.answer("a", asked) for _ in range(5)] == [1] * 5
    assert cache.answer("b", asked) == 2


def test_what_anybody_writes_makes_answers_void(
    cache: AnswerCache[int], services: Services
) -> None:
    asked = Asked()
    assert cache.answer("a", asked) == 1
    sql(services, "UPDATE collections SET name = name")
    assert cache.answer("a", asked) == 2
    assert cache.answer("a", asked) == 2


def test_what_is_not_committed_changes_nothing_until_it_is(
    cache: AnswerCache[int], services: Services
) -> None:
    asked = Asked()
    with services.sessions.begin() as session:
        session.execute(text("UPDATE collections SET name = name"))
        during = cache.answer("a", asked)
    assert cache.answer("a", asked) == during + 1


def test_what_is_written_while_it_is_asked_makes_the_answer_void(
    cache: AnswerCache[int], services: Services
) -> None:
    def ask() -> int:
        sql(services, "UPDATE collections SET name = name")
        return 1

    assert cache.answer("a", ask) == 1
    assert cache.answer("a", lambda: 2) == 2


def test_a_failure_is_not_kept(cache: AnswerCache[int]) -> None:
    def fail() -> int:
        raise ValueError("away")

    with pytest.raises(ValueError, match="away"):
        cache.answer("a", fail)
    assert cache.answer("a", lambda: 2) == 2


def test_those_asked_longest_ago_are_forgotten(services: Services) -> None:
    cache: AnswerCache[int] = AnswerCache(services.sessions, lambda _: 1, max_characters=2)
    asked = Asked()
    for name in ("a", "b", "a", "c"):  # b goes
        cache.answer(name, asked)
    assert cache.answer("a", asked) == 1
    assert cache.answer("b", asked) == 4


def test_long_answers_take_the_room_of_many(services: Services) -> None:
    cache: AnswerCache[int] = AnswerCache(
        services.sessions, lambda answer: answer, max_characters=10
    )
    assert cache.answer("small", lambda: 4) == 4
    assert cache.answer("other", lambda: 6) == 6
    assert cache.answer("small", lambda: 1) == 4  # all of them have room
    assert cache.answer("too long", lambda: 11) == 11
    assert cache.answer("too long", lambda: 2) == 2  # none had
    assert cache.answer("small", lambda: 3) == 3
    sql(services, "UPDATE collections SET name = name")
    assert cache.answer("small", lambda: 5) == 5
    assert cache.answer("third", lambda: 3) == 3
    assert cache.answer("small", lambda: 0) == 5  # what it was before takes no room


def test_what_people_say_of_pictures_is_counted(client: TestClient, services: Services) -> None:
    """1,000 answers of 100 pictures may have 20,000 characters of metadata each."""
    said = {"metadata": json.dumps({"about": "x" * 10_000})}
    client.post("/upload", files={"file": ("long.png", png(78))}, data=said)
    hits = services.search.by_image(png(78), 1).hits
    assert hits[0].image.metadata == {"about": "x" * 10_000}
    cache = FlatAnswerCache(services.sessions)
    cache.answer("a", lambda: hits)
    assert cache._length > 10_000
    cache.answer("b", list)
    assert len(cache._entries) == 2
    assert cache._length > 14_000  # what finds nothing takes room too


def test_any_thread_may_ask(cache: AnswerCache[int]) -> None:
    asked = Asked()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: cache.answer(n % 5, asked), range(200)))
    assert {answers[n] for n in range(5)} == {*answers}


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
