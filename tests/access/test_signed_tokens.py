"""Signed tokens: what is altered, expired or meant for something else is refused."""

import base64
import json
import threading
import time
from pathlib import Path

import jwt
import pytest

from app.access.signed_tokens import ALGORITHM, LEEWAY_SECONDS, SECRET_BYTES, Signer, kept_secret
from app.errors import SettingsInvalid, TokenRejected

SECRET = "s" * 32
SIGNER = Signer(SECRET)


def encoded(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


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


def test_a_secret_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "secret"
    secret = kept_secret(place)
    assert len(secret) >= SECRET_BYTES
    assert kept_secret(place) == secret
    assert place.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in place.parent.iterdir()] == ["secret"]
    assert kept_secret(tmp_path / "other") != secret


def test_processes_that_make_it_at_once_agree(tmp_path: Path) -> None:
    found: list[str] = []
    together = threading.Barrier(8)

    def make() -> None:
        together.wait()
        found.append(kept_secret(tmp_path / "secret"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_secret_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "secret"
    for kept in ("", "x" * 31):
        place.write_text(kept)
        with pytest.raises(SettingsInvalid, match=f"{place} holds {len(kept)} .*Delete the file"):
            kept_secret(place)
    place.write_text("x" * 32)
    assert kept_secret(place) == "x" * 32


def test_a_secret_that_cannot_be_kept_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "hardlink_to", full)
    with pytest.raises(OSError, match="No space left"):
        kept_secret(tmp_path / "secret")
    assert list(tmp_path.iterdir()) == []
