"""What to search for: texts and pictures with their weights."""

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
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.search.queries.query_terms import MAX_QUERY_CHARACTERS, MAX_TERMS, MAX_WEIGHT, Term
from app.web.payloads.field_types import MAX_ID

NOT_BASE64 = (
    "this is not base64: send a picture file in the alphabet with + and /, without `data:…,` "
    "before it"
)


class _StrictBase64(Base64Encoder):
    """Ignores white space; refuses everything else that is not base64."""

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        """Raises PydanticCustomError."""
        try:
            return base64.b64decode(b"".join(data.split()), validate=True)
        except ValueError as error:
            raise PydanticCustomError("base64", NOT_BASE64) from error


Base64Picture = Annotated[
    bytes,
    EncodedBytes(encoder=_StrictBase64),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]


class StandingTerm(BaseModel):
    """One part of a standing search's query: a text, or a picture of the collection by its id."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(
        None, description="what the picture shows, in words", examples=["a red car"]
    )
    id: int | None = Field(None, ge=1, le=MAX_ID, description="id of a picture of the collection")
    weight: float = Field(
        1.0,
        ge=-MAX_WEIGHT,
        le=MAX_WEIGHT,
        allow_inf_nan=False,
        description="negative: unlike this; must not be 0",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.text is None) == (self.id is None):
            raise ValueError("a term has either a text or an id")
        return self

    def to_domain(self) -> Term:
        """The term as the search package takes it."""
        return Term(self.weight, self.text, image_id=self.id)


class SearchTerm(StandingTerm):
    """One part of a query: a text, a picture, a picture's URL, or a picture's id."""

    image: Base64Picture | None = Field(None, description="a picture file in base64")
    url: str | None = Field(None, description="http or https address of a picture")
    box: list[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]] | None = Field(
        None,
        min_length=4,
        max_length=4,
        description="with id: the part of the picture to search with, as [x, y, width, height], "
        "fractions of the picture",
        examples=[[0.6, 0.1, 0.25, 0.25]],
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [one for one in (self.text, self.image, self.url, self.id) if one is not None]
        if len(given) != 1:
            raise ValueError("a term has exactly one of text, image, url and id")
        if self.box is not None and self.id is None:
            raise ValueError("a box is a part of a picture of the collection: it needs id")
        return self

    def to_domain(self) -> Term:
        """The term as the search package takes it."""
        box = None if self.box is None else (self.box[0], self.box[1], self.box[2], self.box[3])
        return Term(self.weight, self.text, self.image, self.url, self.id, box)


SentText = Annotated[str, Field(max_length=MAX_QUERY_CHARACTERS), Tag("text")]
TEXT_OR_TERMS = Discriminator(
    lambda sent: "text" if isinstance(sent, str) else "terms" if isinstance(sent, list) else None,
    custom_error_type="query",
    custom_error_message="send a text, or a list of terms",
)
"""The tags keep errors about a list from being reported for a text, and the other way round."""

SentQuery = Annotated[
    SentText | Annotated[list[SearchTerm], Field(min_length=1, max_length=MAX_TERMS), Tag("terms")],
    TEXT_OR_TERMS,
]
StandingQuery = Annotated[
    SentText
    | Annotated[list[StandingTerm], Field(min_length=1, max_length=MAX_TERMS), Tag("terms")],
    TEXT_OR_TERMS,
]
