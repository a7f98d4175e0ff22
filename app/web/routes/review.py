"""Review of pictures that gates hold: listed, seen, approved or rejected, by admins alone."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.catalog.images.held_images import HeldImage
from app.catalog.review_queue import ReviewQueue
from app.pictures.thumbnails import THUMBNAIL_SIDES
from app.runtime.known_collections import KnownCollection
from app.search.search_request import DEFAULT_LIMIT
from app.web.dependencies import ReviewService, ServiceAddresses, Utf8Query
from app.web.files.file_threads import on_file_thread
from app.web.middleware.guarded_route import Guarded, needs
from app.web.pagination import Cursor, Limit, page_of, read_number
from app.web.payloads.field_types import MAX_ID
from app.web.payloads.labels.review import (
    HeldPicture,
    ReviewDecision,
    ReviewDecisions,
    ReviewPage,
    ReviewResult,
)
from app.web.problems.problems import problem_responses
from app.web.routes.collections import Found
from app.web.routes.images.images import BINARY, DEFAULT_THUMBNAIL

router = APIRouter(
    prefix="/api/v1/collections/{name}/review",
    tags=["labels"],
    dependencies=[Utf8Query],
    route_class=Guarded,
)

LISTING = "review"
HeldId = Annotated[
    int, Path(ge=1, le=MAX_ID, description="the id of a picture that is held", examples=[112])
]
"""Not that of a picture which callers see: nobody sees it yet."""


@router.get("", responses=problem_responses(404, 422, 503))
@needs("admin")
def list_review(
    found: Found,
    review: ReviewService,
    addresses: ServiceAddresses,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> ReviewPage:
    """The pictures that gates hold; nobody sees them elsewhere until you decide on them."""
    after = 0 if cursor is None else read_number(LISTING, cursor)
    here = found.collection
    held, more = page_of(LISTING, review.listed(here.id, after, limit + 1), limit)

    def shown(one: HeldImage) -> HeldPicture:
        address = addresses.review_thumbnail(here.namespace, here.name, one.id)
        return HeldPicture.of(one, address)

    return ReviewPage(
        data=[shown(one) for one in held], total=review.count(here.id), next_cursor=more
    )


@router.post("", responses=problem_responses(400, 404, 413, 422, 503))
@needs("admin")
def decide_reviews(found: Found, review: ReviewService, body: ReviewDecisions) -> ReviewResult:
    """Approve or reject up to 500 held pictures at once."""
    return _decided(found, review, body.ids, body)


@router.post("/{image_id}", responses=problem_responses(400, 404, 413, 422, 503))
@needs("admin")
def decide_review(
    found: Found, review: ReviewService, image_id: HeldId, body: ReviewDecision
) -> ReviewResult:
    """Approve a held picture, which shows it, or reject it, which deletes it.

    A file in your own folder or bucket stays there.
    """
    review.require(found.collection.id, image_id)
    return _decided(found, review, [image_id], body)


def _decided(
    found: KnownCollection,
    review: ReviewQueue,
    ids: list[int],
    body: ReviewDecision | ReviewDecisions,
) -> ReviewResult:
    decided = review.decide(found.collection.id, ids, body.decision)
    return ReviewResult(decided=len(decided), ids=decided)


@router.get(
    "/{image_id}/thumbnail",
    response_class=Response,
    responses={
        200: {"content": {"image/webp": BINARY}},
        **problem_responses(404, 413, 415, 422, 503),
    },
)
@needs("admin")
@on_file_thread
def get_review_thumbnail(
    found: Found,
    review: ReviewService,
    image_id: HeldId,
    size: Annotated[
        int, Query(ge=1, le=THUMBNAIL_SIDES[-1], description="longest side, pixels")
    ] = DEFAULT_THUMBNAIL,
) -> Response:
    """A held picture as a WebP; `size` is rounded up to one of 64, 128, 256, 512 and 1024."""
    small = review.thumbnail(found.collection.id, image_id, size)
    return Response(
        small.data, media_type="image/webp", headers={"Cache-Control": "private, no-store"}
    )
