"""Labels as requests describe them: names, phrases, templates."""

from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
)

from app.understanding.labels import labels as domain
from app.understanding.labels.labels import (
    MAX_NAME_CHARACTERS,
    MAX_PHRASE_CHARACTERS,
    MAX_PHRASES,
    MAX_TEMPLATES,
)
from app.web.payloads.field_types import OBJECT_TAG, STORABLE


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("this is blank: say in words what a picture shows")
    return text


Words = Annotated[str, Field(pattern=STORABLE), AfterValidator(_not_blank)]
LabelName = Annotated[Words, Field(max_length=MAX_NAME_CHARACTERS)]
Phrase = Annotated[Words, Field(max_length=MAX_PHRASE_CHARACTERS)]
Templates = Annotated[
    list[Phrase],
    Field(
        min_length=1,
        max_length=MAX_TEMPLATES,
        description="prompts, in which {} stands for a phrase; each phrase is put into each, and "
        "the vectors are averaged",
        examples=[["a photo of {}", "a drawing of {}"]],
    ),
]


class Label(BaseModel):
    """A label, and in words what a picture with it shows."""

    model_config = ConfigDict(extra="forbid")

    name: LabelName = Field(description="what it is called", examples=["dog"])
    phrases: list[Phrase] = Field(
        default_factory=list,
        max_length=MAX_PHRASES,
        description="by default its name alone",
        examples=[["a dog", "a puppy"]],
    )

    def to_domain(self) -> domain.Label:
        """The label as the understanding package takes it."""
        return domain.Label(self.name, tuple(self.phrases))


class LabelOfSet(Label):
    """A label of a set."""

    negatives: list[Phrase] = Field(
        default_factory=list,
        max_length=MAX_PHRASES,
        description="what is not meant though it looks alike; each competes with the label alone",
        examples=[["a wolf"]],
    )

    def to_domain(self) -> domain.Label:
        """The label as the understanding package takes it."""
        return domain.Label(self.name, tuple(self.phrases), tuple(self.negatives))


BY_TYPE = Discriminator(
    lambda sent: (
        "name" if isinstance(sent, str) else OBJECT_TAG if isinstance(sent, dict) else None
    ),
    custom_error_type="label",
    custom_error_message="send a name, or an object with a name and phrases",
)
SentLabel = Annotated[
    Annotated[LabelName, Tag("name")] | Annotated[Label, Tag(OBJECT_TAG)], BY_TYPE
]
SentLabelOfSet = Annotated[
    Annotated[LabelName, Tag("name")] | Annotated[LabelOfSet, Tag(OBJECT_TAG)], BY_TYPE
]


def to_domain(sent: list[str | Label]) -> list[domain.Label]:
    """The labels; a name alone is its own phrase."""
    return [domain.Label(one) if isinstance(one, str) else one.to_domain() for one in sent]
