"""Judgements of answers: taken in, summed up, exported."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from app.access.authentication import Caller
from app.errors import RoleRejected
from app.feedback.ratings import ExportedJudgement, Scope
from app.runtime.collection_registry import CollectionRegistry, OpenCollection
from app.search.feedback_tokens import ShownAnswer
from app.web.dependencies import (
    CurrentCaller,
    InNamespace,
    LibraryService,
    SummaryService,
    TokenService,
    chosen_namespace,
)
from app.web.middleware.guard import Guarded, needs
from app.web.payloads.examples import EXPORTED
from app.web.payloads.feedback import (
    FeedbackDetails,
    FeedbackSummary,
    FeedbackToBe,
    FeedbackToWithdraw,
)
from app.web.payloads.field_types import Name
from app.web.problems import described

router = APIRouter(prefix="/api/v1", tags=["feedback"], route_class=Guarded)

MAX_DAYS = 3_650
DEFAULT_DAYS = 30
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run what begins so
COLUMNS = list(ExportedJudgement.__dataclass_fields__)

InOneCollection = Annotated[
    Name | None,
    Query(description="only its judgements; null: of all in the namespace", examples=["holidays"]),
]
EXPORTS = {
    "text/csv": {"schema": {"type": "string"}},
    "application/x-ndjson": {"schema": {"type": "string"}, "example": json.dumps(EXPORTED)},
}


@router.post(
    "/feedback",
    summary="Judge an answer",
    status_code=201,
    responses={
        200: {"model": FeedbackDetails, "description": "It replaces an earlier one"},
        **described(400, 404, 409, 413, 422, 503),
    },
)
@needs("reader", "search")
def judge(
    caller: CurrentCaller,
    registry: LibraryService,
    tokens: TokenService,
    response: Response,
    asked: FeedbackToBe,
) -> FeedbackDetails:
    """Rate an answer, or one hit of it, from 1 to 10; the same again replaces the first."""
    return judged(caller, registry, tokens.read(asked.token), response, asked)


def judged(
    caller: CurrentCaller,
    registry: CollectionRegistry,
    shown: ShownAnswer,
    response: Response,
    asked: FeedbackToBe,
) -> FeedbackDetails:
    """Keep a judgement of what a token says was shown, if the caller may see that."""
    judgement = asked.judgement(shown.search)
    kept = _judged(caller, registry, shown).feedback_submission.judge(shown, judgement)
    response.status_code = 201 if kept.is_new else 200
    return FeedbackDetails.of(shown, judgement, kept)


def _judged(caller: Caller, registry: CollectionRegistry, shown: ShownAnswer) -> OpenCollection:
    """The collection that has answered, if the caller may see it.

    Raises RoleRejected: strangers may look, not vote.
    """
    if caller.is_stranger:
        raise RoleRejected("Rating needs an API key: ALLOW_ANONYMOUS opens reading alone.")
    opened = registry.open_id(shown.collection_id)
    chosen_namespace(caller, opened.collection.namespace)
    return opened


@router.post(
    "/feedback/withdraw",
    status_code=204,
    responses=described(400, 404, 409, 413, 422, 503),
)
@needs("reader", "search")
def withdraw_feedback(
    caller: CurrentCaller,
    registry: LibraryService,
    tokens: TokenService,
    asked: FeedbackToWithdraw,
) -> None:
    """Take a judgement back, if there is one: of the answer, or of one hit of it."""
    shown = tokens.read(asked.token)
    _judged(caller, registry, shown).feedback_submission.withdraw(shown, asked.image_id)


def _scope(
    registry: CollectionRegistry, namespace: str, collection: str | None, days: int | None
) -> Scope:
    if collection is None:
        return Scope(namespace, days=days)
    return Scope(namespace, registry.find(namespace, collection).collection.id, days)


@router.get("/feedback/summary", responses=described(404, 422, 503))
@needs("admin")
def summarise_feedback(
    registry: LibraryService,
    summaries: SummaryService,
    namespace: InNamespace,
    collection: InOneCollection = None,
    days: Annotated[
        int, Query(ge=1, le=MAX_DAYS, description="judgements of so many days")
    ] = DEFAULT_DAYS,
) -> FeedbackSummary:
    """Mean ratings by model and day, the worst queries, and whether judgements help."""
    scope = _scope(registry, namespace, collection, days)
    return FeedbackSummary.of(summaries.summary(scope))


@router.get(
    "/feedback/export",
    response_class=StreamingResponse,
    responses={200: {"content": EXPORTS}, **described(404, 422, 503)},
)
@needs("admin")
def export_feedback(
    registry: LibraryService,
    summaries: SummaryService,
    namespace: InNamespace,
    collection: InOneCollection = None,
    kind: Annotated[
        Literal["csv", "jsonl"],
        Query(alias="format", description="a table, or a JSON object a line"),
    ] = "csv",
) -> StreamingResponse:
    """All judgements, oldest first. In CSV a text that begins like a formula is quoted by '."""
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
