"""The pictures of a collection: list them, upload some, delete many."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse

from app.catalog.filters.filters import parse
from app.errors import FilterRejected
from app.runtime.open_collection import OpenCollection
from app.search.search_request import DEFAULT_LIMIT, SearchRequest
from app.web.bodies.sent_uploads import (
    NOTHING_NEW,
    SentUpload,
    refusal_of,
    status_of_upload,
    store_files,
)
from app.web.callers import AnswerAddresses, InCollection
from app.web.dependencies import CursorService, GalleryService, ServiceAddresses, Utf8Query
from app.web.filter_parameter import FilterText
from app.web.middleware.guarded_route import Guarded, needs
from app.web.pagination import Cursor, Limit
from app.web.payloads.collection_images import (
    MAX_REMOVED,
    ImageDeletion,
    ImageDeletionResult,
    ImagePage,
)
from app.web.payloads.images import UploadedImage, UploadResponse
from app.web.payloads.search.request import FieldName
from app.web.problems.problems import problem_responses
from app.web.routes.collections import Found, Opened
from app.web.storing import StoringService

router = APIRouter(prefix="/api/v1", dependencies=[Utf8Query], route_class=Guarded)

OrderBy = Annotated[
    FieldName | None,
    Query(description="a field, or -field for descending order", examples=["-taken_at"]),
]
LOCATION = {
    "Location": {
        "schema": {"type": "string"},
        "description": "address of the picture, where one file was sent",
    }
}


@dataclass
class _Listing:
    """Which pictures of a collection, and in what order: the parameters of both lists."""

    cursors: CursorService
    addresses: AnswerAddresses
    where: FilterText = None
    order_by: OrderBy = None
    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor = None

    def of(self, opened: OpenCollection) -> ImagePage:
        """A page of them."""
        collection = opened.collection
        request = SearchRequest(
            collection.namespace,
            collection.name,
            limit=self.limit,
            filter=self.where or {},
            order_by=self.order_by,
        )
        if self.cursor is None:
            answer = opened.search.answer(collection, request)
        else:
            answer = opened.search.page(collection, self.cursors.read(self.cursor, request))
        return ImagePage.of(answer, self.cursors, self.addresses)


Listing = Annotated[_Listing, Depends()]


@router.get("/images", tags=["images"], responses=problem_responses(404, 422, 503))
@needs("reader", "search")
def list_images(opened: InCollection, listing: Listing) -> ImagePage:
    """The pictures that pass a filter, ordered by id unless `order_by` is set."""
    return listing.of(opened)


@router.get(
    "/collections/{name}/images", tags=["collections"], responses=problem_responses(404, 422, 503)
)
@needs("reader", "search")
def list_collection_images(opened: Opened, listing: Listing) -> ImagePage:
    """The same as `GET /api/v1/images?collection=…`."""
    return listing.of(opened)


@router.post(
    "/collections/{name}/images",
    tags=["images"],
    summary="Upload pictures",
    response_model=UploadResponse,
    status_code=201,
    responses={
        200: {"model": UploadResponse, "description": NOTHING_NEW},
        201: {"headers": LOCATION},
        207: {"model": UploadResponse, "description": "Some files were refused"},
        **problem_responses(400, 404, 409, 413, 415, 422, 503, 507),
    },
)
@needs("writer", "upload", creates=True)
def upload_images(
    opened: Opened,
    addresses: AnswerAddresses,
    places: ServiceAddresses,
    storing: StoringService,
    sent: SentUpload,
) -> Response:
    """Store pictures and make them searchable at once; `caption` and `metadata` apply to each.

    Archives, URLs and folders are for `POST /api/v1/images`.
    """
    outcomes = store_files(storing, opened, sent)
    if refusal := refusal_of(outcomes):
        return refusal
    body = UploadResponse(data=[UploadedImage.of(outcome, addresses) for outcome in outcomes])
    images = [outcome.image for outcome in outcomes if outcome.image]
    headers = {"Location": places.image(images[0].id)} if len(outcomes) == 1 else None
    return JSONResponse(body.model_dump(mode="json"), status_of_upload(outcomes), headers)


@router.post(
    "/collections/{name}/images/delete",
    tags=["collections"],
    responses=problem_responses(400, 404, 413, 422, 503),
)
@needs("writer")
def delete_collection_images(
    found: Found, gallery: GalleryService, body: ImageDeletion
) -> ImageDeletionResult:
    """Delete pictures by ids or by a filter; files in your own folders stay.

    A filter deletes up to 10,000 at once: repeat the request while `more` is true.
    """
    collection = found.collection
    if body.ids is not None:
        remove = gallery.hide if body.restorable else gallery.remove
        removed, more = remove(body.ids, collection.id), False
    else:
        where = parse(body.filter, collection.filterable)
        if not where.clauses:
            raise FilterRejected(
                "filter: it is empty, and would delete every picture of the collection. "
                'If you mean that, send {"id": {"gt": 0}}.'
            )
        removed, more = gallery.remove_matching(collection.id, where.condition, MAX_REMOVED)
    return ImageDeletionResult(deleted=len(removed), ids=removed, more=more)
