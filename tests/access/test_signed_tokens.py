"""Signed tokens: what is altered, expired or meant for something else is refused."""

import base64
import json
import threading
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from sqlalchemy import text

from app.access.signed_tokens import (
    ALGORITHM,
    LEEWAY_SECONDS,
    SECRET_BYTES,
    Signer,
    new_secret,
    secret_in,
)
from app.database.connections import Sessions
from app.errors import SettingsInvalid, TokenRejected
from app.runtime.backing_services import open_signer
from app.settings import Settings

SECRET = "s" * 32
SIGNER = Signer(SECRET)


def encoded(value: object) -> str:
    plain = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(plain).decode().rstrip("=")


def refused(token: str, signer: Signer = SIGNER, audience: str = "a") -> str:
    with pytest.raises(TokenRejected) as caught:
        signer.read(audience, token)
    return str(caught.value)


def test_what_was_signed_is_read() -> None:
    claims = SIGNER.read("a", SIGNER.sign("a", {"x": [1, "é", None]}, 60))
    assert claims["x"] == [1, "é", None]
    assert claims["exp"] - claims["iat"] == 60


def test_an_expired_token_is_refused_beyond_the_leeway() -> None:
    assert "expired" in refused(SIGNER.sign("a", {}, -LEEWAY_SECONDS - 5))
    assert SIGNER.read("a", SIGNER.sign("a", {"x": 1}, -LEEWAY_SECONDS + 30))["x"] == 1


def test_another_audience_or_secret_is_refused() -> None:
    token = SIGNER.sign("a", {}, 60)
    assert refused(token, audience="b")
    assert refused(token, Signer("t" * 32))


def test_claims_cannot_name_their_own_audience_or_end() -> None:
    claims = SIGNER.read("a", SIGNER.sign("a", {"aud": "b", "exp": 2**40, "iat": 0}, 60))
    assert claims["aud"] == "a"
    assert claims["exp"] < time.time() + 61


@pytest.mark.parametrize("missing", ["aud", "exp", "iat"])
def test_a_token_that_lacks_a_claim_is_refused(missing: str) -> None:
    now = int(time.time())
    claims = {"aud": "a", "exp": now + 60, "iat": now}
    claims.pop(missing)
    assert refused(jwt.encode(claims, SECRET, ALGORITHM))


def test_every_altered_character_is_noticed() -> None:
    token = SIGNER.sign("a", {"x": 1}, 60)
    for place in range(0, len(token) - 1, 3):
        other = "A" if token[place] != "A" else "B"
        assert refused(token[:place] + other + token[place + 1 :])


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS384", "RS256", "", None, 5, []])
def test_no_other_algorithm_is_taken(algorithm: object) -> None:
    body = encoded({"aud": "a", "exp": 2**33, "iat": 1})
    for signature in ("", "AAAA"):
        assert refused(f"{encoded({'alg': algorithm, 'typ': 'JWT'})}.{body}.{signature}")


@pytest.mark.parametrize(
    "token",
    [
        *("", ".", "..", "a.b.c", "x" * 100_000, "\ud800", "é.é.é", "\0", "=.=.="),
        encoded(b'{"alg":' + b"[" * 50_000) + ".e30.x",
        encoded(b'{"alg":"HS256"}') + "." + encoded(b"[" * 50_000) + ".x",
        encoded([1]) + ".e30.x",
        encoded({"alg": "HS256", "crit": ["x"]}) + ".e30.x",
        encoded({"alg": "HS256", "b64": False}) + ".e30.x",
    ],
)
def test_hostile_texts_are_refused(token: str) -> None:
    assert refused(token)


def opened(sessions: Sessions, uploads: Path, **settings: Any) -> Signer:
    return open_signer(Settings(testing=True, **settings), sessions, uploads)


def accept_each_other(*signers: Signer) -> bool:
    for signer in signers:
        token = signer.sign("a", {}, 60)
        try:
            assert all(one.read("a", token) for one in signers)
        except TokenRejected:
            return False
    return True


@pytest.fixture
def without_secret(sessions: Sessions) -> Sessions:
    """Sessions on a database that keeps no secret yet."""
    with sessions.begin() as session:
        session.execute(text("UPDATE installation SET secret = NULL"))
    return sessions


def test_processes_of_one_database_accept_each_other_s_tokens(
    without_secret: Sessions, tmp_path: Path
) -> None:
    """With upload folders of their own, and started at once: issue 21, line 49."""
    found: list[Signer] = []
    together = threading.Barrier(4)

    def start(number: int) -> None:
        together.wait()
        found.append(opened(without_secret, tmp_path / str(number)))

    threads = [threading.Thread(target=start, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.append(opened(without_secret, tmp_path / "later"))
    assert len(found) == 5
    assert accept_each_other(*found)


def test_the_secret_of_an_earlier_version_is_taken_over(
    without_secret: Sessions, tmp_path: Path
) -> None:
    (tmp_path / ".secret").write_text(SECRET)
    assert accept_each_other(SIGNER, opened(without_secret, tmp_path))
    assert accept_each_other(SIGNER, opened(without_secret, tmp_path / "another"))


def test_a_secret_that_is_set_wins(sessions: Sessions, tmp_path: Path) -> None:
    assert accept_each_other(SIGNER, opened(sessions, tmp_path, jwt_secret=SECRET))


def test_secrets_are_long_and_never_the_same() -> None:
    assert len({new_secret() for _ in range(100)}) == 100
    assert all(len(base64.urlsafe_b64decode(new_secret() + "=")) == SECRET_BYTES for _ in range(9))


def test_a_secret_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "secret"
    assert secret_in(place) is None
    for kept in ("", "x" * 31):
        place.write_text(kept)
        with pytest.raises(SettingsInvalid, match=f"{place} holds {len(kept)} .*Delete the file"):
            secret_in(place)
    place.write_text("x" * 32)
    assert secret_in(place) == "x" * 32
