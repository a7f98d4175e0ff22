"""Several pictures of a collection at once: change, move, restore, download."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from app.catalog.images.image_changes import change_many
from app.catalog.images.image_moves import move_many
from app.catalog.zip_stream import MAX_ZIP_BYTES, zipped
from app.sources.sidecars.annotations import check_caption
from app.web.callers import InNamespace
from app.web.dependencies import GalleryService, RegistryService, Utf8Query
from app.web.files.file_threads import file_limiter, on_file_thread
from app.web.middleware.guarded_route import Guarded, needs
from app.web.payloads.field_types import MAX_ID
from app.web.payloads.selections import (
    MAX_SELECTED,
    ImageMoveResult,
    ImageRestorationResult,
    ImageUpdateResult,
    Selection,
    SelectionMove,
    SelectionMoveResult,
    SelectionUpdate,
    SelectionUpdateResult,
)
from app.web.problems.problems import problem_responses
from app.web.routes.collections import Found

router = APIRouter(
    prefix="/api/v1/collections",
    tags=["collections"],
    dependencies=[Utf8Query],
    route_class=Guarded,
)

ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
ATTACHMENT = {"Content-Disposition": 'attachment; filename="pictures.zip"'}


@router.post("/{name}/images/change", responses=problem_responses(400, 404, 413, 422, 503))
@needs("writer")
def update_collection_images(
    found: Found, gallery: GalleryService, body: SelectionUpdate
) -> SelectionUpdateResult:
    """Change captions, tags and metadata of up to 500 pictures at once."""
    change = body.change()
    if change.caption:
        check_caption(change.caption)
    outcomes = change_many(gallery.sessions, found.collection.id, body.ids, change)
    changed = sum(outcome.status == "changed" for outcome in outcomes)
    shown = [ImageUpdateResult(**vars(outcome)) for outcome in outcomes]
    return SelectionUpdateResult(changed=changed, results=shown)


@router.post("/{name}/images/move", responses=problem_responses(400, 404, 413, 422, 503, 507))
@needs("writer")
@on_file_thread
def move_collection_images(
    found: Found,
    registry: RegistryService,
    namespace: InNamespace,
    gallery: GalleryService,
    body: SelectionMove,
) -> SelectionMoveResult:
    """Move up to 500 pictures, with captions and metadata, to another collection of the same model.

    Files in your own folders stay where they are.
    """
    target = registry.find(namespace, body.collection)
    places = (found.collection, found.index), (target.collection, target.index)
    outcomes = move_many(gallery.sessions, gallery.stores, *places, body.ids)
    moved = sum(outcome.status == "moved" for outcome in outcomes)
    return SelectionMoveResult(
        moved=moved, results=[ImageMoveResult(**vars(one)) for one in outcomes]
    )


@router.post("/{name}/images/restore", responses=problem_responses(400, 404, 413, 422, 503))
@needs("writer")
def restore_collection_images(
    found: Found, gallery: GalleryService, body: Selection
) -> ImageRestorationResult:
    """Bring back pictures that were deleted with `restorable` less than 10 minutes ago."""
    restored = gallery.restore(body.ids, found.collection.id)
    return ImageRestorationResult(restored=len(restored), ids=restored)


@router.get(
    "/{name}/images/zip",
    response_class=StreamingResponse,
    responses={
        200: {"content": ZIP},
        **problem_responses(404, 413, 422, 503),
    },
)
@needs("reader")
@on_file_thread
def download_collection_images(
    found: Found,
    gallery: GalleryService,
    ids: Annotated[
        list[Annotated[int, Query(ge=1, le=MAX_ID)]],
        Query(
            min_length=1,
            max_length=MAX_SELECTED,
            description=f"ids of pictures, {MAX_ZIP_BYTES / 1e9:.0f} GB at most; repeat it",
            examples=[[112]],
        ),
    ],
) -> StreamingResponse:
    """The original files of up to 500 pictures, 2 GB at most, as a zip with their own names.

    Names that occur twice are numbered; a file that cannot be read is named in `missing.txt`.
    """
    pieces = zipped(gallery, found.collection.id, ids)
    return StreamingResponse(_on_file_threads(pieces), 200, ATTACHMENT, "application/zip")


async def _on_file_threads(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, each read on a thread for files: a disk may hang."""
    while piece := await to_thread.run_sync(next, pieces, None, limiter=file_limiter()):
        yield piece
