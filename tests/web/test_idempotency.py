"""Issue 19, line 8: a request that is sent again with its Idempotency-Key is not repeated."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access import idempotency_keys
from app.access.authentication import OPEN, Caller
from app.database.connections import Sessions
from app.errors import IdempotencyKeyInUse
from app.runtime.services import Services
from app.web import idempotency
from app.web.bodies.body_digest import BodyDigest
from tests.fixtures.drawn_pictures import png

COLLECTIONS = "/api/v1/collections"


def keyed() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


def name() -> str:
    return f"c{uuid4().hex[:8]}"


def age(services: Services, values: str) -> None:
    with services.sessions.begin() as session:
        session.execute(text(f"UPDATE idempotency_keys SET {values}"))


def kept(services: Services) -> int:
    with services.sessions.begin() as session:
        return int(session.execute(text("SELECT count(*) FROM idempotency_keys")).scalar_one())


def test_the_first_answer_is_given_again(client: TestClient) -> None:
    key, body = keyed(), {"name": name()}
    first = client.post(COLLECTIONS, json=body, headers=key)
    assert first.status_code == 201
    assert "idempotent-replayed" not in first.headers
    again = client.post(COLLECTIONS, json=body, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert client.post(COLLECTIONS, json=body, headers=keyed()).status_code == 409


def test_a_form_is_the_same_whatever_its_boundary(client: TestClient) -> None:
    key = keyed()

    def upload(seed: int, **params: str) -> Any:
        files = {"file": ("a.png", png(seed))}  # httpx makes a new boundary each time
        return client.post("/upload", params=params, files=files, headers=key)

    first = upload(700)
    assert (first.status_code, first.json()[0]["status"]) == (201, "stored")
    again = upload(700)
    assert (again.status_code, again.json()) == (201, first.json())
    for other in (upload(701), upload(700, namespace="default")):
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_refusal_is_given_again_too(client: TestClient) -> None:
    key, body = keyed(), {"name": "Not A Name"}
    first = client.post(COLLECTIONS, json=body, headers=key)
    again = client.post(COLLECTIONS, json=body, headers=key)
    assert (first.status_code, again.status_code) == (422, 422)
    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")


def test_a_key_under_way_is_refused_and_that_of_a_dead_process_is_taken_over(
    client: TestClient, services: Services
) -> None:
    key, body = keyed(), {"name": name()}
    assert client.post(COLLECTIONS, json=body, headers=key).status_code == 201
    age(services, "status = NULL, held_until = now() + interval '1 minute'")  # as before its end
    busy = client.post(COLLECTIONS, json=body, headers=key)
    assert (busy.status_code, busy.json()["code"]) == (409, "idempotency_key_in_use")
    assert int(busy.headers["retry-after"]) > 0
    age(services, "held_until = now() - interval '1 second'")  # nobody has renewed it
    again = client.post(COLLECTIONS, json=body, headers=key)
    assert (again.status_code, again.json()["code"]) == (409, "collection_exists"), "done again"


def test_keys_are_kept_a_day(client: TestClient, services: Services) -> None:
    key, body = keyed(), {"name": name()}
    client.post(COLLECTIONS, json=body, headers=key)
    age(services, "created_at = now() - interval '23 hours'")
    with services.sessions.begin() as session:
        idempotency_keys.purge(session)
    assert kept(services) > 0
    age(services, "created_at = now() - interval '25 hours'")
    assert client.post(COLLECTIONS, json=body, headers=key).json()["code"] == "collection_exists"
    age(services, "created_at = now() - interval '25 hours'")
    services.worker.upkeep.maintain_queue()
    assert kept(services) == 0


@pytest.mark.parametrize("key", ["", "with space", "x" * 256, "ü"])
def test_a_key_that_is_none_is_refused(client: TestClient, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode())]
    answer = client.post(COLLECTIONS, json={"name": name()}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_invalid")


def scope(key: str, caller: Caller = OPEN) -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "path": "/upload",
        "query_string": b"",
        "headers": [(b"idempotency-key", key.encode())],
        "state": {"caller": caller},
    }


def test_callers_have_keys_of_their_own() -> None:
    callers = [OPEN, Caller("writer", "default", 1), Caller("writer", "default", 2)]
    callers += [Caller("writer", "other", 1)]
    attempts = [
        idempotency._attempt(one, Headers(scope=one))
        for one in (scope("k", caller) for caller in callers)
    ]
    assert len({one.digest for one in attempts}) == len(callers)


def ask(sessions: Sessions, app: ASGIApp, key: str) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"body", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(idempotency.answer_once(sessions, app, scope(key), receive, send))
    return sent


def counting(answer: Callable[[], ASGIApp], *, reads: bool = True) -> tuple[ASGIApp, list[int]]:
    calls: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(1)
        if reads:
            await receive()
        await answer()(scope, receive, send)

    return app, calls


@pytest.mark.parametrize(
    ("status", "size", "reads", "times"),
    [
        (201, 10, True, 1),
        (404, 10, True, 1),
        (503, 10, True, 2),
        (429, 10, True, 2),
        (201, idempotency.MAX_ANSWER_BYTES + 1, True, 2),
        (201, 10, False, 2),  # what was sent is not known
    ],
)
def test_which_answers_are_kept(
    services: Services, status: int, size: int, reads: bool, times: int
) -> None:
    app, calls = counting(lambda: PlainTextResponse("x" * size, status), reads=reads)
    key = str(uuid4())
    for _ in range(2):
        start, *bodies = ask(services.sessions, app, key)
        assert start["status"] == status
        assert sum(len(one.get("body", b"")) for one in bodies) == size
    assert len(calls) == times


def test_a_failure_frees_the_key(services: Services) -> None:
    def fail() -> ASGIApp:
        raise ZeroDivisionError

    app, calls = counting(fail)
    key = str(uuid4())
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            ask(services.sessions, app, key)
    assert len(calls) == 2


def test_a_key_is_held_for_as_long_as_its_answer_takes(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "RENEW_SECONDS", 0.01)
    key = str(uuid4())

    async def is_renewed() -> None:
        ahead = text("SELECT held_until > now() FROM idempotency_keys WHERE status IS NULL")
        while True:
            with services.sessions.begin() as session:
                if session.execute(ahead).scalar_one():
                    return
            await asyncio.sleep(0.01)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        age(services, "held_until = now() - interval '1 hour'")
        await is_renewed()
        with pytest.raises(IdempotencyKeyInUse):
            await idempotency.answer_once(services.sessions, app, scope, receive, send)
        await PlainTextResponse("done")(scope, receive, send)

    assert ask(services.sessions, app, key)[0]["status"] == 200


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_digest_of_a_form_leaves_its_boundary_out(size: int) -> None:
    def digest(boundary: str, value: str) -> bytes:
        form = f"--{boundary}\r\n\r\n{value}\r\n--{boundary}--\r\n".encode()
        chunks = [form[at : at + size] for at in range(0, len(form), size)]

        async def receive() -> Message:
            body = chunks.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(chunks)}

        body = BodyDigest(receive, f"multipart/form-data; boundary={boundary}")
        asyncio.run(body.drain())
        return body.digest()

    assert digest("-----a1", "x" * 50) == digest("----------b2b2", "x" * 50)
    assert digest("-----a1", "x" * 50) != digest("-----a1", "x" * 51)


def test_the_document_names_the_operations_that_take_a_key(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    found = {
        operation["operationId"]: operation
        for operations in paths.values()
        for operation in operations.values()
        if any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", ()))
    }
    assert set(found) == {
        *("upload", "upload_images", "import_images", "create_collection", "reindex_collection"),
        *("create_feedback", "create_legacy_feedback", "add_golden_query", "evaluate_collection"),
    }
    for operation in found.values():
        good = [answer for code, answer in operation["responses"].items() if code < "300"]
        assert good
        assert all("Idempotent-Replayed" in answer.get("headers", {}) for answer in good)
        assert {"409", "422"} <= set(operation["responses"])
