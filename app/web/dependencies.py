"""What routes are given: the services of the application, and the picture in a request.

What asks no database is `async`: FastAPI sends the others to threads, at a cost beyond their own.
"""

from typing import Annotated
from urllib.parse import quote, unquote_to_bytes

from fastapi import Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from app.access.authentication import Caller
from app.catalog.collections import DEFAULT_NAME, DEFAULT_NAMESPACE
from app.catalog.gallery import Gallery
from app.errors import ImageNotFound, JobNotFound, QueryRejected, RoleRejected, UploadRejected
from app.feedback.summaries import Summaries
from app.ingest.job_submission import JobSubmission
from app.runtime.collection_registry import CollectionRegistry, OpenCollection
from app.search.cursors import Cursors
from app.search.feedback_tokens import FeedbackTokens
from app.web.payloads.field_types import MAX_ID, Name


async def _gallery(request: Request) -> Gallery:
    service: Gallery = request.app.state.services.gallery
    return service


async def _library(request: Request) -> CollectionRegistry:
    service: CollectionRegistry = request.app.state.services.registry
    return service


async def _cursors(request: Request) -> Cursors:
    service: Cursors = request.app.state.services.cursors
    return service


async def _tokens(request: Request) -> FeedbackTokens:
    service: FeedbackTokens = request.app.state.services.tokens
    return service


async def _summaries(request: Request) -> Summaries:
    service: Summaries = request.app.state.services.summaries
    return service


async def _caller(request: Request) -> Caller:
    """Who asks: the guard knows."""
    caller: Caller = request.state.caller
    return caller


LibraryService = Annotated[CollectionRegistry, Depends(_library)]
CursorService = Annotated[Cursors, Depends(_cursors)]
TokenService = Annotated[FeedbackTokens, Depends(_tokens)]
SummaryService = Annotated[Summaries, Depends(_summaries)]
GalleryService = Annotated[Gallery, Depends(_gallery)]
CurrentCaller = Annotated[Caller, Depends(_caller)]


def chosen_namespace(caller: Caller, namespace: str | None) -> str:
    """The namespace that is meant, the caller's own unless one is named. Raises RoleRejected."""
    if namespace is None:
        return caller.home
    if not caller.reaches(namespace):
        raise RoleRejected(f"Your key is of the namespace {caller.home}, not of {namespace}.")
    return namespace


async def _namespace(
    caller: CurrentCaller,
    namespace: Annotated[
        Name | None,
        Query(
            description="of the collection; unless given, the key's own, without keys default",
            examples=["default"],
        ),
    ] = None,
) -> str:
    return chosen_namespace(caller, namespace)


InNamespace = Annotated[str, Depends(_namespace)]


def _in_collection(
    registry: LibraryService,
    namespace: InNamespace,
    collection: Annotated[Name, Query(description="the collection's name")] = DEFAULT_NAME,
) -> OpenCollection:
    return registry.open(namespace, collection)


InCollection = Annotated[OpenCollection, Depends(_in_collection)]


async def _home(registry: LibraryService, caller: CurrentCaller) -> OpenCollection:
    """What the flat endpoints work on: the collection `default` of the caller's namespace."""
    if caller.home == DEFAULT_NAMESPACE:
        return registry.default
    return await run_in_threadpool(registry.open, caller.home, DEFAULT_NAME)


Home = Annotated[OpenCollection, Depends(_home)]


def _reached_image(
    registry: LibraryService,
    gallery: GalleryService,
    caller: CurrentCaller,
    image_id: Annotated[int, Path(ge=1, le=MAX_ID, description="the picture's id", examples=[112])],
) -> int:
    """The id of a picture that the caller may see. Raises ImageNotFound."""
    if caller.namespace is None:  # sees all: what is not there is said later
        return image_id
    if caller.namespace == registry.namespace_of(gallery.get(image_id).collection_id):
        return image_id
    raise ImageNotFound(f"There is no picture with id {image_id}.")


def _reached_job(
    registry: LibraryService,
    caller: CurrentCaller,
    job_id: Annotated[int, Path(ge=1, le=MAX_ID, description="the job's id", examples=[1])],
) -> int:
    """The id of a job that the caller may see. Raises JobNotFound."""
    if not caller.reaches(registry.default.job_submission.job(job_id).namespace):
        raise JobNotFound(f"There is no job with id {job_id}.")
    return job_id


ImageId = Annotated[int, Depends(_reached_image)]
JobId = Annotated[int, Depends(_reached_job)]


async def _intake(registry: LibraryService) -> JobSubmission:
    """Knows the jobs of all collections."""
    return registry.default.job_submission


IntakeService = Annotated[JobSubmission, Depends(_intake)]


async def name_model(home: Home, response: Response) -> None:
    """Say in a header which model answers: `demo model` is never mistaken for a real one."""
    response.headers["X-Model"] = quote(home.index.space.name, safe=" /:-")


async def require_utf8(request: Request) -> None:
    """Refuse an address whose percent signs are no UTF-8: it would be searched for as �.

    Raises QueryRejected.
    """
    try:
        unquote_to_bytes(request.scope["query_string"]).decode()
    except UnicodeDecodeError as error:
        raise QueryRejected("The query is not valid UTF-8: encode it as such.") from error


async def _sent_picture(request: Request) -> bytes:
    """The multipart field `file`, or else the whole body."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        data = await request.body()
    else:
        data = await _sent_file(request)
    if not data:
        raise UploadRejected("Send a picture: as multipart field `file`, or as the body itself.")
    return data


async def _sent_file(request: Request) -> bytes:
    try:
        async with request.form() as form:
            file = form.get("file")
            return await file.read() if isinstance(file, UploadFile) else b""
    except UnicodeError as error:  # the client names a charset that its form does not keep to
        raise UploadRejected("The form is not in the charset that it names.") from error


SentPicture = Annotated[bytes, Depends(_sent_picture)]
NamedModel = Depends(name_model)
Utf8 = Depends(require_utf8)
