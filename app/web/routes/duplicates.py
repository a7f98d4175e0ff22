"""Duplicates: groups of pictures that are the same, or nearly."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.catalog.duplicates.duplicate_groups import DEFAULT_LIMIT, MAX_LIMIT, Kind
from app.web.callers import AnswerAddresses, InCollection
from app.web.middleware.guarded_route import Guarded, needs
from app.web.pagination import Cursor, read_number
from app.web.payloads.duplicates import DuplicateGroupPage
from app.web.problems.problems import problem_responses

router = APIRouter(prefix="/api/v1", tags=["duplicates"], route_class=Guarded)


@router.get("/duplicates", responses=problem_responses(404, 422, 503))
@needs("reader", "search")
def list_duplicates(
    opened: InCollection,
    addresses: AnswerAddresses,
    kind: Annotated[
        Kind,
        Query(
            description="exact: the same bytes; perceptual: the same look; semantic: close "
            "embeddings"
        ),
    ] = "exact",
    threshold: Annotated[
        float | None,
        Query(
            description="perceptual: differing bits of the hash, 0 to 16, by default 6; semantic: "
            "cosine distance, 0 to 0.5, by default 0.05; exact: not allowed",
            examples=[6],
        ),
    ] = None,
    cursor: Cursor = None,
    limit: Annotated[
        int,
        Query(
            ge=1,
            le=MAX_LIMIT,
            description=f"maximum number of groups on a page, {DEFAULT_LIMIT} by default: each may "
            "have 1,000 pictures",
        ),
    ] = DEFAULT_LIMIT,
) -> DuplicateGroupPage:
    """Groups of duplicates, the largest first.

    A group holds all pictures that a chain of close pairs connects. The first `semantic` request
    on many pictures may take 20 seconds and come back `truncated`; each further request continues.
    """
    start = 0 if cursor is None else read_number(kind, cursor)
    page = opened.duplicates.find(kind, threshold, limit, start)
    return DuplicateGroupPage.of(kind, page, addresses)
