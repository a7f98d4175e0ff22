"""Pictures by the ids that a user's own system has for them."""

from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Path, Response, UploadFile

from app.database.tables import Image
from app.ingest.upload_stages import Upload
from app.pictures.metadata.description import MAX_CAPTION_CHARACTERS
from app.sources.sidecars.annotations import (
    MAX_METADATA_CHARACTERS,
    Annotation,
    check_caption,
    parse_metadata,
)
from app.web.addresses import Addresses
from app.web.bodies.sent_pictures import in_memory
from app.web.callers import AnswerAddresses
from app.web.dependencies import GalleryService, Utf8Query
from app.web.middleware.guarded_route import Guarded, needs
from app.web.payloads.field_types import ExternalId, printable
from app.web.payloads.images import ImageDetails
from app.web.problems.problems import problem_responses
from app.web.routes.collections import Found, Opened
from app.web.routes.images.images import VERSION, record_etag
from app.web.storing import StoringService

router = APIRouter(
    prefix="/api/v1/collections/{name}/images/by-external-id",
    tags=["images"],
    dependencies=[Utf8Query],
    route_class=Guarded,
)

STATUS_CODES = {"new": 201, "held": 202}  # by what became of the picture; 200 for all else
WHERE_APPROVED = {
    "Location": {"schema": {"type": "string"}, "description": "the picture's, once it is approved"}
}
PLACE = "/{external_id:path}"  # an external id may have slashes

InPath = Annotated[ExternalId, Path(description="unique in the collection", examples=["sku-4711"])]


def _named(gallery: GalleryService, found: Found, external_id: InPath) -> Image:
    return gallery.by_external_id(found.collection.id, external_id)


Named = Annotated[Image, Depends(_named)]


@router.get(PLACE, responses={200: {"headers": VERSION}, **problem_responses(404, 422, 503)})
@needs("reader")
def get_external_image(
    addresses: AnswerAddresses, image: Named, response: Response
) -> ImageDetails:
    """Everything known about the picture that has this external id."""
    response.headers["ETag"] = record_etag(image)
    return ImageDetails.of(image, addresses)


@router.put(
    PLACE,
    responses={
        200: {"headers": VERSION, "description": "It replaced a picture, or was there already"},
        201: {"model": ImageDetails, "headers": VERSION, "description": "It is new"},
        202: {
            "model": ImageDetails,
            "headers": {**VERSION, **WHERE_APPROVED},
            "description": "It is held for review, and gets the id once it is approved",
        },
        **problem_responses(400, 404, 409, 413, 415, 422, 503, 507),
    },
)
@needs("writer", "upload")
def put_external_image(
    storing: StoringService,
    opened: Opened,
    addresses: AnswerAddresses,
    external_id: InPath,
    response: Response,
    file: Annotated[UploadFile, File(description="the picture")],
    caption: Annotated[
        str | None, Form(max_length=MAX_CAPTION_CHARACTERS, description="its caption")
    ] = None,
    metadata: Annotated[
        str | None,
        Form(
            max_length=MAX_METADATA_CHARACTERS,
            description="its metadata: a JSON object",
            examples=['{"season": "summer"}'],
        ),
    ] = None,
) -> ImageDetails:
    """Store a picture under this external id, searchable at once; it replaces one that has the id.

    What was said of that one stays, unless the form says something else. The new picture has an id
    of its own. Sending the same again changes nothing.
    """
    described_by = {} if metadata is None else parse_metadata(metadata)
    sent = Annotation(None if caption is None else check_caption(caption), described_by)
    with in_memory(file) as (data,):
        upload = Upload(printable(file.filename or external_id), data)
        (outcome,) = storing.store(opened, [upload], sent.caption, sent.metadata)
    image, placement = storing.name(outcome, external_id, sent)
    response.status_code = STATUS_CODES.get(placement, 200)
    if placement == "held":
        response.headers["Location"] = Addresses(addresses.root_path).image(image.id)
    response.headers["ETag"] = record_etag(image)
    return ImageDetails.of(image, addresses)


@router.delete(PLACE, status_code=204, responses=problem_responses(404, 422, 503))
@needs("writer")
def delete_external_image(gallery: GalleryService, image: Named) -> None:
    """Forget the picture that has this external id; a file in your own folder stays."""
    gallery.delete(image.id)
