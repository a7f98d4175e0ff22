"""API keys in the database: what is kept of them, what becomes of them."""

import hashlib
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.access import api_keys
from app.access.api_keys import (
    KEY,
    LAST_USED_SECONDS,
    MAX_ID,
    MAX_KEY,
    MAX_NAME,
    Key,
    Presented,
    Role,
)
from app.database.connections import Sessions
from app.errors import KeyNotFound, NewKeyRejected

SECRET = "s" * 43


@pytest.fixture(autouse=True)
def _emptied(sessions: Sessions) -> Iterator[None]:
    yield
    with sessions.begin() as session:
        session.execute(text("DELETE FROM api_keys"))


def make(sessions: Sessions, name: str = "me", role: Role = "reader") -> tuple[Key, str]:
    with sessions.begin() as session:
        return api_keys.create(session, "default", name, role, None)


def again(sessions: Sessions, key: Key) -> Key:
    """As it is now."""
    with sessions() as session:
        found = api_keys.get(session, key.id)
    assert found is not None
    return found


def test_a_key_is_made_and_found_by_the_id_in_its_text(sessions: Sessions) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    with sessions.begin() as session:
        key, shown = api_keys.create(session, "a-team_1", "CI, nightly ☾", "writer", until)
    assert KEY.fullmatch(shown)
    assert shown.startswith(f"isk_{key.id}_")
    assert api_keys.read(shown) == Presented(key.id, hashlib.sha256(shown.encode()).digest())
    assert again(sessions, key) == key
    assert (key.namespace, key.name, key.role) == ("a-team_1", "CI, nightly ☾", "writer")
    assert key.expires_at == until
    assert (key.revoked_at, key.last_used_at) == (None, None)
    assert key.created_at <= datetime.now(UTC) + timedelta(seconds=1)


def test_a_key_works_on_a_read_only_database(sessions: Sessions) -> None:
    """Issue 21, line 45: as on a hot standby, or once a disk has filled up."""
    key, _shown = make(sessions)
    with sessions.begin() as session:
        session.execute(text("SET TRANSACTION READ ONLY"))
        api_keys.note_use(session, key.id)
    assert again(sessions, key).last_used_at is None


def test_the_database_has_only_the_hash(sessions: Sessions) -> None:
    key, shown = make(sessions)
    with sessions() as session:
        row = session.execute(text("SELECT k::text FROM api_keys k")).scalar_one()
    assert key.hash.hex() in row
    assert shown.split("_", 2)[2] not in row
    assert shown not in repr(key)
    assert "hash" not in repr(key)


def test_no_two_keys_are_alike(sessions: Sessions) -> None:
    made = [make(sessions) for _ in range(5)]
    assert len({shown.split("_", 2)[2] for _, shown in made}) == 5
    with sessions() as session:
        assert api_keys.listed(session) == [key for key, _ in made]


def test_the_longest_key_is_within_its_bound() -> None:
    assert len(f"isk_{MAX_ID}_{SECRET}") == MAX_KEY
    found = api_keys.read(f"isk_{MAX_ID}_{SECRET}")
    assert found is not None
    assert found.id == MAX_ID


@pytest.mark.parametrize(
    "presented",
    [
        *("", "isk", "isk__", "isk_1_", f"isk__{SECRET}", f"1_{SECRET}", SECRET),
        *(f"isk_0_{SECRET}", f"isk_01_{SECRET}", f"isk_-1_{SECRET}", f"isk_+1_{SECRET}"),
        *(f"isk_{MAX_ID + 1}_{SECRET}", f"isk_{2**63}_{SECRET}", f"isk_{'9' * 5000}_{SECRET}"),
        *(f"isk_1_{SECRET}x", f"isk_1_{SECRET[1:]}", f"isk_1_{'x' * 100_000}"),
        *(f"ISK_1_{SECRET}", f"isk_1_{SECRET}\n", f" isk_1_{SECRET}", f"isk_1_{SECRET} "),
        *(f"isk_١_{SECRET}", f"isk_１_{SECRET}", f"isk_1_{'é' * 43}", f"isk_1_{SECRET[1:]}é"),
        *(f"isk_1_{SECRET[1:]}\0", f"\0isk_1_{SECRET}", f"isk_1_{SECRET[1:]}\ud800", "\udcff"),
        *(f"isk_1_{SECRET[1:]}=", f"isk_1_{SECRET[1:]}+", f"isk_1_{SECRET[1:]}/"),
        f"Bearer isk_1_{SECRET}",
    ],
)
def test_what_was_never_a_key_is_not_read(presented: str) -> None:
    assert api_keys.read(presented) is None


@pytest.mark.parametrize("name", ["x", "é" * MAX_NAME, "山田　太郎", "'; DROP TABLE", "a b"])
def test_a_name_may_be_in_any_script(sessions: Sessions, name: str) -> None:
    key, _ = make(sessions, name)
    assert again(sessions, key).name == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "\u3000", "x" * (MAX_NAME + 1), "a\0b", "a\nb", "a\tb", "\x7f", "\x9b2J"),
        *("\ud800", "\udcff", "a\u2028b", "\u202eab", "\x1b[31m"),
    ],
)
def test_a_name_that_cannot_be_shown_is_refused(sessions: Sessions, name: str) -> None:
    with pytest.raises(NewKeyRejected, match=r"^name: "):
        make(sessions, name)
    with sessions() as session:
        assert api_keys.listed(session) == []


@pytest.mark.parametrize(
    "namespace", ["", "-a", "_a", "A", "a b", "é", "a\n", "a\0", "\ud800", "a" * 64, "a" * 9999]
)
def test_a_namespace_that_cannot_be_is_refused(sessions: Sessions, namespace: str) -> None:
    with sessions() as session, pytest.raises(NewKeyRejected, match=r"^namespace: ") as caught:
        api_keys.create(session, namespace, "me", "admin", None)
    assert len(str(caught.value)) < 300


def test_a_role_that_is_none_is_refused_without_telling_the_key(sessions: Sessions) -> None:
    with pytest.raises(IntegrityError, match="api_keys_role_check") as caught:
        make(sessions, role="owner")  # type: ignore[arg-type]
    assert not re.search(r"isk_\d", str(caught.value))


def test_a_key_whose_transaction_fails_was_never_made(sessions: Sessions) -> None:
    with sessions() as session:
        key, _ = api_keys.create(session, "default", "me", "reader", None)
    with sessions() as session:
        assert api_keys.get(session, key.id) is None
        assert not api_keys.any_created(session)


def test_a_revoked_key_stays_as_it_was_first_revoked(sessions: Sessions) -> None:
    (key, _), (other, _) = make(sessions), make(sessions)
    with sessions.begin() as session:
        first = api_keys.revoke(session, key.id)
    with sessions.begin() as session:
        second = api_keys.revoke(session, key.id)
    assert first.revoked_at is not None
    assert first == second == again(sessions, key)
    assert again(sessions, other).revoked_at is None


@pytest.mark.parametrize("key_id", [0, -1, MAX_ID, MAX_ID + 1, 2**63, 10**40])
def test_no_other_id_can_be_revoked(sessions: Sessions, key_id: int) -> None:
    with sessions() as session, pytest.raises(KeyNotFound, match=f"There is no key {key_id}: "):
        api_keys.revoke(session, key_id)


def test_once_there_was_a_key_there_was_one(sessions: Sessions) -> None:
    with sessions() as session:
        assert not api_keys.any_created(session)
    key, _ = make(sessions)
    with sessions.begin() as session:
        assert api_keys.any_created(session)
        api_keys.revoke(session, key.id)
        assert api_keys.any_created(session)


def used(sessions: Sessions, key: Key) -> datetime:
    with sessions.begin() as session:
        api_keys.note_use(session, key.id)
    noted = again(sessions, key).last_used_at
    assert noted is not None
    return noted


def set_back(sessions: Sessions, key: Key, seconds: float) -> None:
    query = "UPDATE api_keys SET last_used_at = now() - make_interval(secs => :s) WHERE id = :id"
    with sessions.begin() as session:
        session.execute(text(query), {"s": seconds, "id": key.id})


def test_a_use_is_noted_once_a_minute(sessions: Sessions) -> None:
    (key, _), (other, _) = make(sessions), make(sessions)
    first = used(sessions, key)
    assert used(sessions, key) == first
    set_back(sessions, key, LAST_USED_SECONDS - 20)
    assert used(sessions, key) < first
    set_back(sessions, key, LAST_USED_SECONDS + 1)
    assert used(sessions, key) > first
    assert again(sessions, other).last_used_at is None


def test_uses_at_once_are_noted_once(sessions: Sessions) -> None:
    key, _ = make(sessions)
    with sessions.begin() as session:
        for statement in (
            "CREATE TABLE noted (id integer)",
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN INSERT INTO noted VALUES (NEW.id); RETURN NEW; END'",
            "CREATE TRIGGER noting AFTER UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION note()",
        ):
            session.execute(text(statement))
    together = threading.Barrier(8)

    def use() -> None:
        together.wait()
        with sessions.begin() as session:
            api_keys.note_use(session, key.id)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with sessions.begin() as session:
        found = session.execute(text("SELECT id FROM noted")).scalars().all()
        session.execute(text("DROP TRIGGER noting ON api_keys"))
        session.execute(text("DROP FUNCTION note"))
        session.execute(text("DROP TABLE noted"))
    assert found == [key.id]


def test_a_locked_row_holds_nobody_up(sessions: Sessions) -> None:
    key, _ = make(sessions)
    with sessions.begin() as holder, sessions.begin() as session:
        holder.execute(text("SELECT 1 FROM api_keys FOR UPDATE"))
        session.execute(text("SET LOCAL lock_timeout = 1"))
        api_keys.note_use(session, key.id)
    assert again(sessions, key).last_used_at is None
    assert used(sessions, key)
