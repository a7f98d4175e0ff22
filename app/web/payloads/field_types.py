"""Types and bounds that fields of several payloads share."""

from typing import Annotated

from pydantic import Field

from app.catalog.external_ids import MAX_CHARACTERS

MAX_ID = 2**63 - 1  # Postgres's bigint
STORABLE = r"^[^\x00]*$"  # a text column of Postgres holds no NUL
Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
"""The name of a collection or a namespace."""

ExternalId = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS, pattern=STORABLE)]
"""The name that a user's own system has for a picture."""


def printable(name: str) -> str:
    """The name with lone surrogates and NUL replaced, which JSON and Postgres cannot hold."""
    return name.encode(errors="replace").decode().replace("\0", "�")
