"""The bodies of what is searched for: words, pictures, and their weights."""

import base64
from typing import Annotated, Self

from pydantic import (
    Base64Encoder,
    BaseModel,
    ConfigDict,
    Discriminator,
    EncodedBytes,
    Field,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.search.query_encoding import MAX_QUERY_CHARACTERS, MAX_TERMS, MAX_WEIGHT, Term
from app.web.payloads.field_types import MAX_ID


class _StrictBase64(Base64Encoder):
    """White space is left out; what else is no base64 is refused, not skipped."""

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        """Raises PydanticCustomError."""
        try:
            return base64.b64decode(b"".join(data.split()), validate=True)
        except ValueError as error:
            told = {"reason": str(error)}
            raise PydanticCustomError("base64", "it is no base64: {reason}", told) from error


class SearchTerm(BaseModel):
    """One of the things to search for: a text, a picture, a URL of one, or the id of one."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(None, description="some words", examples=["a red car"])
    image: Annotated[bytes, EncodedBytes(encoder=_StrictBase64)] | None = Field(
        None, description="a picture's file, in base64"
    )
    url: str | None = Field(None, description="http or https, where a picture lies")
    id: int | None = Field(None, ge=1, le=MAX_ID, description="a picture of the collection")
    weight: float = Field(
        1.0,
        ge=-MAX_WEIGHT,
        le=MAX_WEIGHT,
        allow_inf_nan=False,
        description="negative: unlike this; not 0",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [one for one in (self.text, self.image, self.url, self.id) if one is not None]
        if len(given) != 1:
            raise ValueError("a term is one of text, image, url and id")
        return self

    def term(self) -> Term:
        """The domain's form of it."""
        return Term(self.weight, self.text, self.image, self.url, self.id)


SentQuery = Annotated[
    Annotated[str, Field(max_length=MAX_QUERY_CHARACTERS), Tag("text")]
    | Annotated[list[SearchTerm], Field(min_length=1, max_length=MAX_TERMS), Tag("terms")],
    Discriminator(
        lambda sent: {str: "text", list: "terms"}.get(type(sent)),
        custom_error_type="query",
        custom_error_message="send a text, or a list of terms",
    ),
]
"""The tag makes a fault that of what was sent, not of both."""
