"""Payloads about ratings."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.feedback.evaluation import EvaluationResult
from app.feedback.ratings import Judgement, StoredJudgement
from app.feedback.summaries import Summary
from app.search.feedback_submission import MAX_COMMENT_CHARACTERS, MAX_RATING, MIN_RATING
from app.search.feedback_tokens import ShownAnswer
from app.web.payloads import examples
from app.web.payloads.examples import with_examples
from app.web.payloads.field_types import MAX_ID, STORABLE

MAX_TOKEN_CHARACTERS = 200_000  # the longest query text, escaped, and 100 hits

FeedbackStatus = Literal["on", "off", "not_enough_data"]
UNTRIED: dict[str, Any] = {
    "status": "not_enough_data",
    "ndcg_without": None,
    "ndcg_with": None,
    "standard_error": None,
    "agreement": None,
    "queries": 0,
    "ratings": 0,
    "evaluated_at": None,
}


class FeedbackCreate(BaseModel):
    """A rating of an answer, or of one hit of it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"token": examples.TOKEN, "rating": 9, "image_id": 112}],
        },
    )

    token: str = Field(
        max_length=MAX_TOKEN_CHARACTERS,
        description="the answer's `token`, or its header X-Search-Token",
    )
    rating: int = Field(
        ge=MIN_RATING, le=MAX_RATING, description="1 (not at all) to 10 (exactly this)"
    )
    image_id: int | None = Field(
        None, ge=1, le=MAX_ID, description="the hit that is rated; null: the answer as a whole"
    )
    comment: str | None = Field(
        None,
        max_length=MAX_COMMENT_CHARACTERS,
        pattern=STORABLE,
        description="a comment for whoever runs the service",
    )

    def to_domain(self, search: UUID) -> Judgement:
        """The rating as the feedback package takes it."""
        return Judgement(search, self.image_id, self.rating, self.comment)


class FeedbackWithdrawal(BaseModel):
    """Which rating to withdraw."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"token": examples.TOKEN, "image_id": 112}]},
    )

    token: str = Field(
        max_length=MAX_TOKEN_CHARACTERS, description="token of the answer that was rated"
    )
    image_id: int | None = Field(
        None, ge=1, le=MAX_ID, description="the hit that was rated; null: the answer as a whole"
    )


class FeedbackDetails(BaseModel):
    """A rating as it was stored."""

    model_config = with_examples(examples.FEEDBACK)

    id: int = Field(description="the rating's id")
    query: str = Field(description="the query")
    image_id: int | None = Field(description="the hit that is rated; null: the answer as a whole")
    rating: int = Field(description="1 to 10 (best)")
    comment: str | None = Field(description="the comment")
    updated_at: datetime = Field(description="when it was stored, or last replaced")

    @classmethod
    def of(cls, answer: ShownAnswer, judgement: Judgement, kept: StoredJudgement) -> Self:
        """The payload of a stored rating."""
        return cls(
            id=kept.id,
            query=answer.query,
            image_id=judgement.image_id,
            rating=judgement.rating,
            comment=judgement.comment,
            updated_at=kept.judged_at,
        )


class ModelRatings(BaseModel):
    """Ratings of one model's answers."""

    model: str = Field(description="the model's name")
    pretrained: str = Field(description="its pretrained tag")
    fingerprint: str = Field(description="SHA-256 of the model")
    ratings: int = Field(description="number of ratings")
    mean: float = Field(description="1 to 10 (best)")


class DayRatings(BaseModel):
    """Ratings of one day."""

    day: date = Field(description="the day, in UTC")
    ratings: int = Field(description="number of ratings")
    mean: float = Field(description="1 to 10 (best)")


class QueryRatings(BaseModel):
    """Ratings of one query: of its answers and of their hits."""

    query: str = Field(description="the query")
    ratings: int = Field(description="number of ratings")
    mean: float = Field(description="1 to 10 (best)")
    best: int = Field(description="the highest rating")


class FeedbackEvaluation(BaseModel):
    """Whether ratings improve a collection's answers, by the latest evaluation."""

    collection: str = Field(description="the collection's name")
    status: FeedbackStatus = Field(
        description="on: ratings move its queries, because that improves the answers"
    )
    ndcg_without: float | None = Field(
        description="nDCG@10 of held-out ratings with the query as asked"
    )
    ndcg_with: float | None = Field(
        description="the same with the query moved by the other ratings"
    )
    standard_error: float | None = Field(description="standard error of the difference")
    agreement: float | None = Field(
        description="share of pairs of rated hits that the model ranks as people do"
    )
    queries: int = Field(description="number of rated queries in the evaluation")
    ratings: int = Field(description="number of ratings in the evaluation")
    evaluated_at: datetime | None = Field(description="when it ran; null: not yet")

    @classmethod
    def of(cls, collection: str, verdict: EvaluationResult | None) -> Self:
        """The payload of an evaluation's result."""
        if verdict is None:
            return cls(collection=collection, **UNTRIED)
        renamed = {
            "status": verdict.state,
            "ratings": verdict.judgements,
            "evaluated_at": verdict.held_at,
        }
        known = {name: value for name, value in vars(verdict).items() if name in cls.model_fields}
        return cls(collection=collection, **known, **renamed)


class SideRatings(BaseModel):
    """Ratings on one side of a change."""

    ratings: int = Field(description="number of ratings, of 30 days")
    mean: float | None = Field(description="mean rating; null: none")


class ModelChange(BaseModel):
    """What the last change of a collection's vectors did to its ratings."""

    collection: str = Field(description="the collection's name")
    changed_at: datetime = Field(description="when searches began to use the other vectors")
    former_model: str = Field(description="the model before")
    model: str = Field(description="the model since")
    before: SideRatings = Field(description="the ratings before the change")
    after: SideRatings = Field(description="the ratings after the change")
    fell: bool | None = Field(
        description="whether ratings are lower since, beyond chance: a rollback may be due; null: "
        "fewer than 20 on either side"
    )


class FeedbackSummary(BaseModel):
    """How people rate the answers."""

    model_config = with_examples(examples.FEEDBACK_SUMMARY)

    by_model: list[ModelRatings] = Field(description="most ratings first")
    by_day: list[DayRatings] = Field(description="latest day first")
    worst_queries: list[QueryRatings] = Field(
        description="the queries with the lowest mean, at most 20"
    )
    without_good: list[QueryRatings] = Field(
        description="queries without any rating of 6 or more, most ratings first, at most 20"
    )
    evaluations: list[FeedbackEvaluation] = Field(
        description="the latest evaluation of each collection"
    )
    model_changes: list[ModelChange] = Field(
        description="the last change of each collection whose former vectors are kept"
    )

    @classmethod
    def of(cls, summary: Summary) -> Self:
        """The payload of a summary."""
        evaluations = [FeedbackEvaluation.of(name, verdict) for name, verdict in summary.trials]
        changes = [{**asdict(swap), "fell": swap.fell} for swap in summary.swaps]
        told = {"evaluations": evaluations, "model_changes": changes}
        return cls.model_validate({**asdict(summary), **told})
