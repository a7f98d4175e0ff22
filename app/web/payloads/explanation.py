"""Payloads about why a picture is, or is not, in an answer."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from app.search.explanation.image_explanation import Cause, Explanation


class ExplanationDetails(BaseModel):
    """What became of one picture; what does not apply is null."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "cause": "found",
                    "sentence": "It is number 1 of the answer.",
                    "image_id": 112,
                    "path": "data/test_images/green-tree.jpg",
                    "score": 0.6943,
                    "distance": 0.3057,
                    "confidence": 0.985,
                    "exact_rank": 1,
                    "approximate_rank": 1,
                    "removed_by": [],
                    "reason": None,
                    "job_id": None,
                    "collection": None,
                }
            ]
        }
    )

    cause: Cause = Field(description="why it is, or is not, in the answer")
    sentence: str = Field(description="the cause as a sentence")
    image_id: int | None = Field(description="the picture, if it has a row")
    path: str | None = Field(description="path of the file, or the name that was refused")
    score: float | None = Field(description="cosine similarity to the query")
    distance: float | None = Field(description="cosine distance to the query")
    confidence: float | None = Field(
        description="0 to 1: how sure it is that the hit is better than chance"
    )
    exact_rank: int | None = Field(
        description="rank among all pictures that pass the filter, from 1; if it does not pass: "
        "among all pictures"
    )
    approximate_rank: int | None = Field(
        description="rank in the answer, from 1; the first 1,000 hits are looked at"
    )
    removed_by: list[str] = Field(description="clauses of the filter that exclude it")
    reason: str | None = Field(description="why its latest version was refused")
    job_id: int | None = Field(description="the job that refused it")
    collection: str | None = Field(
        description="namespace/name of the collection it is in, if that is another one"
    )

    @classmethod
    def of(cls, found: Explanation) -> Self:
        """The payload of an explanation."""
        told = {**vars(found), "removed_by": list(found.removed_by)}
        return cls(**told, score=found.score, sentence=found.sentence)
