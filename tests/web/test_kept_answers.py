"""Answers to repeated searches by text are sent again as they are, while they hold."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.access import api_keys
from app.main import create_app
from app.runtime import collection_registry
from app.runtime.services import Services
from app.search.search import Basis
from app.settings import Settings
from app.web import kept_answers
from app.web.kept_answers import TOKEN_HEADER, KeptAnswers
from tests.conftest import local_client
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import sql

QUESTION = {"query": "a repeated tree", "limit": "3"}
EACH_ANSWER = {TOKEN_HEADER.lower(), "x-request-id"}


@pytest.fixture(scope="module", autouse=True)
def _pictures(client: TestClient) -> None:
    files = [("file", (f"{n}.png", png(n))) for n in range(4)]
    assert client.post("/upload", files=files).status_code == 201


@pytest.fixture(autouse=True)
def _default_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is: answers are kept only while it is."""
    monkeypatch.setattr(collection_registry, "DEFAULT_SECONDS", float("inf"))


@pytest.fixture
def kept(client: TestClient) -> KeptAnswers:
    found: KeptAnswers = client.app.state.kept_answers  # type: ignore[attr-defined]
    return found


def ask(client: TestClient, **headers: str) -> Any:
    sent = {"Accept-Encoding": "identity", **headers}  # gzip is padded at random
    answer = client.get("/search-by-text", params=QUESTION, headers=sent)
    assert answer.status_code == 200
    return answer


def test_the_second_answer_is_the_first_with_another_token(
    client: TestClient, kept: KeptAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_kept = []
    find = KeptAnswers.find

    async def note(self: KeptAnswers, scope: Any) -> Any:
        found = await find(self, scope)
        is_kept.append(found is not None)
        return found

    monkeypatch.setattr(KeptAnswers, "find", note)
    first, second = ask(client), ask(client)
    assert is_kept[-1]
    assert second.content == first.content
    for name in {*first.headers, *second.headers} - EACH_ANSWER:
        assert second.headers[name] == first.headers[name]
    tokens = [one.headers[TOKEN_HEADER] for one in (first, second)]
    assert tokens[0] != tokens[1]
    for token in tokens:
        rated = client.post("/api/v1/feedback", json={"token": token, "rating": 7})
        assert rated.status_code == 201


def test_what_was_deleted_is_in_no_answer(client: TestClient) -> None:
    ask(client)
    best = ask(client).json()[0]["id"]
    assert client.delete(f"/images/{best}").status_code == 204
    assert best not in {hit["id"] for hit in ask(client).json()}


def test_an_answer_holds_until_something_is_written_or_feedback_counts(services: Services) -> None:
    search = services.search
    basis = search.by_text("a held tree", 3).basis
    assert basis.holds(search.current_basis())
    assert not Basis("on", basis.snapshot).holds(search.current_basis())
    sql(services, "UPDATE collections SET name = name")
    assert not basis.holds(search.current_basis())
    before = search.by_text("a held tree", 3).basis
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search.queries.query_adjustment._cached, "state", "on")
        patched.setattr(search.queries.query_adjustment._cached, "read_at", float("inf"))
        assert not before.holds(search.current_basis())
        now = search.by_text("a held tree", 3).basis
        assert not now.holds(search.current_basis())


def test_they_take_bounded_memory(
    client: TestClient, kept: KeptAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_answers, "MAX_BYTES", 20_000)
    for n in range(10):
        client.get("/search-by-text", params={"query": f"tree {n}"})
    assert 0 < kept._bytes <= 20_000
    assert kept._bytes == sum(map(len, kept._kept.values()))
    assert len(kept._kept) < 10


def test_nobody_gets_what_another_was_answered(
    settings: Settings, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same address of two namespaces, and of a key that was revoked."""
    with services.sessions.begin() as session:
        admins = [api_keys.create(session, one, one, "admin", None) for one in ("default", "shop")]
        reader = api_keys.create(session, "default", "revoked", "reader", None)
    own, other, revoked = ({"X-API-Key": text} for _, text in (*admins, reader))
    # That there are no keys is known for some seconds, and other tests have asked without one.
    monkeypatch.setattr(services.access, "_unlocked_at", float("-inf"))
    with local_client(create_app(settings, services)) as client:
        made_there = client.post("/api/v1/collections", json={"name": "default"}, headers=other)
        assert made_there.status_code == 201
        first, second = ask(client, **revoked), ask(client, **revoked)
        assert second.json() == first.json() != []
        assert client.get(second.json()[0]["url"]).status_code == 200
        assert ask(client, **other).json() == []
        assert client.get("/search-by-text", params=QUESTION).status_code == 401
        key_id = services.access.caller(revoked["X-API-Key"]).key_id
        assert client.delete(f"/api/v1/keys/{key_id}", headers=own).status_code == 204
        assert client.get("/search-by-text", params=QUESTION, headers=revoked).status_code == 401
