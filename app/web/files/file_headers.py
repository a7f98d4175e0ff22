"""Headers of pictures' bytes: how they are shown, and how long a browser may keep them."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Query

from app.web.addresses import content_version
from app.web.callers import IsSigned

# An untrusted file is shown with the media type of its bytes, and cannot run scripts.
SAFE_FILE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-cache",  # asked for again by its ETag: the file may be edited
}
SIGNED_FILE = SAFE_FILE | {"Cross-Origin-Resource-Policy": "cross-origin"}
"""A signed address is for pages of any origin: it gives access, not who asks."""
IMMUTABLE = "private, max-age=31536000, immutable"  # a year in seconds
BY_KEY = "Authorization, X-API-Key"
"""For Vary: a browser that no longer sends the key must not show what it kept with it."""
MAX_VERSION_CHARACTERS = 64

ContentVersion = Annotated[
    str | None,
    Query(
        max_length=MAX_VERSION_CHARACTERS,
        description="the content that the address was made for, as in the addresses of answers: "
        "while the picture has it, a browser need not ask again",
        examples=["46b0cb7d310453d2"],
    ),
]
MakeHeaders = Callable[[bytes | None], dict[str, str]]


async def _file_headers(is_signed: IsSigned, v: ContentVersion = None) -> MakeHeaders:
    """Headers by the SHA-256 of the file that the bytes are of, None if it is not known.

    Bytes of the content that the address names may be kept without asking again.
    """
    safe = SIGNED_FILE if is_signed else SAFE_FILE

    def headers(content_hash: bytes | None) -> dict[str, str]:
        if content_hash is None or v != content_version(content_hash):
            return dict(safe)
        kept = {**safe, "Cache-Control": IMMUTABLE}
        return kept if is_signed else {**kept, "Vary": BY_KEY}

    return headers


FileHeaders = Annotated[MakeHeaders, Depends(_file_headers)]
