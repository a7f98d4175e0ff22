"""Types and bounds that fields of several payloads share."""

import re
import unicodedata
from typing import Annotated, Any

from pydantic import Field

from app.catalog.external_ids import MAX_CHARACTERS

MAX_ID = 2**63 - 1  # Postgres's bigint
STORABLE = r"^[^\x00]*$"  # a text column of Postgres holds no NUL
MAX_NAME_CHARACTERS = 63
NAME = f"^[a-z0-9][a-z0-9_-]{{0,{MAX_NAME_CHARACTERS - 1}}}$"
Name = Annotated[str, Field(pattern=NAME)]
"""The name of a collection or a namespace."""

OBJECT_TAG = "an object"
"""The tag of objects in a union with texts; a fault's place, which has it, is shown without it."""

ExternalId = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS, pattern=STORABLE)]
"""The name that a user's own system has for a picture."""

PATTERNS = {
    NAME: "send lower-case letters, digits, - and _, beginning with a letter or a digit, and "
    f"{MAX_NAME_CHARACTERS} characters at most",
    STORABLE: "send it without the character NUL (U+0000)",
}
"""What a text must be that a pattern of a payload does not fit, in words."""


def in_words(pattern: str, sent: Any) -> str:
    """What to send instead of a text that does not fit a pattern of PATTERNS.

    Where a name is expected, one is proposed that is like the text.
    """
    words = PATTERNS[pattern]
    proposed = name_like(sent) if pattern == NAME and isinstance(sent, str) else ""
    return f"{words}; for instance {proposed}" if proposed else words


def name_like(text: str) -> str:
    """The name that is most like a text; empty if the text has no Latin letter and no digit."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")[:MAX_NAME_CHARACTERS].rstrip("-_")


def printable(name: str) -> str:
    """The name with lone surrogates and NUL replaced, which JSON and Postgres cannot hold."""
    return name.encode(errors="replace").decode().replace("\0", "�")
