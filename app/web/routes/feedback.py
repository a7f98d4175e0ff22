"""Feedback: rate an answer, withdraw a rating, summaries and export."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from app.access.authentication import ALLOWED, HOW, Caller
from app.errors import RoleRejected
from app.feedback.ratings import ExportedJudgement, Scope
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.open_collection import OpenCollection
from app.search.feedback_tokens import ShownAnswer
from app.web.callers import CurrentCaller, InNamespace, chosen_namespace
from app.web.dependencies import RegistryService, SummaryService, TokenService
from app.web.middleware.guarded_route import Guarded, needs
from app.web.payloads.examples import EXPORTED
from app.web.payloads.feedback import (
    FeedbackCreate,
    FeedbackDetails,
    FeedbackSummary,
    FeedbackWithdrawal,
)
from app.web.payloads.field_types import Name
from app.web.problems.problems import problem_responses

router = APIRouter(prefix="/api/v1", tags=["feedback"], route_class=Guarded)

MAX_DAYS = 3_650
DEFAULT_DAYS = 30
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs cells that start so
COLUMNS = list(ExportedJudgement.__dataclass_fields__)

InOneCollection = Annotated[
    Name | None,
    Query(
        description="only ratings of this collection; if omitted, of all in the namespace",
        examples=["holidays"],
    ),
]
EXPORTS = {
    "text/csv": {"schema": {"type": "string"}},
    "application/x-ndjson": {"schema": {"type": "string"}, "example": json.dumps(EXPORTED)},
}


@router.post(
    "/feedback",
    summary="Rate an answer",
    status_code=201,
    responses={
        200: {"model": FeedbackDetails, "description": "It replaces an earlier rating"},
        **problem_responses(400, 404, 409, 413, 422, 503),
    },
)
@needs("reader", "search", creates=True)
def create_feedback(
    caller: CurrentCaller,
    registry: RegistryService,
    tokens: TokenService,
    response: Response,
    body: FeedbackCreate,
) -> FeedbackDetails:
    """Rate an answer, or one hit of it, from 1 to 10; rating it again replaces the first rating."""
    return store_rating(caller, registry, tokens.read(body.token), response, body)


def store_rating(
    caller: CurrentCaller,
    registry: CollectionRegistry,
    shown: ShownAnswer,
    response: Response,
    body: FeedbackCreate,
) -> FeedbackDetails:
    """Store a rating of the answer that a token describes, if the caller may see it."""
    judgement = body.to_domain(shown.search)
    rated = _rated_collection(caller, registry, shown)
    kept = registry.on_current(
        rated.collection.id, lambda now: now.feedback_submission.judge(shown, judgement)
    )
    response.status_code = 201 if kept.is_new else 200
    return FeedbackDetails.of(shown, judgement, kept)


def _rated_collection(
    caller: Caller, registry: CollectionRegistry, shown: ShownAnswer
) -> OpenCollection:
    """The collection that gave the answer, if the caller may rate it.

    Raises RoleRejected: anonymous callers may read, not rate.
    """
    if caller.is_stranger:
        raise RoleRejected(
            f"Without a key this library is for {ALLOWED['reader']}: rating needs a key. {HOW}"
        )
    opened = registry.open_id(shown.collection_id)
    chosen_namespace(caller, opened.collection.namespace)
    return opened


@router.post(
    "/feedback/withdraw",
    status_code=204,
    responses=problem_responses(400, 404, 409, 413, 422, 503),
)
@needs("reader", "search")
def withdraw_feedback(
    caller: CurrentCaller,
    registry: RegistryService,
    tokens: TokenService,
    body: FeedbackWithdrawal,
) -> None:
    """Withdraw the rating of an answer, or of one hit of it, if there is one."""
    shown = tokens.read(body.token)
    _rated_collection(caller, registry, shown).feedback_submission.withdraw(shown, body.image_id)


def _scope(
    registry: CollectionRegistry, namespace: str, collection: str | None, days: int | None
) -> Scope:
    if collection is None:
        return Scope(namespace, days=days)
    return Scope(namespace, registry.find(namespace, collection).collection.id, days)


@router.get("/feedback/summary", responses=problem_responses(404, 422, 503))
@needs("admin")
def get_feedback_summary(
    registry: RegistryService,
    summaries: SummaryService,
    namespace: InNamespace,
    collection: InOneCollection = None,
    days: Annotated[
        int, Query(ge=1, le=MAX_DAYS, description="number of days to look back")
    ] = DEFAULT_DAYS,
) -> FeedbackSummary:
    """Mean ratings by model and day, the worst queries, and whether ratings improve the answers."""
    scope = _scope(registry, namespace, collection, days)
    return FeedbackSummary.of(summaries.summary(scope))


@router.get(
    "/feedback/export",
    response_class=StreamingResponse,
    responses={200: {"content": EXPORTS}, **problem_responses(404, 422, 503)},
)
@needs("admin")
def export_feedback(
    registry: RegistryService,
    summaries: SummaryService,
    namespace: InNamespace,
    collection: InOneCollection = None,
    kind: Annotated[
        Literal["csv", "jsonl"],
        Query(alias="format", description="csv: a table; jsonl: a JSON object on each line"),
    ] = "csv",
) -> StreamingResponse:
    """All ratings, oldest first. In CSV, texts that look like formulas get a leading apostrophe."""
    rows = summaries.export(_scope(registry, namespace, collection, None))
    name = {"Content-Disposition": f'attachment; filename="feedback.{kind}"'}
    if kind == "csv":
        return StreamingResponse(_csv(rows), media_type="text/csv", headers=name)
    return StreamingResponse(_jsonl(rows), media_type="application/x-ndjson", headers=name)


def _jsonl(rows: Iterable[ExportedJudgement]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(asdict(row), default=str, ensure_ascii=False) + "\n"


def _csv(rows: Iterable[ExportedJudgement]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(COLUMNS)
    yield line.getvalue()
    for row in rows:
        line.seek(0)
        line.truncate()
        writer.writerow([_harmless(value) for value in asdict(row).values()])
        yield line.getvalue()


def _harmless(value: object) -> object:
    if isinstance(value, str) and value.startswith(FORMULA_SIGNS):
        return f"'{value}"
    return value
