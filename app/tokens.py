"""Signed tokens: what a client carries for us and cannot alter."""

import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt

from app.errors import TokenRejected

ALGORITHM = "HS256"  # pinned: a token that names another is refused
SECRET_BYTES = 32
LEEWAY_SECONDS = 60  # between the clocks of two servers


class Signer:
    """Signs and reads JSON Web Tokens; one that was signed for one audience is none for another."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def sign(self, audience: str, claims: Mapping[str, Any], seconds: int) -> str:
        """A token that is valid for `seconds`."""
        now = int(time.time())
        claims = {**claims, "aud": audience, "iat": now, "exp": now + seconds}
        return jwt.encode(claims, self._secret, ALGORITHM)

    def read(self, audience: str, token: str) -> dict[str, Any]:
        """The claims of a token. Raises TokenRejected with the reason."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["aud", "exp", "iat"]},
            )
        except (jwt.InvalidTokenError, ValueError) as error:  # ValueError: halves of surrogates
            raise TokenRejected(str(error)) from None
        return claims


def kept_secret(place: Path) -> str:
    """The secret in the file `place`, made at the first call; only its owner may read it."""
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        mine = place.with_name(f"{place.name}-{secrets.token_hex(8)}")
        descriptor = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(SECRET_BYTES))
        with suppress(FileExistsError):  # of two processes that make it at once, one wins
            place.hardlink_to(mine)
        mine.unlink()
    return place.read_text()
