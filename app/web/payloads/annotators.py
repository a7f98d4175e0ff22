"""Bodies about annotators, and the texts that were read in pictures."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from app.runtime.annotating import annotators
from app.runtime.annotating.annotator import AnnotatorName
from app.runtime.annotating.annotators import CoveredAnnotator
from app.runtime.coverage import Kind
from app.understanding.annotators.annotation_rows import Annotation
from app.understanding.texts.text_lines import TextLine
from app.web.payloads.examples import with_examples

LINE: dict[str, Any] = {
    "text": "Invoice 4711",
    "box": [0.08, 0.05, 0.61, 0.11],
    "confidence": 0.9994,
}
VERSION = "rapidocr 3.10.0, recipe 1"


class FoundLine(BaseModel):
    """A line of text in a picture."""

    text: str = Field(description="as it was read")
    box: list[float] = Field(
        description="where it is: left, top, right and bottom, as fractions of the picture"
    )
    confidence: float = Field(description="how sure its reader is, 0 to 1")

    @classmethod
    def of(cls, line: TextLine) -> Self:
        """The payload of a line."""
        return cls(text=line.text, box=list(line.box), confidence=line.confidence)


class ImageAnnotation(BaseModel):
    """What an annotator did with a picture."""

    annotator: AnnotatorName = Field(description="its name")
    state: Literal["waiting", "read", "skipped", "failed"] = Field(
        description="read: it was looked at; skipped: it does not look as if there were anything "
        "to be found"
    )
    version: str | None = Field(description="of the annotator; null while it is waiting")
    reason: str | None = Field(description="why it failed; null: it did not")
    updated_at: datetime = Field(description="when its state last changed")

    @classmethod
    def of(cls, found: Annotation) -> Self:
        """The payload of an annotation."""
        return cls(**vars(found))


class ImageTexts(BaseModel):
    """The texts that were read in a picture."""

    model_config = with_examples(
        {
            "texts": [LINE],
            "annotations": [
                {
                    "annotator": "text",
                    "state": "read",
                    "version": VERSION,
                    "reason": None,
                    "updated_at": "2026-11-29T09:39:11.893371Z",
                }
            ],
        }
    )

    texts: list[FoundLine] = Field(description="lines, in reading order")
    annotations: list[ImageAnnotation] = Field(
        description="of each annotator that knows of the picture; empty where none is on"
    )

    @classmethod
    def of(cls, found: annotators.ImageTexts) -> Self:
        """The payload of what was read."""
        return cls(
            texts=[FoundLine.of(line) for line in found.lines],
            annotations=[ImageAnnotation.of(one) for one in found.annotations],
        )


class AnnotatorDetails(BaseModel):
    """An annotator that a collection has on; numbers are null where it is not available."""

    name: AnnotatorName = Field(description="its name")
    version: str | None = Field(
        description="what looks at pictures; those that another looked at are stale"
    )
    read: int | None = Field(description="number of pictures that it looked at")
    skipped: int | None = Field(
        description="of those that do not look as if there were anything to be found"
    )
    failed: int | None = Field(
        description="of those that it failed on; sending `annotators` or `regions` again tries "
        "them again"
    )
    waiting: int | None = Field(description="of those that are new, stale, or not looked at yet")
    job_id: int | None = Field(description="its last job; null: none yet, or long ago")

    @classmethod
    def of(cls, found: CoveredAnnotator) -> Self:
        """The details of an annotator."""
        names = ("read", "skipped", "failed", "waiting")
        counts = {name: getattr(found.coverage, name, None) for name in names}
        turned_on = {"name": found.turned_on.annotator, "job_id": found.turned_on.job_id}
        return cls(**turned_on, version=found.version, **counts)


class AnnotatorList(BaseModel):
    """The annotators that a collection has on."""

    model_config = with_examples(
        {
            "data": [
                {
                    "name": "text",
                    "version": VERSION,
                    "read": 210,
                    "skipped": 84,
                    "failed": 1,
                    "waiting": 0,
                    "job_id": 2,
                }
            ]
        }
    )

    data: list[AnnotatorDetails] = Field(description="ordered by name")


class AnnotatorBackfill(BaseModel):
    """What a backfill looks at."""

    model_config = with_examples({"pictures": 295, "job_id": 2})

    pictures: int = Field(
        description="number of pictures that are new, stale, failed, or not looked at yet"
    )
    job_id: int | None = Field(
        description="the job that looks at them; null: a dry run, or there are none"
    )


class CoverageDetails(BaseModel):
    """How many pictures an annotator or label set has done; null where it is not installed."""

    kind: Kind = Field(description="annotator or label_set")
    name: str = Field(description="its name")
    pictures: int | None = Field(
        description="number of pictures it is for: all, or of a label set those with a vector"
    )
    done: int | None = Field(
        description="of those that were looked at, as they are now, by what is installed now"
    )
    failed: int | None = Field(description="of those that it failed on; each says why")
    job_id: int | None = Field(description="its last job; null: none yet, or long ago")


class CoverageList(BaseModel):
    """How far a collection's pictures are looked at."""

    model_config = with_examples(
        {
            "data": [
                {
                    "kind": "annotator",
                    "name": "text",
                    "pictures": 295,
                    "done": 294,
                    "failed": 1,
                    "job_id": 2,
                },
                {
                    "kind": "label_set",
                    "name": "kind",
                    "pictures": 295,
                    "done": 295,
                    "failed": 0,
                    "job_id": 3,
                },
            ]
        }
    )

    data: list[CoverageDetails] = Field(
        description="the annotators that are on, then the label sets, each by name"
    )
