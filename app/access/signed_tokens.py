"""Signed tokens (JWT): state that clients carry and cannot alter."""

import hmac
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt

from app.errors import SettingsInvalid, TokenRejected

ALGORITHM = "HS256"  # pinned: a token that names another is refused
SECRET_BYTES = 32
LEAST_CHARACTERS = 32  # in a secret: a shorter one could be guessed
LEEWAY_SECONDS = 60  # allowed between the clocks of two servers


class Signer:
    """Signs and verifies JSON Web Tokens; each is valid for one audience only."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def derived_key(self, purpose: str) -> bytes:
        """A key of 32 bytes for signatures that are no tokens; each purpose has its own."""
        return hmac.digest(self._secret.encode(), purpose.encode(), "sha256")

    def sign(self, audience: str, claims: Mapping[str, Any], seconds: int) -> str:
        """A token that is valid for `seconds`."""
        now = int(time.time())
        claims = {**claims, "aud": audience, "iat": now, "exp": now + seconds}
        return jwt.encode(claims, self._secret, ALGORITHM)

    def read(self, audience: str, token: str) -> dict[str, Any]:
        """The claims of a valid token. Raises TokenRejected with the reason."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["aud", "exp", "iat"]},
            )
        except (jwt.InvalidTokenError, ValueError) as error:  # ValueError: lone surrogates
            raise TokenRejected(str(error)) from None
        return claims


def new_secret() -> str:
    """A random secret of SECRET_BYTES bytes."""
    return secrets.token_urlsafe(SECRET_BYTES)


def secret_in(place: Path) -> str | None:
    """The secret that an earlier version kept in the file `place`, or None if there is none.

    Raises SettingsInvalid if it is so short that it could be guessed.
    """
    try:
        secret = place.read_text(errors="replace")
    except FileNotFoundError:
        return None
    if len(secret) < LEAST_CHARACTERS:
        raise SettingsInvalid(
            f"{place} holds {len(secret)} characters; a secret needs {LEAST_CHARACTERS}. "
            "Delete the file: the next start makes a new secret. What was signed with the old one "
            "is then no longer valid."
        )
    return secret
