"""Bodies about pictures that gates hold for review."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.catalog.images.held_images import HeldImage
from app.catalog.images.image_names import original_filename, source_path
from app.catalog.review_queue import Decision
from app.web.payloads.examples import with_examples
from app.web.payloads.selections import Selection

HELD: dict[str, Any] = {
    "id": 112,
    "original_filename": "IMG_2041.jpg",
    "path": None,
    "caption": None,
    "width": 1600,
    "height": 1200,
    "format": "JPEG",
    "bytes": 204113,
    "label_set": "safety",
    "label": "weapon",
    "probability": 0.9731,
    "held_at": "2026-11-29T09:39:11.893371Z",
    "thumbnail_url": "/api/v1/collections/default/review/112/thumbnail?namespace=default",
}

DECISION = Field(description="approve: show it from now on; reject: delete it")


class HeldPicture(BaseModel):
    """A picture that waits for a decision, and why."""

    id: int = Field(description="the picture's id")
    original_filename: str = Field(description="name of the file, as it was submitted")
    path: str | None = Field(
        description="path of the file in its folder or bucket; null for uploads"
    )
    caption: str | None = Field(description="what it shows, in words")
    width: int = Field(description="in pixels")
    height: int = Field(description="in pixels")
    format: str = Field(description="JPEG, PNG, …")
    bytes: int = Field(description="the size of the file")
    label_set: str = Field(description="the label set whose gate stopped it")
    label: str = Field(description="for this label")
    probability: float = Field(description="how probable that label was, 0 to 1")
    held_at: datetime = Field(description="when it was stopped")
    thumbnail_url: str = Field(description="address of a small WebP, for admins alone")

    @classmethod
    def of(cls, held: HeldImage, thumbnail_url: str) -> Self:
        """The entry for a held picture."""
        known = {
            **vars(held.image),
            "path": source_path(held.image),
            "original_filename": original_filename(held.image),
        }
        reason = held.reason
        return cls(
            **known,
            label_set=reason.set_name,
            label=reason.label,
            probability=reason.probability,
            held_at=held.held_at,
            thumbnail_url=thumbnail_url,
        )


class ReviewPage(BaseModel):
    """Pictures that wait for a decision."""

    model_config = with_examples({"data": [HELD], "total": 1, "next_cursor": None})

    data: list[HeldPicture] = Field(description="ordered by id")
    total: int = Field(description="how many wait in the collection")
    next_cursor: str | None = Field(description="of the next page; null on the last")


class ReviewDecision(BaseModel):
    """What is decided on a held picture."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"decision": "approve"}]}
    )

    decision: Decision = DECISION


class ReviewDecisions(Selection):
    """What is decided on several held pictures."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"ids": [112, 113], "decision": "reject"}]},
    )

    decision: Decision = DECISION


class ReviewResult(BaseModel):
    """The pictures that were decided on."""

    model_config = with_examples({"decided": 2, "ids": [112, 113]})

    decided: int = Field(description="how many")
    ids: list[int] = Field(description="those that waited; others are left as they are")
