"""Batches of searches: each search is checked and answered on its own."""

from dataclasses import dataclass
from typing import Annotated, Any, Self, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from app.search.batch_search import MAX_PICTURES, MAX_SEARCHES, MAX_URLS
from app.web.payloads.examples import SEARCH
from app.web.payloads.search.answer import SearchResponse
from app.web.payloads.search.request import SearchRequest
from app.web.problems.problems import PROBLEM_STUB


@dataclass(frozen=True)
class Malformed:
    """What was sent as a search and is none, with what is wrong with it."""

    search: Any
    error: ValidationError


def _checked_alone(sent: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """The search, or a Malformed: one of them does not spoil the batch."""
    try:
        return check(sent)
    except ValidationError as error:
        return Malformed(sent, error)


class SearchBatchRequest(BaseModel):
    """Several searches, of one collection or several."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"searches": [{"query": "a green tree"}, {"query": "a red car", "limit": 4}]}
            ]
        },
    )

    searches: list[Annotated[SearchRequest, WrapValidator(_checked_alone)]] = Field(
        min_length=1,
        max_length=MAX_SEARCHES,
        description=f"with at most {MAX_PICTURES} pictures in all, {MAX_URLS} of them by URL",
    )

    def checked(self) -> list[SearchRequest | Malformed]:
        """The searches, in their order."""
        return cast("list[SearchRequest | Malformed]", self.searches)


Problem = Annotated[dict[str, Any], WithJsonSchema({**PROBLEM_STUB})]


class SearchOutcome(BaseModel):
    """What became of one search: a response or an error."""

    status: int = Field(description="the HTTP status that it would have had alone", examples=[200])
    response: SearchResponse | None = Field(description="null if it failed")
    error: Problem | None = Field(description="null if it was answered")

    @classmethod
    def answered(cls, response: SearchResponse) -> Self:
        """The outcome of a search that was answered."""
        return cls(status=200, response=response, error=None)

    @classmethod
    def failed(cls, problem: dict[str, Any]) -> Self:
        """The outcome of a search that failed."""
        return cls(status=problem["status"], response=None, error=problem)


class SearchBatchResponse(BaseModel):
    """The outcomes of a batch."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"results": [{"status": 200, "response": SEARCH, "error": None}]}]
        }
    )

    results: list[SearchOutcome] = Field(description="one for each search, in their order")
