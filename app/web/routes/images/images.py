"""Pictures by id: record, file, thumbnail, change, deletion.

Their home is below /api/v1; the flat addresses are aliases with the same functions.
"""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse, RedirectResponse

from app.catalog.gallery import thumbnail_tag
from app.catalog.images.image_versions import version_of
from app.catalog.originals import InBucket, OnDisk
from app.database.tables import Image
from app.pictures.frames import MAX_FRAMES
from app.pictures.thumbnails import THUMBNAIL_SIDES
from app.web.aliases import API, alias_of, at_both_addresses
from app.web.callers import AnswerAddresses, ImageId
from app.web.dependencies import GalleryService
from app.web.files.conditional_requests import is_expected, matches_etag
from app.web.files.file_headers import FileHeaders
from app.web.files.file_threads import on_file_thread
from app.web.files.original_response import (
    OriginalResponse,
    content_disposition,
    single_range,
    streamed_response,
)
from app.web.middleware.guarded_route import Guarded, needs
from app.web.payloads.images import FlatImageDetails, ImageDetails, ImageUpdate
from app.web.problems.problems import problem_responses

router = APIRouter(route_class=Guarded)


DEFAULT_THUMBNAIL = 256  # pixels
MAX_REDIRECT_SECONDS = 3_600  # for which a browser may reuse a redirect into a bucket

SCRIPT_MODES = {"cors", "same-origin"}
"""A page's script must not be redirected into a bucket: the page's policy has no other hosts."""

BINARY = {"schema": {"type": "string", "format": "binary"}}


VERSION = {"ETag": {"schema": {"type": "string"}, "description": "the record's version"}}


def record_etag(image: Image) -> str:
    """The ETag of a picture's record: of what is said of it, and of which file it is."""
    return f'"{version_of(image)}"'


@router.get(
    f"{API}/images/{{image_id}}",
    tags=["images"],
    responses={200: {"headers": VERSION}, **problem_responses(404, 422, 503)},
)
@needs("reader")
def get_image(
    gallery: GalleryService, addresses: AnswerAddresses, image_id: ImageId, response: Response
) -> ImageDetails:
    """Everything known about one picture."""
    image = gallery.get(image_id)
    response.headers["ETag"] = record_etag(image)
    return ImageDetails.of(image, addresses)


@router.get(
    "/images/{image_id}",
    tags=["flat"],
    description=alias_of("GET", f"{API}/images/{{image_id}}")
    + " It gives the `path` of uploads too.",
    responses={200: {"headers": VERSION}, **problem_responses(404, 422, 503)},
)
@needs("reader")
def flat_get_image(
    gallery: GalleryService, addresses: AnswerAddresses, image_id: ImageId, response: Response
) -> FlatImageDetails:
    """Everything known about one picture."""
    image = gallery.get(image_id)
    response.headers["ETag"] = record_etag(image)
    return FlatImageDetails.of(image, addresses)


@at_both_addresses(
    router,
    "GET",
    "/images/{image_id}/file",
    "images",
    response_class=FileResponse,
    responses={
        200: {"content": {"image/*": BINARY}},
        206: {"description": "One range of it", "content": {"image/*": BINARY}},
        304: {"description": "The client has it"},
        307: {"description": "It lies in a bucket: read it there"},
        **problem_responses(404, 416, 422, 503),
    },
)
@needs("reader", signed="file")
@on_file_thread
def get_image_file(
    gallery: GalleryService,
    headers_of: FileHeaders,
    image_id: ImageId,
    request: Request,
    sec_fetch_mode: Annotated[str | None, Header(include_in_schema=False)] = None,
    byte_range: Annotated[str | None, Header(alias="range", include_in_schema=False)] = None,
    if_range: Annotated[str | None, Header(include_in_schema=False)] = None,
    if_none_match: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """The original file."""
    original = gallery.original(
        image_id,
        may_redirect=sec_fetch_mode not in SCRIPT_MODES,
        byte_range=single_range(byte_range),
        if_range=None if if_range is None else if_range.strip('"'),
    )
    content_hash = original.content_hash if isinstance(original, OnDisk) else None
    safe = headers_of(content_hash)
    if isinstance(original, InBucket):
        fresh = f"private, max-age={min(original.seconds // 2, MAX_REDIRECT_SECONDS)}"
        return RedirectResponse(original.url, headers={**safe, "Cache-Control": fresh})
    name = content_disposition(original.name, original.media_type)
    headers = {**safe, "Content-Disposition": name}
    if isinstance(original, OnDisk):
        return OriginalResponse(original, headers)
    is_head = getattr(request.state, "is_head", False)
    return streamed_response(original, headers, if_none_match, is_head=is_head)


@at_both_addresses(
    router,
    "GET",
    "/images/{image_id}/thumbnail",
    "images",
    response_class=Response,
    responses={
        200: {"content": {"image/webp": BINARY}},
        304: {"description": "The client has it"},
        **problem_responses(404, 413, 415, 422, 503),
    },
)
@needs("reader", signed="thumbnail")
@on_file_thread
def get_image_thumbnail(
    gallery: GalleryService,
    headers_of: FileHeaders,
    image_id: ImageId,
    size: Annotated[
        int, Query(ge=1, le=THUMBNAIL_SIDES[-1], description="longest side, pixels")
    ] = DEFAULT_THUMBNAIL,
    page: Annotated[
        int, Query(ge=1, le=MAX_FRAMES, description="page of a document, or frame, from 1")
    ] = 1,
    if_none_match: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """A WebP; `size` is rounded up to one of 64, 128, 256, 512 and 1024."""

    def headers(content_hash: bytes) -> dict[str, str]:
        return {**headers_of(content_hash), "ETag": f'"{thumbnail_tag(content_hash, size, page)}"'}

    known = headers(gallery.content_hash(image_id))
    if matches_etag(known["ETag"], if_none_match):
        return Response(status_code=304, headers=known)
    small = gallery.thumbnail(image_id, size, page)
    return Response(small.data, media_type="image/webp", headers=headers(small.content_hash))


@at_both_addresses(
    router,
    "DELETE",
    "/images/{image_id}",
    "images",
    status_code=204,
    responses=problem_responses(404, 422, 503),
)
@needs("writer")
def delete_image(gallery: GalleryService, image_id: ImageId) -> None:
    """Forget a picture. An uploaded file is deleted; one in your own folder stays."""
    gallery.delete(image_id)


@router.patch(
    f"{API}/images/{{image_id}}",
    tags=["images"],
    responses={200: {"headers": VERSION}, **problem_responses(400, 404, 409, 412, 413, 422, 503)},
)
@needs("writer")
def update_image(
    gallery: GalleryService,
    addresses: AnswerAddresses,
    image_id: ImageId,
    changes: ImageUpdate,
    response: Response,
    if_match: Annotated[
        str | None,
        Header(
            description="the ETag of the record that you have read: the picture is changed only if "
            "it is still the same",
            examples=['"0f3a9c1be2d84756a1b2c3d4e5f60718"'],
        ),
    ] = None,
) -> ImageDetails:
    """Change the caption, metadata or external id of a picture; what you do not send stays."""
    expected = None if if_match is None else partial(is_expected_version, if_match)
    image = gallery.change(image_id, *changes.to_domain(), expected)
    response.headers["ETag"] = record_etag(image)
    return ImageDetails.of(image, addresses)


def is_expected_version(if_match: str, version: str) -> bool:
    """Whether the header If-Match has this version."""
    return is_expected(f'"{version}"', if_match)
