"""The bodies about judgements."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.feedback.evaluation import Verdict
from app.feedback.ratings import Judgement, StoredJudgement
from app.feedback.summaries import Summary
from app.search.feedback_submission import LEAST_RATING, MAX_COMMENT_CHARACTERS, MOST_RATING
from app.search.feedback_tokens import ShownAnswer
from app.web.payloads import examples
from app.web.payloads.examples import shown
from app.web.payloads.field_types import MAX_ID, STORABLE

MAX_TOKEN_CHARACTERS = 200_000  # the longest words of a search, escaped, and 100 hits

State = Literal["on", "off", "not enough"]
UNTRIED: dict[str, Any] = {
    "state": "not enough",
    "ndcg_without": None,
    "ndcg_with": None,
    "standard_error": None,
    "agreement": None,
    "queries": 0,
    "judgements": 0,
    "held_at": None,
}


class FeedbackToBe(BaseModel):
    """A rating of an answer, or of one hit of it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"token": examples.TOKEN, "rating": 9, "image_id": 112}],
        },
    )

    token: str = Field(
        max_length=MAX_TOKEN_CHARACTERS,
        description="of the answer: its `token`, or its header X-Search-Token",
    )
    rating: int = Field(
        ge=LEAST_RATING, le=MOST_RATING, description="from 1, not at all, to 10, exactly this"
    )
    image_id: int | None = Field(
        None, ge=1, le=MAX_ID, description="the hit that is judged; null: the whole answer"
    )
    comment: str | None = Field(
        None,
        max_length=MAX_COMMENT_CHARACTERS,
        pattern=STORABLE,
        description="in words, for whoever runs the service",
    )

    def judgement(self, search: UUID) -> Judgement:
        """The domain's form of it."""
        return Judgement(search, self.image_id, self.rating, self.comment)


class FeedbackToWithdraw(BaseModel):
    """Which judgement is taken back."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"token": examples.TOKEN, "image_id": 112}]},
    )

    token: str = Field(max_length=MAX_TOKEN_CHARACTERS, description="of the answer that was judged")
    image_id: int | None = Field(
        None, ge=1, le=MAX_ID, description="the hit that was judged; null: the whole answer"
    )


class FeedbackDetails(BaseModel):
    """A judgement that was written."""

    model_config = shown(examples.FEEDBACK)

    id: int = Field(description="the judgement's id")
    query: str = Field(description="what was asked")
    image_id: int | None = Field(description="the hit that is judged; null: the whole answer")
    rating: int = Field(description="from 1 to 10, the best")
    comment: str | None = Field(description="in words")
    judged_at: datetime = Field(description="now, also where it replaces an earlier one")

    @classmethod
    def of(cls, answer: ShownAnswer, judgement: Judgement, kept: StoredJudgement) -> Self:
        """The answer's form of what was kept."""
        return cls(
            id=kept.id,
            query=answer.query,
            image_id=judgement.image_id,
            rating=judgement.rating,
            comment=judgement.comment,
            judged_at=kept.judged_at,
        )


class ModelRatings(BaseModel):
    """Ratings of one model's answers."""

    model: str = Field(description="the model's name")
    pretrained: str = Field(description="its pretrained tag")
    fingerprint: str = Field(description="SHA-256 of the model")
    ratings: int = Field(description="how many")
    mean: float = Field(description="from 1 to 10, the best")


class DayRatings(BaseModel):
    """Ratings of one day."""

    day: date = Field(description="by UTC")
    ratings: int = Field(description="how many")
    mean: float = Field(description="from 1 to 10, the best")


class QueryRatings(BaseModel):
    """Ratings of one query's answers and hits."""

    query: str = Field(description="what was asked")
    ratings: int = Field(description="how many")
    mean: float = Field(description="from 1 to 10, the best")
    best: int = Field(description="the highest")


class TrialDetails(BaseModel):
    """Whether judgements improve a collection's answers, as the last trial has found."""

    collection: str = Field(description="its name")
    state: State = Field(description="on: judgements move its queries, since that gains")
    ndcg_without: float | None = Field(description="nDCG@10 of held-out judgements, unmoved")
    ndcg_with: float | None = Field(description="the same, moved by the others")
    standard_error: float | None = Field(description="of the difference")
    agreement: float | None = Field(
        description="share of pairs of judged hits that the model ranks as people do"
    )
    queries: int = Field(description="judged queries that it was measured on")
    judgements: int = Field(description="that there were")
    held_at: datetime | None = Field(description="when; null: not yet")

    @classmethod
    def of(cls, collection: str, verdict: Verdict | None) -> Self:
        """The answer's form of what a trial has found."""
        if verdict is None:
            return cls(collection=collection, **UNTRIED)
        return cls(collection=collection, **asdict(verdict))


class FeedbackSummary(BaseModel):
    """What people say of the answers."""

    model_config = shown(examples.FEEDBACK_SUMMARY)

    by_model: list[ModelRatings] = Field(description="most ratings first")
    by_day: list[DayRatings] = Field(description="the last day first")
    worst_queries: list[QueryRatings] = Field(description="of the lowest means, 20 at most")
    without_good: list[QueryRatings] = Field(
        description="queries that nothing was rated 6 or more for, most ratings first, 20 at most"
    )
    trials: list[TrialDetails] = Field(description="of each collection")

    @classmethod
    def of(cls, summary: Summary) -> Self:
        """The answer's form of what the services return."""
        trials = [TrialDetails.of(name, verdict) for name, verdict in summary.trials]
        return cls.model_validate({**asdict(summary), "trials": trials})
