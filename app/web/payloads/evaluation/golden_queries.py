"""Payloads about golden queries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.feedback.golden.golden_rows import GoldenQuery
from app.feedback.golden.judged_queries import MAX_JUDGED, MAX_TEXT_CHARACTERS, Judged, Origin
from app.web.pagination import page_of
from app.web.payloads.examples import with_examples
from app.web.payloads.field_types import MAX_ID, STORABLE

GOLDEN_QUERIES = "golden queries"  # as their cursors name them
GOLDEN_QUERY: dict[str, Any] = {
    "id": 1,
    "text": "a green tree",
    "image_id": None,
    "origin": "written",
    "relevant": [112, 115],
    "irrelevant": [9],
    "created_at": "2026-01-05T10:00:00Z",
    "updated_at": "2026-01-05T10:00:00Z",
}

PictureIds = Annotated[list[Annotated[int, Field(ge=1, le=MAX_ID)]], Field(max_length=MAX_JUDGED)]


class Judgements(BaseModel):
    """Which pictures a query should find, and which it should not."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"relevant": [112, 115]}]}
    )

    relevant: PictureIds = Field([], description="ids of pictures that should come")
    irrelevant: PictureIds = Field([], description="ids of pictures that should not")


class GoldenQueryCreate(Judgements):
    """A golden query: a text or a picture of the collection, and what it should find."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"text": "a green tree", "relevant": [112, 115], "irrelevant": [9]},
                {"image_id": 112, "relevant": [115]},
            ]
        },
    )

    text: str | None = Field(
        None, max_length=MAX_TEXT_CHARACTERS, pattern=STORABLE, description="the words to search"
    )
    image_id: int | None = Field(
        None, ge=1, le=MAX_ID, description="or the picture to search with, which is left out"
    )

    def to_domain(self) -> Judged:
        """The query as the feedback package takes it."""
        return Judged(self.text, self.image_id, self.relevant, self.irrelevant)


class GoldenQueryDetails(BaseModel):
    """A golden query as it is stored."""

    model_config = with_examples(GOLDEN_QUERY)

    id: int = Field(description="the golden query's id")
    text: str | None = Field(description="the words; null: it searches with a picture")
    image_id: int | None = Field(description="the picture it searches with; null: with words")
    origin: Origin = Field(description="where it came from first")
    relevant: list[int] = Field(description="ids of pictures that should come")
    irrelevant: list[int] = Field(description="ids of pictures that should not")
    created_at: datetime = Field(description="when it was added")
    updated_at: datetime = Field(description="when a judgement of it was last changed")

    @classmethod
    def of(cls, query: GoldenQuery) -> Self:
        """The details of a query."""
        return cls(**vars(query))


class GoldenQueryPage(BaseModel):
    """A page of golden queries."""

    model_config = with_examples({"data": [GOLDEN_QUERY], "next_cursor": None})

    data: list[GoldenQueryDetails] = Field(description="in the order in which they were added")
    next_cursor: str | None = Field(description="null on the last page")

    @classmethod
    def of(cls, found: Sequence[GoldenQuery], limit: int) -> Self:
        """A page of `limit`; one more query says that there is a next one."""
        shown, more = page_of(GOLDEN_QUERIES, found, limit)
        return cls(data=[GoldenQueryDetails.of(one) for one in shown], next_cursor=more)


class GoldenQueriesImported(BaseModel):
    """What an import has done."""

    model_config = with_examples({"added": 12, "changed": 3})

    added: int = Field(description="queries that are new")
    changed: int = Field(description="queries that were there, and got these judgements too")
