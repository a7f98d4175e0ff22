"""The guard: API keys, rate limits and concurrency limits."""

import asyncio
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient
from sqlalchemy import text
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import main
from app.access import api_keys
from app.access import authentication as access_of
from app.access.authentication import Authenticator, Caller, is_loopback
from app.main import create_app
from app.runtime.services import Services
from app.settings import Settings
from app.web.middleware.client_address import client_address
from app.web.middleware.guard import Guard, Need, presented_key
from app.web.middleware.guarded_route import Guarded, needs
from app.web.middleware.rate_limits import Lane
from tests.conftest import local_client
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import sql
from tests.fixtures.search_library import refused


@contextmanager
def served(
    settings: Settings, services: Services, address: str = "10.0.0.1", **changes: Any
) -> Iterator[TestClient]:
    """The application under other settings, to a client of this address."""
    local = is_loopback(settings.api_host)
    access = Authenticator(services.sessions, settings.allow_anonymous, loopback=local)
    app = create_app(settings.model_copy(update=changes), replace(services, access=access))
    with local_client(app, client=(address, 1)) as client:
        yield client


def search(client: TestClient, **headers: str) -> Any:
    return client.get("/search-by-text", params={"query": "a tree"}, headers=headers)


@pytest.fixture
def key(services: Services) -> Iterator[str]:
    """A writer's key; nobody has any afterwards. The service of the next test is open again."""
    with services.sessions.begin() as session:
        _, shown = api_keys.create(session, "default", "tests", "writer", None)
    yield shown
    with services.sessions.begin() as session:
        session.execute(text("DELETE FROM api_keys"))


def test_a_route_that_says_nothing_cannot_be_made() -> None:
    router = APIRouter(route_class=Guarded)
    with pytest.raises(AttributeError, match="need"):

        @router.get("/x")
        def nothing() -> None:
            """Says nothing."""

    @router.get("/y")
    @needs("reader")
    def something() -> None:
        """Says it."""

    assert [route.path for route in router.routes] == ["/y"]  # type: ignore[attr-defined]


def test_every_route_of_the_application_has_a_door(client: TestClient) -> None:
    found = client.get("/openapi.json").json()["paths"]
    roles = {
        path: operation.get("x-role")
        for path, methods in found.items()
        for operation in methods.values()
    }
    assert {path for path, role in roles.items() if role is None} == {"/healthz", "/readyz"}


def test_searches_of_an_address_are_bounded(settings: Settings, services: Services) -> None:
    with served(settings, services, search_rate="3/hour") as client:
        assert [search(client).status_code for _ in range(4)] == [200, 200, 200, 429]
        found = search(client)
        assert "More than 3 per 1 hour from this address" in refused(found, 429)
        assert 1 <= int(found.headers["retry-after"]) <= 3_600
        assert client.get("/images/999999").status_code == 404  # no search
        sent = client.post("/upload", files={"file": ("a.png", png(1))})
        assert sent.status_code in {200, 201}  # another bound
        elsewhere = local_client(client.app, client=("10.0.0.2", 1))
        assert search(elsewhere).status_code == 200


def test_the_single_user_of_an_open_service_has_no_default_bound(
    settings: Settings, services: Services, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 21, line 15: 429 in a loop of uploads, where nobody is kept out."""
    monkeypatch.setattr(main, "SEARCH_RATE", "2/hour")
    with served(settings, services, search_rate=None) as client:
        named = [search(client, **{"X-API-Key": key}).status_code for _ in range(3)]
    assert named == [200, 200, 429]
    with services.sessions.begin() as session:
        session.execute(text("DELETE FROM api_keys"))
    with served(settings, services, search_rate=None) as client:
        assert {search(client).status_code for _ in range(8)} == {200}
    with served(settings, services, search_rate="2/hour") as client:
        assert [search(client).status_code for _ in range(3)] == [200, 200, 429]


def test_what_is_left_of_a_rate_is_told(settings: Settings, services: Services, key: str) -> None:
    """Issue 19, item 8: the fields of the IETF's draft."""
    with served(settings, services, search_rate="2/hour") as client:
        answers = [search(client, **{"X-API-Key": key}) for _ in range(3)]
        assert [one.status_code for one in answers] == [200, 200, 429]
        for one, left in zip(answers, (1, 0, 0), strict=True):
            assert one.headers["ratelimit-policy"] == '"search";q=2;w=3600'
            told = re.fullmatch(r'"search";r=(\d+);t=(\d+)', one.headers["ratelimit"])
            assert told is not None
            assert int(told[1]) == left
            assert 1 <= int(told[2]) <= 3_600
        headers = {"X-API-Key": key}
        assert "ratelimit" not in client.get("/images/999999", headers=headers).headers


def test_uploads_of_an_address_are_bounded_apart(settings: Settings, services: Services) -> None:
    with served(settings, services, upload_rate="1/hour") as client:
        statuses = [
            client.post("/upload", files={"file": ("a.png", png(1))}).status_code for _ in range(2)
        ]
        assert statuses[1] == 429
        assert client.post("/api/v1/images", json={"urls": ["http://x/"]}).status_code == 429
        assert search(client).status_code == 200


def test_a_key_is_bounded_wherever_it_is_used(
    settings: Settings, services: Services, key: str
) -> None:
    with served(settings, services, search_rate="2/hour") as client:
        named = {"X-API-Key": key}
        elsewhere = local_client(client.app, client=("10.0.0.2", 1))
        assert search(client, **named).status_code == 200
        assert search(elsewhere, **named).status_code == 200
        assert "from this key" in refused(search(elsewhere, **named), 429)


def test_a_flood_of_bad_keys_is_bounded_too(
    settings: Settings, services: Services, key: str
) -> None:
    with served(settings, services, search_rate="2/hour") as client:
        statuses = [search(client, **{"X-API-Key": f"isk_1_{n}"}).status_code for n in range(3)]
    assert statuses == [401, 401, 429]


def test_of_looked_up_keys_only_some_wait_at_once(
    settings: Settings, services: Services, key: str
) -> None:
    """Whoever has none can cause look-ups on every route: they must not take all threads."""
    with served(settings, services) as client:
        begun, go_on = threading.Event(), threading.Event()

        class Slow(Authenticator):
            def caller(self, presented: str | None) -> Caller:
                begun.set()
                go_on.wait(30)
                return super().caller(presented)

        access = Slow(services.sessions, "none", loopback=True)
        at_once: dict[Lane, int] = {"other": 9, "lookups": 1}
        client.app.state.guard = Guard(  # type: ignore[attr-defined]
            access, services.address_signer, {}, at_once
        )
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(client.get, "/images/1", headers={"X-API-Key": "isk_1_a"})
            assert begun.wait(30)
            answer = client.get("/images/1", headers={"X-API-Key": "isk_1_b"})
            go_on.set()
        assert (answer.status_code, waiting.result().status_code) == (503, 401)


def test_who_asks_with_the_same_key_at_once_is_looked_up_once(services: Services) -> None:
    """What is believed of all of them ends at one moment: none may be turned away for that."""
    looked_up: list[str | None] = []
    all_wait = threading.Barrier(2)

    class Slow(Authenticator):
        def caller(self, presented: str | None) -> Caller:
            looked_up.append(presented)
            all_wait.wait(30)
            return super().caller(presented)

    slow = Slow(services.sessions, "none", loopback=True)
    guard = Guard(slow, services.address_signer, {}, {"other": 99, "lookups": 1})

    async def pass_through() -> str:
        scope = scope_of("GET", "/images/1", b"")
        async with guard.admit(Need("reader", "other"), scope):
            return str(scope["state"]["caller"].role)

    async def ask() -> list[str]:
        answers = asyncio.gather(*(pass_through() for _ in range(20)))
        await asyncio.to_thread(all_wait.wait, 30)
        return await answers

    assert asyncio.run(ask()) == ["admin"] * 20
    assert looked_up == [None]


def test_strangers_who_may_read_may_not_rate(
    settings: Settings, services: Services, key: str
) -> None:
    reading = settings.model_copy(update={"allow_anonymous": "read"})
    with served(reading, services) as client:
        token = search(client).headers["x-search-token"]
        for path, body in (
            ("feedback", {"token": token, "rating": 5}),
            ("feedback/withdraw", {"token": token}),
            ("create-feedback", {"jwt": token, "user_feedback": 5}),
        ):
            found = client.post(f"/api/v1/{path}", json=body)
            assert "rating needs a key" in refused(found, 403)
            named = client.post(f"/api/v1/{path}", json=body, headers={"X-API-Key": key})
            assert named.status_code in {200, 201, 204}


def test_a_revoked_key_follows_nothing_any_more(
    settings: Settings, services: Services, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_of, "KEY_SECONDS", 0.0)
    with served(settings, services) as client:
        named = {"X-API-Key": key}
        sent = client.post("/api/v1/images", files={"files": ("a.png", png(3))}, headers=named)
        revoke = threading.Timer(2, sql, (services, "UPDATE api_keys SET revoked_at = now()"))
        revoke.start()
        told = client.get(sent.json()["events_url"], headers=named).text  # nobody works on it
        revoke.join()
    assert "event: progress" in told
    assert "event: end" not in told
    sql(services, "DELETE FROM jobs")


def test_none_is_no_bound(settings: Settings, services: Services) -> None:
    with served(settings, services, search_rate="none") as client:
        assert {search(client).status_code for _ in range(120)} == {200}


def test_one_request_too_many_is_answered_at_once(settings: Settings, services: Services) -> None:
    router = APIRouter(route_class=Guarded)
    begun, go_on = threading.Event(), threading.Event()

    @router.get("/slow", responses={})
    @needs("reader", "search")
    def slow() -> str:
        begun.set()
        assert go_on.wait(30)
        return "done"

    app = create_app(settings.model_copy(update={"max_searches": 2}), services)
    app.include_router(router)
    with local_client(app) as client:
        answers: list[Any] = []
        first = threading.Thread(target=lambda: answers.append(client.get("/slow")))
        first.start()
        try:
            assert begun.wait(30)
            refusal = search(client)
            assert "Too many of your requests" in refused(refusal, 503)
            assert int(refusal.headers["retry-after"]) >= 1
            assert client.get("/healthz").status_code == 200
            assert client.get("/images/999999").status_code == 404
        finally:
            go_on.set()
            first.join()
        assert answers[0].json() == "done"
        assert search(client).status_code == 200  # its place is free again


def test_a_place_is_free_as_soon_as_its_answer_is_whole(
    settings: Settings, services: Services
) -> None:
    """A client on as many connections as there are places asks again at once."""
    with served(settings, services, max_searches=1) as client:
        statuses: list[int] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            elif not message.get("more_body") and len(statuses) < 3:
                await client.app(scope_of("GET", "/search-by-text", b"query=a"), receive, send)

        first = scope_of("GET", "/search-by-text", b"query=a")
        asyncio.run(_asked(client.app, first, receive, send))
    assert statuses == [200, 200, 200]


def test_a_refusal_frees_its_place(settings: Settings, services: Services) -> None:
    with served(settings, services, max_searches=1) as client:
        for _ in range(3):
            assert client.get("/search-by-text", params={"query": ""}).status_code == 422
        assert search(client).status_code == 200


def scope_of(method: str, path: str, query: bytes, *headers: tuple[bytes, bytes]) -> Scope:
    """A request as uvicorn hands it to the application."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(b"host", b"127.0.0.1"), *headers],
        "client": ("10.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }


async def _asked(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


def test_a_body_of_who_may_not_send_it_is_not_read(
    settings: Settings, services: Services, key: str
) -> None:
    with served(settings, services) as client:
        asked: list[str] = []

        async def receive() -> Message:
            asked.append("body")
            return {"type": "http.request", "body": b"", "more_body": False}

        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        kind = (b"content-type", b"multipart/form-data; boundary=x")
        scope = scope_of("POST", "/api/v1/images", b"", kind)
        asyncio.run(_asked(client.app, scope, receive, send))
    assert sent[0]["status"] == 401
    assert asked == []


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, None),
        ({"authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bearer  abc "}, "abc"),
        ({"authorization": "Basic abc"}, None),
        ({"authorization": "Bearer"}, None),
        ({"x-api-key": "abc"}, "abc"),
        ({"x-api-key": "abc", "authorization": "Bearer def"}, "abc"),
        ({"x-api-key": ""}, None),
    ],
)
def test_a_key_is_read_from_either_header(headers: dict[str, str], found: str | None) -> None:
    assert presented_key(Headers(headers)) == found


@pytest.mark.parametrize(
    ("client", "unit"),
    [
        (("10.0.0.1", 1), "10.0.0.1"),
        (("::ffff:10.0.0.1", 1), "10.0.0.1"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 1), "fe80::/64"),
        (("testclient", 1), "testclient"),
        (None, "unknown"),
    ],
)
def test_an_ipv6_customer_is_one_address(client: Any, unit: str) -> None:
    scope: Scope = {"client": client}
    assert client_address(scope) == unit


def test_a_key_that_is_refused_says_how_to_come_in(
    settings: Settings, services: Services, key: str
) -> None:
    with served(settings, services) as client:
        for headers in ({}, {"X-API-Key": "isk_9_x"}, {"Authorization": "Bearer x"}):
            found = search(client, **headers)
            told = refused(found, 401)
            assert "ask the person who runs this library" in told
            assert "header Authorization: Bearer <key> or X-API-Key: <key>" in told
            assert "make create-key" in told
            assert found.headers["www-authenticate"] == "Bearer"
        for value in (key, f"Basic {key}", "Bearer"):
            told = refused(search(client, Authorization=value), 401)
            assert "The header Authorization holds no key" in told
            assert "send Authorization: Bearer <key>" in told
        assert search(client, Authorization=f"Bearer {key}").status_code == 200
        named = {"X-API-Key": key}
        assert refused(client.get("/api/v1/feedback/summary", headers=named), 403) == (
            "Your key is for adding, changing and deleting pictures (role writer): managing the "
            "library needs a key with the role admin; ask the person who runs this library for one."
        )
        elsewhere = client.get("/api/v1/images?namespace=elsewhere", headers=named)
        assert refused(elsewhere, 403).startswith(
            "Your key is for the namespace default, not for elsewhere: leave `namespace` out"
        )


def test_who_may_read_without_a_key_is_told_what_a_key_is_for(
    settings: Settings, services: Services, key: str
) -> None:
    """A trial of issue 19: they were told that their key was a reader's, and had none."""
    reading = settings.model_copy(update={"allow_anonymous": "read"})
    with served(reading, services) as client:
        told = refused(client.delete("/images/1"), 403)
        assert told.startswith(
            "Without a key this library is for searching and looking at pictures: adding, changing "
            "and deleting pictures needs a key with the role writer"
        )
        assert "header Authorization" in told
        elsewhere = refused(client.get("/api/v1/images?namespace=elsewhere"), 403)
        assert "your key" not in elsewhere.lower()


def test_writes_are_audited_and_nothing_secret_is_logged(
    settings: Settings, services: Services, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with served(settings, services) as client:
        named = {"X-API-Key": key, "X-Request-Id": "mine"}
        answer = search(client, **named)
        token = answer.headers["x-search-token"]
        picture = png(77)
        client.post("/search-by-image", content=picture, headers=named)
        client.post("/upload", files={"file": ("a.png", picture)}, headers=named)
        client.post("/api/v1/feedback", json={"token": token, "rating": 5}, headers=named)
        client.post("/api/v1/feedback", json={"token": token + "x", "rating": 5}, headers=named)
        search(client, **{"X-API-Key": key + "x"})
        client.delete("/images/999999", headers=named)
        client.delete("/images/999999")
    audits = [one for one in caplog.records if one.name == "audit"]
    told = [(one.getMessage(), vars(one)["status"]) for one in audits]
    assert told == [
        ("upload", 201),
        ("create_feedback", 201),
        ("create_feedback", 401),
        ("delete_image", 404),
        ("delete_image", 401),
    ]
    assert [vars(one)["caller"] for one in audits] == ["tests"] * 4 + [None]
    assert {vars(one)["address"] for one in audits} == {"10.0.0.1"}
    written = "\n".join(str(vars(one)) + one.getMessage() for one in caplog.records)
    for secret in (
        key,
        key.split("_", 2)[2],
        token,
        token.rpartition(".")[2],
        repr(picture)[2:40],
    ):
        assert secret not in written


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8000"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "192.0.2.7"},
        {"Host": "[broken"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[broken"},
        {"Origin": "http://127.0.0.1:1234"},
        {"X-Forwarded-For": "192.0.2.7"},
        {"Forwarded": "for=192.0.2.7"},
    ],
)
def test_an_open_service_answers_this_machine_alone(
    settings: Settings, services: Services, headers: dict[str, str]
) -> None:
    client = local_client(create_app(settings, services))
    for method, path in (("GET", "/search-by-text?query=a"), ("POST", "/upload")):
        told = client.request(method, path, headers=headers)
        assert told.status_code == 403, told.text
        assert told.headers["content-type"] == "application/problem+json"
    assert client.get("/healthz", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:8000"},
        {"Host": "[::1]:8000"},
        {"Host": "127.0.0.2"},
        {"Host": "pictures.localhost"},
        {"Host": "localhost:8000", "Origin": "http://localhost:8000"},
        {"Origin": "https://shop.example"},
    ],
)
def test_this_machine_is_known_by_its_names(
    settings: Settings, services: Services, headers: dict[str, str]
) -> None:
    named = settings.model_copy(update={"cors_origins": ("https://shop.example",)})
    client = local_client(create_app(named, services))
    told = client.get("/search-by-text?query=a", headers=headers)
    assert told.status_code == 200, told.text
