"""What the tools of MCP answer: the parts of the server's answers that an agent needs."""

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

Rounded = Annotated[float, AfterValidator(lambda value: round(value, 4))]
"""More digits cost an agent more to read, and mean nothing."""


class Answer(BaseModel):
    """Nulls are left out: an agent pays for all that it reads."""

    @model_serializer(mode="wrap")
    def _without_nulls(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class Hit(Answer):
    """A picture that was found."""

    id: int
    score: Rounded | None = Field(None, description="likeness to the query")
    confidence: Rounded | None = Field(None, description="that it is better than chance, 0 to 1")
    original_filename: str | None = None
    caption: str | None = None
    taken_at: str | None = None
    page: int | None = Field(None, description="the page or frame that was found")
    box: list[Rounded] | None = Field(
        None, description="the part that was found: x, y, width, height as fractions"
    )
    seconds: Rounded | None = Field(None, description="when a video shows it")


class Found(Answer):
    """The hits of a search."""

    hits: list[Hit] = Field(description="best first")
    no_match: bool | None = Field(
        None, description="true: even the best hit is no better than chance"
    )
    notes: list[str] = Field(description="why there are fewer hits than asked for")

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        """Of the answer of a search."""
        return cls.model_validate(
            {**answer, "notes": [one["message"] for one in answer["warnings"]]}
        )


class Label(Answer):
    """A label, and how probable it is."""

    label: str
    probability: Rounded = Field(description="0 to 1")
    set: str | None = Field(None, description="the label set that it is of")


class Labels(Answer):
    """The labels of a picture."""

    labels: list[Label]


class Collection(Answer):
    """A set of pictures."""

    name: str
    image_count: int
    fields: dict[str, str] = Field(description="declared metadata fields, and their types")
    label_sets: list[str]


class Collections(Answer):
    """The collections of the caller's namespace."""

    collections: list[Collection]


class Added(Answer):
    """What became of a picture that was sent."""

    id: int | None = Field(None, description="the picture's id, unless it was refused")
    status: str = Field(description="stored, added or duplicate, for instance; running: not yet")
    reason: str | None = Field(None, description="why it was refused, or another remark")
