"""What all lists share: `limit`, and opaque cursors of lists that go on after an id or a name."""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated, Protocol, TypeVar

from fastapi import Query

from app.errors import CursorRejected
from app.search.search_request import DEFAULT_LIMIT, MAX_LIMIT

MAX_CURSOR_CHARACTERS = 50_000  # in a URL, which may have 64 KB
MAX_POSITION = 2**63 - 1
POSITION = re.compile(r"[0-9]{1,19}")  # int() itself takes no more than 4,300 digits
CURSOR = "am9iczoxNw"  # as an example

Limit = Annotated[
    int,
    Query(
        ge=1,
        le=MAX_LIMIT,
        description=f"maximum number of entries on a page, {DEFAULT_LIMIT} by default",
    ),
]
Cursor = Annotated[
    str | None,
    Query(
        max_length=MAX_CURSOR_CHARACTERS,
        description="`next_cursor` of the previous page",
        examples=[CURSOR],
    ),
]


class Row(Protocol):
    """An entry of a list that goes on after an id."""

    @property
    def id(self) -> int:
        """The entry's id."""
        ...


R = TypeVar("R", bound=Row)


def write_cursor(listing: str, position: int | str) -> str:
    """The cursor of the page after `position`, an entry's id, name or number."""
    return base64.urlsafe_b64encode(f"{listing}:{position}".encode()).decode().rstrip("=")


def page_of(listing: str, found: Sequence[R], limit: int) -> tuple[Sequence[R], str | None]:
    """The entries of a page of `limit`, and the cursor of the next one, None on the last.

    `found` has one entry more where there is a next page.
    """
    more = write_cursor(listing, found[limit - 1].id) if len(found) > limit else None
    return found[:limit], more


def read_cursor(listing: str, cursor: str) -> str:
    """The position that `write_cursor` was given for this listing. Raises CursorRejected."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        kind, _, position = base64.b64decode(padded, b"-_", validate=True).decode().partition(":")
    except (UnicodeError, binascii.Error):
        kind = position = ""
    if kind != listing or not position or "\0" in position:
        raise CursorRejected("cursor: it belongs to another list. Ask for the first page again.")
    return position


def read_number(listing: str, cursor: str) -> int:
    """The same for a listing whose positions are numbers."""
    position = read_cursor(listing, cursor)
    if not POSITION.fullmatch(position) or int(position) > MAX_POSITION:
        raise CursorRejected("cursor: it belongs to another list. Ask for the first page again.")
    return int(position)
