"""Bodies of POST /api/v1/classify."""

from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from app.catalog.collections import DEFAULT_NAME
from app.understanding.labels.labels import (
    DEFAULT_TEMPLATES,
    MAX_LABELS,
)
from app.web.payloads.examples import FINGERPRINT, with_examples
from app.web.payloads.field_types import MAX_ID, Name
from app.web.payloads.labels.sent_labels import SentLabel, Templates
from app.web.payloads.search.terms import Base64Picture


class ClassifyRequest(BaseModel):
    """A picture, and labels of which one is to be chosen."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"id": 112, "labels": ["dog", "cat", "tree"]},
                {
                    "id": 112,
                    "labels": [
                        {"name": "plant", "phrases": ["a tree", "a flower"]},
                        {"name": "animal", "phrases": ["a dog", "a cat", "a bird"]},
                    ],
                    "templates": ["a photo of {}", "a drawing of {}"],
                },
            ]
        },
    )

    labels: list[SentLabel] = Field(
        min_length=2,
        max_length=MAX_LABELS,
        description="names, or names with the phrases that describe each",
    )
    image: Base64Picture | None = Field(None, description="a picture file in base64")
    id: int | None = Field(
        None, ge=1, le=MAX_ID, description="or the id of a picture of the collection"
    )
    templates: Templates = list(DEFAULT_TEMPLATES)
    namespace: Name | None = Field(
        None,
        description="the collection's namespace; if omitted, the key's own, or `default` without "
        "keys",
    )
    collection: Name = Field(DEFAULT_NAME, description="the collection whose model is used")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.image is None) == (self.id is None):
            raise ValueError("send a picture as image, or name one by its id")
        return self

    @property
    def picture(self) -> bytes | int:
        """The file, or the id."""
        return self.image if self.image is not None else self.id or 0


PROBABILITIES: list[dict[str, Any]] = [
    {"label": "tree", "probability": 0.9976},
    {"label": "cat", "probability": 0.0017},
    {"label": "dog", "probability": 0.0007},
]


class LabelProbability(BaseModel):
    """How probable a label is."""

    label: str = Field(description="its name")
    probability: float = Field(description="how probable it is, 0 to 1")


class Classification(BaseModel):
    """How probable each label is, if exactly one of them applies."""

    model_config = with_examples(
        {"labels": PROBABILITIES, "model": "demo model", "fingerprint": FINGERPRINT}
    )

    labels: list[LabelProbability] = Field(
        description="all that were sent, the most probable first; the probabilities sum to 1"
    )
    model: str = Field(description="the model")
    fingerprint: str = Field(description="fingerprint of the model's weights")
