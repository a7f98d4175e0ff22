"""Who is let in: keys and those without one, by every rule, with a real database."""

import contextlib
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as some
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError

from app.access import api_keys
from app.access.api_keys import MAX_ID, Key
from app.access.authentication import (
    KEY_SECONDS,
    MAX_CACHED,
    OPEN,
    READER,
    Anonymous,
    Authenticator,
    Caller,
    Role,
    check_address,
    is_loopback,
)
from app.database.connections import Sessions, open_sessions
from app.errors import KeyRejected, SettingsInvalid

SECRET = "s" * 43
HOW = (
    "Programs send a key in the header Authorization: Bearer <key> or X-API-Key: <key>; "
    "`make create-key NAMESPACE=default ROLE=admin NAME=me` on the server makes one that may do "
    "everything."
)
ANEW = "ask the person who runs this library for a new one."
UNKNOWN = f"This key is unknown here: check that all of it was copied, or {ANEW}"
NEEDED = "This needs a key: ask the person who runs this library for one."


class Clock:
    """Stands still until it is moved on; in seconds."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _emptied(sessions: Sessions) -> Iterator[None]:
    yield
    with sessions.begin() as session:
        session.execute(text("DELETE FROM api_keys"))


@pytest.fixture
def asked(sessions: Sessions) -> Iterator[list[str]]:
    """The statements that the database was sent."""
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)

    event.listen(sessions.kw["bind"], "before_cursor_execute", note)
    yield statements
    event.remove(sessions.kw["bind"], "before_cursor_execute", note)


@pytest.fixture
def dead() -> Iterator[Sessions]:
    """Sessions on a database that does not answer."""
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    yield open_sessions(engine)
    engine.dispose()


def make(
    sessions: Sessions,
    role: Role = "reader",
    namespace: str = "default",
    expires_at: datetime | None = None,
) -> tuple[Key, str]:
    with sessions.begin() as session:
        return api_keys.create(session, namespace, "me", role, expires_at)


def revoke(sessions: Sessions, key: Key) -> None:
    with sessions.begin() as session:
        api_keys.revoke(session, key.id)


def opened(sessions: Sessions, clock: Clock, anonymous: Anonymous = "none") -> Authenticator:
    return Authenticator(sessions, anonymous, loopback=True, clock=clock)


def refused(access: Authenticator, presented: str | None) -> str:
    """The sentence; it ends with what to do, and tells nothing of what was presented."""
    with pytest.raises(KeyRejected) as caught:
        access.caller(presented)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    if presented and len(presented) > 4:
        assert presented not in told
        assert presented[-20:] not in told
    sentence = str(caught.value)
    assert sentence.endswith(HOW)
    return sentence.removesuffix(f" {HOW}")


@pytest.mark.parametrize(
    ("role", "may"),
    [("reader", ["reader"]), ("writer", ["reader", "writer"]), ("admin", list(get_args(Role)))],
)
def test_each_role_may_all_that_those_below_it_may(role: Role, may: list[Role]) -> None:
    caller = Caller(role, "default")
    assert [one for one in get_args(Role) if caller.may(one)] == may


def test_a_key_reaches_its_own_namespace_and_the_open_service_every_one() -> None:
    mine, open_to_all = Caller("admin", "mine", 7, "me"), Caller("admin", None)
    assert mine.reaches("mine")
    assert not any(mine.reaches(other) for other in ("default", "min", "mine2", ""))
    assert all(open_to_all.reaches(other) for other in ("default", "mine"))
    assert (mine.home, open_to_all.home) == ("mine", "default")
    assert (open_to_all.key_id, open_to_all.name) == (None, "anonymous")


@pytest.mark.parametrize("loopback", [True, False])
@pytest.mark.parametrize("anonymous", ["none", "read"])
@pytest.mark.parametrize("keyed", ["never", "valid", "revoked", "expired"])
def test_without_a_key(
    sessions: Sessions, keyed: str, anonymous: Anonymous, loopback: bool
) -> None:
    if keyed != "never":
        past = datetime.now(UTC) - timedelta(days=1) if keyed == "expired" else None
        key, _ = make(sessions, expires_at=past)
        if keyed == "revoked":
            revoke(sessions, key)
    access = Authenticator(sessions, anonymous, loopback=loopback)
    expected = READER if anonymous == "read" else None
    if keyed == "never" and loopback:
        expected = OPEN
    if expected is None:
        assert refused(access, None) == NEEDED
        assert access.cached(None) is None
    else:
        assert access.caller(None) == expected
        assert access.cached(None) == expected
    assert access.is_locked() == (keyed != "never")


def test_who_has_none_is_an_admin_or_a_reader_of_the_default_namespace() -> None:
    assert Caller("admin", None) == OPEN
    assert Caller("reader", "default") == READER


@pytest.mark.parametrize("loopback", [True, False])
@pytest.mark.parametrize("anonymous", ["none", "read"])
@pytest.mark.parametrize("role", get_args(Role))
def test_a_key_is_its_role_in_its_namespace_wherever_the_service_runs(
    sessions: Sessions, role: Role, anonymous: Anonymous, loopback: bool
) -> None:
    key, shown = make(sessions, role, "mine")
    access = Authenticator(sessions, anonymous, loopback=loopback)
    assert access.cached(shown) is None
    assert access.caller(shown) == Caller(role, "mine", key.id, "me")
    assert access.cached(shown) == Caller(role, "mine", key.id, "me")


@pytest.mark.parametrize("anonymous", ["none", "read"])
@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize(
    "presented",
    [
        *("", " ", "x", "isk_1_", f"isk_1_{SECRET}", f"isk_{MAX_ID}_{SECRET}"),
        *(f"isk_{MAX_ID + 1}_{SECRET}", f"isk_{2**64}_{SECRET}", f"isk_{'9' * 5000}_{SECRET}"),
        *("x" * 100_000, "\0", "\ud800", "é" * 58, f"isk_1_{SECRET[1:]}\udcff"),
    ],
)
def test_a_bad_key_is_never_taken_for_none(
    sessions: Sessions, presented: str, locked: bool, anonymous: Anonymous
) -> None:
    if locked:
        make(sessions)
    access = Authenticator(sessions, anonymous, loopback=True)
    assert refused(access, presented) == UNKNOWN
    assert access.cached(presented) is None


def test_every_altered_character_of_a_key_is_noticed(sessions: Sessions, clock: Clock) -> None:
    _, shown = make(sessions)
    access = opened(sessions, clock)
    assert access.caller(shown)
    for place in range(len(shown)):
        other = "A" if shown[place] != "A" else "B"
        assert refused(access, shown[:place] + other + shown[place + 1 :])


def test_a_secret_is_none_for_another_id(sessions: Sessions, clock: Clock) -> None:
    (first, one), (second, two) = make(sessions), make(sessions, "admin")
    swapped = one.replace(f"isk_{first.id}_", f"isk_{second.id}_")
    assert refused(opened(sessions, clock), swapped) == UNKNOWN
    assert opened(sessions, clock).caller(two).role == "admin"


def test_what_became_of_a_key_is_told_to_its_owner_alone(sessions: Sessions, clock: Clock) -> None:
    (key, gone) = make(sessions)
    revoke(sessions, key)
    past = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    old, expired = make(sessions, expires_at=past)
    access = opened(sessions, clock, "read")
    assert refused(access, gone) == f"This key was revoked: {ANEW}"
    assert refused(access, expired) == f"This key expired on 2026-01-02 03:04 UTC: {ANEW}"
    for one in (key, old):
        assert refused(access, f"isk_{one.id}_{SECRET}") == UNKNOWN


def test_a_key_is_believed_without_the_database_and_a_revocation_works_soon(
    sessions: Sessions, clock: Clock, asked: list[str]
) -> None:
    key, shown = make(sessions)
    access = opened(sessions, clock)
    caller = access.caller(shown)
    revoke(sessions, key)
    asked.clear()
    clock.now += KEY_SECONDS - 0.001
    assert access.cached(shown) == access.caller(shown) == caller
    assert asked == []
    clock.now += 0.001
    assert access.cached(shown) is None
    assert refused(access, shown) == f"This key was revoked: {ANEW}"
    assert access.cached(shown) is None


def test_a_key_that_is_asked_for_again_is_believed_again(
    sessions: Sessions, clock: Clock, asked: list[str]
) -> None:
    _, shown = make(sessions)
    access = opened(sessions, clock)
    for _ in range(3):
        asked.clear()
        assert access.caller(shown)
        assert any("api_keys" in statement for statement in asked)
        assert access.cached(shown)
        clock.now += KEY_SECONDS


def test_a_key_expires_also_while_it_is_believed(sessions: Sessions, clock: Clock) -> None:
    _, shown = make(sessions, expires_at=datetime.now(UTC) + timedelta(seconds=1.5))
    access = opened(sessions, clock)
    assert access.caller(shown) == access.cached(shown)
    sleep(1.6)  # the clock of beliefs stands still meanwhile
    assert access.cached(shown) is None
    assert refused(access, shown).startswith("This key expired on ")


def test_an_open_service_is_locked_soon_after_the_first_key(
    sessions: Sessions, clock: Clock, asked: list[str]
) -> None:
    access = opened(sessions, clock)
    assert access.cached(None) is None
    assert access.caller(None) == OPEN
    make(sessions)
    asked.clear()
    clock.now += KEY_SECONDS - 0.001
    assert access.cached(None) == access.caller(None) == OPEN
    assert not access.is_locked()
    assert asked == []
    clock.now += 0.001
    assert access.cached(None) is None
    assert refused(access, None) == NEEDED
    assert access.is_locked()


def test_once_locked_it_stays_so_without_the_database(
    sessions: Sessions, clock: Clock, asked: list[str]
) -> None:
    make(sessions)
    access = opened(sessions, clock, "read")
    assert access.is_locked()
    with sessions.begin() as session:
        session.execute(text("DELETE FROM api_keys"))
    asked.clear()
    clock.now += 1e9
    assert access.is_locked()
    assert access.cached(None) == access.caller(None) == READER
    assert asked == []


def test_texts_that_were_never_keys_do_not_reach_the_database(
    sessions: Sessions, clock: Clock, asked: list[str]
) -> None:
    access = opened(sessions, clock)
    for presented in ("", "x" * 10_000, f"isk_{2**31}_{SECRET}"):
        assert refused(access, presented)
    assert asked == []


def test_without_a_database_nobody_is_let_in(dead: Sessions, clock: Clock) -> None:
    access = opened(dead, clock, "read")
    for presented in (None, f"isk_1_{SECRET}"):
        assert access.cached(presented) is None
        with pytest.raises(OperationalError) as caught:
            access.caller(presented)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(OperationalError):
        access.is_locked()


def test_a_database_that_goes_away_is_noticed_when_belief_ends(
    sessions: Sessions, dead: Sessions, clock: Clock
) -> None:
    _, shown = make(sessions)
    ours = open_sessions(sessions.kw["bind"])
    access = opened(ours, clock)
    caller = access.caller(shown)
    assert access.is_locked()
    ours.configure(bind=dead.kw["bind"])
    assert access.caller(shown) == caller
    clock.now += KEY_SECONDS
    with pytest.raises(OperationalError):
        access.caller(shown)
    assert refused(access, None) == NEEDED


def test_an_open_service_is_no_longer_so_when_its_database_goes_away(
    sessions: Sessions, dead: Sessions, clock: Clock
) -> None:
    ours = open_sessions(sessions.kw["bind"])
    access = opened(ours, clock)
    assert access.caller(None) == OPEN
    ours.configure(bind=dead.kw["bind"])
    clock.now += KEY_SECONDS
    assert access.cached(None) is None
    with pytest.raises(OperationalError):
        access.caller(None)


def test_what_is_remembered_is_bounded_and_without_texts(
    sessions: Sessions, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_CACHED >= 100
    monkeypatch.setattr("app.access.authentication.MAX_CACHED", 3)
    access = opened(sessions, clock)
    shown = [make(sessions)[1] for _ in range(5)]
    for one in shown:
        assert access.caller(one)
    assert [access.cached(one) is not None for one in shown] == [False] * 2 + [True] * 3
    for number in range(1, 50):
        assert refused(access, f"isk_{number}_{SECRET}")
    assert len(access._cache) == 3
    assert all(len(digest) == 32 for digest in access._cache)
    remembered = repr(vars(access)) + repr(access._cache)
    assert not any(one in remembered or one[-43:] in remembered for one in shown)


def test_the_use_of_a_key_is_noted_once_a_minute(
    sessions: Sessions, clock: Clock, asked: list[str]
) -> None:
    key, shown = make(sessions)
    unused, _ = make(sessions)
    access = opened(sessions, clock)
    noted = set()
    for _ in range(3):
        asked.clear()
        access.caller(shown)
        clock.now += KEY_SECONDS
        assert sum(statement.startswith("UPDATE") for statement in asked) == 1
        with sessions() as session:
            found = [one.last_used_at for one in api_keys.listed(session)]
        noted.add(found[0])
        assert found[1] is None, unused
    assert len(noted) == 1
    assert None not in noted
    assert refused(access, f"isk_{unused.id}_{SECRET}")
    with sessions() as session:
        assert api_keys.listed(session)[1].last_used_at is None
    assert key.last_used_at is None


def test_eight_threads_at_once(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.access.authentication.MAX_CACHED", 2)
    monkeypatch.setattr("app.access.authentication.KEY_SECONDS", 0.01)
    made = [make(sessions, role, role) for role in get_args(Role)]
    gone, void = make(sessions)
    revoke(sessions, gone)
    access = Authenticator(sessions, "read", loopback=True)
    together = threading.Barrier(8)
    wrong: list[object] = []

    def ask() -> None:
        together.wait()
        for _ in range(30):
            for key, shown in made:
                caller = access.cached(shown) or access.caller(shown)
                if caller != Caller(key.role, key.namespace, key.id, "me"):
                    wrong.append(caller)
            if access.caller(None) != READER:
                wrong.append("without a key")
            with contextlib.suppress(KeyRejected):
                wrong.append(access.caller(void))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(access._cache) <= 2


def test_a_key_revoked_under_load_is_refused_within_its_seconds(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.access.authentication.KEY_SECONDS", 0.3)
    key, shown = make(sessions)
    access = Authenticator(sessions, "none", loopback=True)
    stop, together = threading.Event(), threading.Barrier(9)
    last: list[float] = []

    def ask() -> None:
        together.wait()
        accepted = 0.0
        with contextlib.suppress(KeyRejected):
            while not stop.is_set():
                begun = monotonic()
                access.caller(shown)
                accepted = begun
        last.append(accepted)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    together.wait()
    sleep(0.2)
    revoke(sessions, key)
    revoked = monotonic()
    sleep(1)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(last) == 8
    assert 0 < max(last) <= revoked + 0.3
    assert refused(access, shown) == f"This key was revoked: {ANEW}"


ANY_SIGN = some.characters(exclude_categories=())  # surrogates too
ALMOST = some.builds(
    "{}isk_{}_{}{}".format,
    some.text(ANY_SIGN, max_size=1),
    some.integers(-1, 2**33) | some.text(ANY_SIGN, max_size=3),
    some.text("abcXYZ019_-", min_size=42, max_size=44) | some.just(SECRET),
    some.text(ANY_SIGN, max_size=1),
)


@given(presented=some.text(ANY_SIGN) | some.from_regex(api_keys.KEY) | ALMOST)
@hypothesis_settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_text_does_more_than_to_be_refused(sessions: Sessions, presented: str) -> None:
    access = Authenticator(sessions, "read", loopback=True)
    with pytest.raises(KeyRejected) as caught:
        access.caller(presented)
    assert access.cached(presented) is None
    assert str(caught.value) == f"{UNKNOWN} {HOW}"


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.2", "127.255.255.254", "localhost", "::1", "LOCALHOST"),
        *("0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"),
    ],
)
def test_these_hosts_are_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", "0.0.0.0", "::", "0", "10.0.0.1", "192.168.1.5", "8.8.8.8", "128.0.0.1"),
        *("fe80::1", "2001:db8::1", "::2", "::ffff:10.0.0.1", "::ffff:0.0.0.0"),
        *("no-such-host.invalid", "127.0.0.1.invalid", "a" * 300, ".", "\0", "a\0b", "\ud800"),
        *("[::1]", " ", "*", "localhost:8000", "http://localhost"),
    ],
)
def test_these_hosts_are_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("more", ["10.0.0.1", "::", "fe80::1%eth0"])
def test_a_name_with_one_other_address_is_not(more: str, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = ["127.0.0.1"]

    def answer(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (address, 0)) for address in addresses]

    monkeypatch.setattr("socket.getaddrinfo", answer)
    assert is_loopback("some-name")
    addresses.append(more)
    assert not is_loopback("some-name")
    addresses.clear()
    assert not is_loopback("some-name")


def test_a_service_that_others_reach_does_not_start_without_a_key(sessions: Sessions) -> None:
    for host in ("0.0.0.0", "", "::", "192.0.2.1"):
        with pytest.raises(SettingsInvalid) as caught:
            check_address(host, "none", sessions)
        sentence = str(caught.value)
        assert f"API_HOST={host} can be reached from other machines" in sentence
        assert "anyone who reaches it could read and delete everything" in sentence
        assert "`make create-key NAMESPACE=default ROLE=admin NAME=me`" in sentence
        assert "ALLOW_ANONYMOUS=read" in sentence


@pytest.mark.parametrize(
    ("host", "anonymous"), [("0.0.0.0", "read"), ("127.0.0.1", "none"), ("localhost", "none")]
)
def test_it_starts_where_nobody_could_change_anything(
    sessions: Sessions, asked: list[str], host: str, anonymous: Anonymous
) -> None:
    check_address(host, anonymous, sessions)
    assert asked == []


def test_it_starts_once_there_was_a_key(sessions: Sessions) -> None:
    key, _ = make(sessions)
    revoke(sessions, key)
    check_address("0.0.0.0", "none", sessions)
    access = Authenticator(sessions, "none", loopback=False)
    assert refused(access, None) == NEEDED
