"""Keys over the API (issue 19, line 12): made, listed and revoked by an admin."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.access import api_keys
from app.access.api_keys import MAX_DAYS, Role
from app.access.authentication import KEY_SECONDS, Authenticator
from app.access.key_administration import KeyAdministration
from app.errors import KeyRejected, LastAdminKey
from app.main import create_app
from app.runtime.services import Services
from app.settings import Settings
from app.web.middleware import rate_limits
from tests.conftest import local_client
from tests.fixtures.search_library import refused

KEYS = "/api/v1/keys"


@dataclass
class Desk:
    """A client, and the services that it asks."""

    client: TestClient
    services: Services

    def key(self, role: Role = "admin", expires_at: datetime | None = None) -> tuple[int, str]:
        """The id and the text of a new key of the namespace `family`."""
        with self.services.sessions.begin() as session:
            key, text = api_keys.create(session, "family", role, role, expires_at)
        return key.id, text

    def ask(self, key: str, method: str, path: str = KEYS, **request: Any) -> Any:
        return self.client.request(method, path, headers={"X-API-Key": key}, **request)


@pytest.fixture
def desk(settings: Settings, services: Services) -> Iterator[Desk]:
    with local_client(create_app(settings, services)) as client:
        yield Desk(client, services)
    with services.sessions.begin() as session:
        session.execute(text("DELETE FROM api_keys"))


def test_a_key_is_shown_once_and_works(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit")
    own_id, admin = desk.key()
    made = desk.ask(admin, "POST", json={"name": "Grandma's tablet ☾", "role": "reader"})
    assert made.status_code == 201, made.text
    told = made.json()
    key = told.pop("key")
    assert made.headers["cache-control"] == "no-store"
    assert key.startswith(told["prefix"])
    assert (told["namespace"], told["role"], told["own"]) == ("family", "reader", False)
    assert (told["expires_at"], told["revoked_at"], told["last_used_at"]) == (None, None, None)
    assert desk.ask(key, "GET", "/api/v1/collections").status_code == 200
    assert "needs a key with the role admin" in refused(desk.ask(key, "GET"), 403)
    listed = desk.ask(admin, "GET")
    assert key not in listed.text
    assert [(one["id"], one["own"]) for one in listed.json()["data"]] == [
        (told["id"], False),
        (own_id, True),
    ]
    assert listed.json()["data"][0]["last_used_at"] is not None
    (line,) = [one for one in caplog.records if one.getMessage() == "create_key"]
    assert vars(line)["made_key_id"] == told["id"]
    assert vars(line)["made_role"] == "reader"
    assert key not in str(vars(line))


def test_pages_follow_each_other(desk: Desk) -> None:
    _, admin = desk.key()
    for _ in range(3):
        desk.key("reader")
    met: list[int] = []
    cursor: str | None = None
    while cursor is not None or not met:
        page = desk.ask(admin, "GET", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))
        met += [one["id"] for one in page.json()["data"]]
        cursor = page.json()["next_cursor"]
    assert met == sorted(met, reverse=True)
    assert len(met) == 4
    assert refused(desk.ask(admin, "GET", params={"cursor": "x"}), 422)


def test_a_revoked_key_is_refused_at_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit")
    _, admin = desk.key()
    made = desk.ask(admin, "POST", json={"name": "phone", "role": "writer"}).json()
    used = {"method": "GET", "path": "/api/v1/collections"}
    assert desk.ask(made["key"], **used).status_code == 200  # known to the process by now
    clock = [0.0]
    sessions = desk.services.sessions
    other = Authenticator(sessions, "none", loopback=False, clock=lambda: clock[0])
    assert other.caller(made["key"]).may("writer")  # in another process
    gone = desk.ask(admin, "DELETE", f"{KEYS}/{made['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert "was revoked" in refused(desk.ask(made["key"], **used), 401)
    clock[0] = KEY_SECONDS
    with pytest.raises(KeyRejected, match="was revoked"):
        other.caller(made["key"])
    assert desk.ask(admin, "DELETE", f"{KEYS}/{made['id']}").status_code == 204  # as before
    assert desk.ask(admin, "GET").json()["data"][0]["revoked_at"] is not None
    lines = [vars(one) for one in caplog.records if one.getMessage() == "revoke_key"]
    assert [one["path"] for one in lines] == [f"{KEYS}/{made['id']}"] * 2


def test_a_lookup_that_began_before_a_revocation_is_not_cached(desk: Desk) -> None:
    key_id, text = desk.key("reader")
    sessions = desk.services.sessions

    class Revoked:
        """Opens the lookup's transaction; meanwhile, before its answer is kept, the key goes."""

        def begin(self) -> Any:
            session = sessions.begin()
            asking.forget(key_id)
            return session

    asking = Authenticator(Revoked(), "none", loopback=False)  # type: ignore[arg-type]
    assert asking.caller(text).may("reader")
    assert asking.cached(text) is None


def test_the_last_admin_key_stays(desk: Desk) -> None:
    own_id, admin = desk.key()
    spent_id, _ = desk.key(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    desk.key("writer")
    said = desk.ask(admin, "DELETE", f"{KEYS}/{own_id}")
    assert f"make revoke-key ID={own_id}" in refused(said, 409)
    assert said.json()["code"] == "last_admin_key"
    assert desk.ask(admin, "DELETE", f"{KEYS}/{spent_id}").status_code == 204
    other_id, other = desk.key()
    assert desk.ask(admin, "DELETE", f"{KEYS}/{own_id}").status_code == 204
    assert desk.ask(admin, "GET").status_code == 401
    assert desk.ask(other, "DELETE", f"{KEYS}/{other_id}").status_code == 409


def test_of_two_admins_who_revoke_each_other_one_is_left(desk: Desk) -> None:
    keys = [desk.key(), desk.key()]
    administration = KeyAdministration(desk.services.sessions, desk.services.access)
    callers = [desk.services.access.caller(text) for _, text in keys]
    together, failures = threading.Barrier(2), []

    def revoke(caller: Any, key_id: int) -> None:
        together.wait()
        try:
            administration.revoke(caller, key_id)
        except (LastAdminKey, KeyRejected) as error:
            failures.append(error)

    threads = [
        threading.Thread(target=revoke, args=(callers[one], keys[1 - one][0])) for one in (0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) == 1
    with desk.services.sessions() as session:
        assert len(api_keys.lock_valid_admins(session, "family")) == 1


def test_a_key_outlives_no_key_that_makes_it(desk: Desk) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    _, admin = desk.key(expires_at=end)
    new = {"name": "x", "role": "admin"}
    made = desk.ask(admin, "POST", json=new).json()
    assert datetime.fromisoformat(made["expires_at"]) == end
    sooner = (end - timedelta(hours=1)).isoformat()
    made = desk.ask(admin, "POST", json={**new, "expires_at": sooner}).json()
    assert datetime.fromisoformat(made["expires_at"]) == datetime.fromisoformat(sooner)
    later = (end + timedelta(seconds=1)).isoformat()
    said = desk.ask(admin, "POST", json={**new, "expires_at": later})
    assert "your own key expires on" in refused(said, 403)
    assert said.json()["code"] == "new_key_outlives"  # which is of the new key, not of the sent one


@pytest.mark.parametrize(
    "change",
    [
        *({"name": ""}, {"name": " "}, {"name": "a\nb"}, {"name": "a\0b"}, {"name": "x" * 101}),
        *({"role": "owner"}, {"expires_at": "2001-01-01T00:00:00Z"}),
        *({"expires_at": "2050-01-01T00:00:00"}, {"expires_at": "9999-12-31T23:59:59-12:00"}),
        *({"expires_at": (datetime.now(UTC) + timedelta(days=MAX_DAYS + 1)).isoformat()},),
        {"scopes": ["all"]},
    ],
)
def test_what_is_no_key_is_refused_and_not_made(desk: Desk, change: dict[str, Any]) -> None:
    _, admin = desk.key()
    assert refused(desk.ask(admin, "POST", json={"name": "x", "role": "reader", **change}), 422)
    assert len(desk.ask(admin, "GET").json()["data"]) == 1


def test_the_first_key_is_made_on_the_server(client: TestClient, services: Services) -> None:
    """An open service is one's own machine's: whoever made a key would lock all others out."""
    for method, path in (("POST", KEYS), ("GET", KEYS), ("DELETE", f"{KEYS}/1")):
        body = {"name": "x", "role": "admin"} if method == "POST" else None
        assert "make create-key NAMESPACE=default ROLE=admin" in refused(
            client.request(method, path, json=body), 403
        )
    assert not services.access.is_locked()


def test_keys_are_made_at_a_bounded_rate(
    settings: Settings, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.main.KEYS_RATE", "2/hour")
    assert rate_limits.KEYS_RATE == "60/minute"
    _, admin = desk.key()
    with local_client(create_app(settings, desk.services)) as client:
        answers = [client.get(KEYS, headers={"X-API-Key": admin}) for _ in range(3)]
        assert client.get("/api/v1/collections", headers={"X-API-Key": admin}).status_code == 200
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"keys";q=2;w=3600'
