"""Bodies about label sets, and the labels of a picture."""

from datetime import datetime
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)

from app.runtime.labelling.label_sets import CoveredLabelSet
from app.understanding.labels import labels as domain
from app.understanding.labels.labels import (
    DEFAULT_TEMPLATES,
    DEFAULT_THRESHOLD,
    MAX_LABELS,
    MAX_OTHER,
)
from app.web.payloads.examples import with_examples
from app.web.payloads.labels.sent_labels import (
    LabelName,
    LabelOfSet,
    Phrase,
    SentLabelOfSet,
    Templates,
)


class LabelSetPut(BaseModel):
    """Labels that the pictures of a collection get."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "labels": ["plant", "animal", "vehicle"],
                    "exclusive": True,
                    "category": True,
                },
                {
                    "labels": [
                        {"name": "dog", "phrases": ["a dog", "a puppy"], "negatives": ["a wolf"]},
                        {"name": "beach"},
                    ],
                    "threshold": 0.7,
                },
                {
                    "labels": [{"name": "weapon", "phrases": ["a gun", "a knife"]}],
                    "threshold": 0.8,
                    "gate": "flag",
                },
            ]
        },
    )

    labels: list[SentLabelOfSet] = Field(
        min_length=1,
        max_length=MAX_LABELS,
        description="names, or names with the phrases that describe each",
    )
    exclusive: bool = Field(
        False, description="a picture has exactly one of them; else all that hold"
    )
    threshold: float = Field(
        DEFAULT_THRESHOLD, ge=0, le=1, description="the least probability of a label that holds"
    )
    templates: Templates = list(DEFAULT_TEMPLATES)
    other: list[Phrase] | None = Field(
        None,
        max_length=MAX_OTHER,
        description="phrases for pictures that have none of the labels; by default bundled texts "
        "about hundreds of other things; an empty list: one of the labels always fits, which is "
        "for exclusive sets",
    )
    gate: domain.Gate | None = Field(
        None,
        description="what becomes of new pictures that get one of the labels: flag holds them for "
        "review, hidden from everybody; refuse stores nothing",
    )
    gate_labels: list[LabelName] | None = Field(
        None,
        min_length=1,
        max_length=MAX_LABELS,
        description="the labels that the gate stops; by default all of the set",
    )
    category: bool = Field(
        False,
        description="searches are often made within one of its labels: large ones get an HNSW "
        "graph of their own",
    )

    def to_domain(self, name: str) -> domain.LabelSet:
        """The set as the understanding package takes it."""
        return domain.LabelSet(
            name,
            tuple(
                domain.Label(one) if isinstance(one, str) else one.to_domain()
                for one in self.labels
            ),
            self.exclusive,
            self.threshold,
            tuple(self.templates),
            None if self.other is None else tuple(self.other),
            self.gate,
            None if self.gate_labels is None else tuple(self.gate_labels),
            self.category,
        )


LABEL_SET: dict[str, Any] = {
    "name": "kind",
    "labels": [{"name": "plant", "phrases": [], "negatives": []}],
    "exclusive": True,
    "threshold": 0.5,
    "templates": list(DEFAULT_TEMPLATES),
    "other": None,
    "gate": None,
    "gate_labels": None,
    "category": True,
    "graphs": [],
    "labelled": 295,
    "job_id": 2,
    "created_at": "2026-11-29T09:39:11.893371Z",
    "updated_at": "2026-11-29T09:39:11.893371Z",
}


class LabelSetDetails(BaseModel):
    """A label set, and how far its pictures are labelled."""

    model_config = with_examples(LABEL_SET)

    name: str = Field(description="its name; filters and facets know it as labels.<name>")
    labels: list[LabelOfSet] = Field(description="in the order in which they were sent")
    exclusive: bool = Field(description="a picture has exactly one of them; else all that hold")
    threshold: float = Field(description="the least probability of a label that holds")
    templates: list[str] = Field(description="prompts, in which {} stands for a phrase")
    other: list[str] | None = Field(
        description="phrases for pictures that have none of the labels; null: bundled texts"
    )
    gate: domain.Gate | None = Field(
        description="what becomes of new pictures that get one of the labels; null: nothing"
    )
    gate_labels: list[str] | None = Field(
        description="the labels that the gate stops; null: all of the set"
    )
    category: bool = Field(description="whether large labels get an HNSW graph of their own")
    graphs: list[str] = Field(description="the labels that have such a graph now")
    labelled: int = Field(description="number of pictures that have labels by it as it is now")
    job_id: int | None = Field(description="the last job that labelled by it; null: long ago")
    created_at: datetime = Field(description="when it was added")
    updated_at: datetime = Field(description="when it was last changed")

    @classmethod
    def of(cls, found: CoveredLabelSet) -> Self:
        """The details of a set."""
        stored = found.stored
        definition = {"name": stored.labels.name, **stored.labels.to_json()}
        facts = {"job_id": stored.job_id, "labelled": found.labelled, "graphs": found.graphs}
        times = {"created_at": stored.created_at, "updated_at": stored.updated_at}
        return cls(**definition, **facts, **times)


class FlaggedImages(BaseModel):
    """What a gate found among the pictures that were there before it."""

    model_config = with_examples({"flagged": 3, "ids": [112, 240, 251], "has_more": False})

    flagged: int = Field(description="how many are held for review now, or would be in a dry run")
    ids: list[int] = Field(description="their ids")
    has_more: bool = Field(description="true where the limit was reached: ask again")


class LabelSetList(BaseModel):
    """The label sets of a collection."""

    model_config = with_examples({"data": [LABEL_SET]})

    data: list[LabelSetDetails] = Field(description="ordered by name")


class ImageLabel(BaseModel):
    """A label that a picture has."""

    set: str = Field(description="name of its set")
    label: str = Field(description="its name; other: none of the set's holds")
    probability: float = Field(description="how probable it is, 0 to 1")


class ImageLabels(BaseModel):
    """The labels of a picture."""

    model_config = with_examples(
        {"labels": [{"set": "kind", "label": "plant", "probability": 0.9976}]}
    )

    labels: list[ImageLabel] = Field(
        description="by set, each set's most probable first; none of sets that have not labelled it"
    )
