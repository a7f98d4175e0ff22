"""Groups of pictures alike."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.catalog.duplicates import DEFAULT_LIMIT, MAX_LIMIT, Kind
from app.web.dependencies import InCollection
from app.web.middleware.guard import Guarded, needs
from app.web.payloads.duplicates import DuplicatesPage
from app.web.problems import described

router = APIRouter(prefix="/api/v1", tags=["duplicates"], route_class=Guarded)

MAX_OFFSET = 2**63 - 1


@router.get("/duplicates", responses=described(404, 422, 503))
@needs("reader", "search")
def list_duplicates(
    opened: InCollection,
    kind: Annotated[
        Kind,
        Query(description="the same bytes, the same look, or the same meaning to the model"),
    ] = "exact",
    threshold: Annotated[
        float | None,
        Query(
            description="perceptual: differing bits of the hash, a whole number 0 to 16, 6 unless "
            "given; semantic: cosine distance, 0 to 0.5, 0.05 unless given; exact: none",
            examples=[6],
        ),
    ] = None,
    cursor: Annotated[
        int | None, Query(ge=0, le=MAX_OFFSET, description="`next_cursor` of the page before")
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=MAX_LIMIT, description="how many groups at most")
    ] = DEFAULT_LIMIT,
) -> DuplicatesPage:
    """Pictures that are the same or nearly, the largest groups first.

    A group holds all that a chain of near pairs connects. The first `semantic` request on many
    pictures may take 20 seconds and come back `truncated`; each further one continues.
    """
    return DuplicatesPage.of(kind, opened.duplicates.find(kind, threshold, limit, cursor or 0))
