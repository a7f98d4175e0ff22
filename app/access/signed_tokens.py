"""Signed tokens (JWT): state that clients carry and cannot alter."""

import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt

from app.errors import SettingsInvalid, TokenRejected
from app.storage.disk import sync_folder, whole_file

ALGORITHM = "HS256"  # pinned: a token that names another is refused
SECRET_BYTES = 32
LEAST_CHARACTERS = 32  # in a secret: a shorter one could be guessed
LEEWAY_SECONDS = 60  # allowed between the clocks of two servers


class Signer:
    """Signs and verifies JSON Web Tokens; each is valid for one audience only."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

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


def kept_secret(place: Path) -> str:
    """The secret in the file `place`, made at the first call; only its owner may read it.

    Raises SettingsInvalid where the file holds too few characters to be kept secret by.
    """
    if not place.exists():
        _make_secret(place)
    secret = place.read_text(errors="replace")
    if len(secret) < LEAST_CHARACTERS:
        raise SettingsInvalid(
            f"{place} holds {len(secret)} characters; a secret has at least {LEAST_CHARACTERS}. "
            "Delete the file: the next start makes another, and what the old one has signed "
            "is void."
        )
    return secret


def _make_secret(place: Path) -> None:
    """After the return it survives a power cut."""
    place.parent.mkdir(parents=True, exist_ok=True)
    mine = place.with_name(f"{place.name}-{secrets.token_hex(8)}")
    try:
        with whole_file(mine) as file:  # which only its owner may read
            file.write(secrets.token_urlsafe(SECRET_BYTES).encode())
        with suppress(FileExistsError):  # of two processes that make it at once, one wins
            place.hardlink_to(mine)
    finally:
        mine.unlink(missing_ok=True)
    sync_folder(place.parent)
