"""Payloads about API keys."""

from datetime import datetime
from typing import Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.access.api_keys import MAX_DAYS, MAX_NAME, Key, Role
from app.web.pagination import page_of
from app.web.payloads.examples import Example, with_examples
from app.web.payloads.field_types import STORABLE, Name

KEYS = "keys"  # as their cursors name them
KEY: Example = {
    "id": 7,
    "prefix": "isk_7_",
    "namespace": "default",
    "name": "Grandma's tablet",
    "role": "reader",
    "own": False,
    "created_at": "2026-11-21T09:39:15.616596Z",
    "last_used_at": "2026-11-28T17:02:40.100236Z",
    "expires_at": None,
    "revoked_at": None,
}
NEW_KEY: Example = {**KEY, "last_used_at": None, "key": "isk_7_" + "example-" * 5 + "key"}
ROLE = "what it permits: reader, writer or admin, each of which includes the ones before it"


class KeyCreate(BaseModel):
    """A new API key."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "Grandma's tablet", "role": "reader"}]},
    )

    name: str = Field(
        min_length=1,
        max_length=MAX_NAME,
        pattern=STORABLE,
        description="whose it is, or what for; without control characters",
    )
    role: Role = Field(description=ROLE)
    namespace: Name | None = Field(
        None, description="its namespace, which must be that of your own key; if omitted, it is"
    )
    expires_at: AwareDatetime | None = Field(
        None,
        description="when it becomes invalid, with a time zone: within the next "
        f"{MAX_DAYS:,} days, and no later than your own key; null: when your own does",
    )


class KeyDetails(BaseModel):
    """An API key without its text, which is not kept."""

    model_config = with_examples(KEY)

    id: int = Field(description="the key's id")
    prefix: str = Field(description="how its text begins, which tells it from all others")
    namespace: str = Field(description="the namespace that it reaches")
    name: str = Field(description="whose it is, or what for")
    role: Role = Field(description=ROLE)
    own: bool = Field(description="whether it is the key of this request")
    created_at: datetime = Field(description="when it was made")
    last_used_at: datetime | None = Field(
        description="when it was last used, to within a minute; null: never"
    )
    expires_at: datetime | None = Field(description="when it becomes invalid; null: never")
    revoked_at: datetime | None = Field(description="when it was revoked; null: it was not")

    @classmethod
    def of(cls, key: Key, own_id: int | None, /, **more: Any) -> Self:
        """The details of a key, for a caller whose key has the id `own_id`."""
        told = {name: getattr(key, name) for name in KeyDetails.model_fields if name != "own"}
        return cls(**told, own=key.id == own_id, **more)


class KeyCreated(KeyDetails):
    """A new API key with its text."""

    model_config = with_examples(NEW_KEY)

    key: str = Field(description="the key itself: keep it, since it cannot be shown again")


class KeyPage(BaseModel):
    """A page of API keys."""

    model_config = with_examples({"data": [KEY], "next_cursor": None})

    data: list[KeyDetails] = Field(
        description="newest first, also those that were revoked or have expired"
    )
    next_cursor: str | None = Field(description="null on the last page")

    @classmethod
    def of(cls, keys: list[Key], limit: int, own_id: int | None) -> Self:
        """A page of `limit`; one more key says that there is a next one."""
        shown, more = page_of(KEYS, keys, limit)
        return cls(data=[KeyDetails.of(key, own_id) for key in shown], next_cursor=more)
