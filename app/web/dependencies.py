"""Dependencies of the routes: services, the caller, namespace and collection.

Those that do not query the database are `async`: FastAPI runs all others on threads, which costs
more than they do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote_to_bytes

from fastapi import Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.access.authentication import Caller
from app.catalog.collections import DEFAULT_NAME, DEFAULT_NAMESPACE
from app.catalog.external_ids import Placement
from app.catalog.gallery import Gallery
from app.catalog.review_queue import ReviewQueue
from app.database.tables import Image
from app.errors import ImageNotFound, JobNotFound, QueryRejected, RoleRejected
from app.feedback.summaries import Summaries
from app.ingest.jobs.job_submission import JobSubmission
from app.ingest.uploads import Outcome, Upload
from app.pictures.thumbnails import THUMBNAIL_SIDES
from app.runtime.annotating.annotators import Annotators
from app.runtime.collection_registry import CollectionRegistry, OpenCollection
from app.runtime.coverage import CoverageReport
from app.runtime.reindexing.reindexing import Reindexing
from app.search.cursors import Cursors
from app.search.feedback_tokens import FeedbackTokens
from app.sources.sidecars.annotations import Annotation
from app.web.addresses import Addresses, PictureAddresses
from app.web.payloads.field_types import MAX_ID, Name


async def _gallery(request: Request) -> Gallery:
    service: Gallery = request.app.state.services.gallery
    return service


async def _review(request: Request) -> ReviewQueue:
    service: ReviewQueue = request.app.state.services.review
    return service


async def _registry(request: Request) -> CollectionRegistry:
    service: CollectionRegistry = request.app.state.services.registry
    return service


async def _annotators(request: Request) -> Annotators:
    service: Annotators = request.app.state.services.annotators
    return service


async def _coverage(request: Request) -> CoverageReport:
    service: CoverageReport = request.app.state.services.coverage
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


async def _addresses(request: Request) -> Addresses:
    addresses: Addresses = request.app.state.addresses
    return addresses


async def _caller(request: Request) -> Caller:
    """Who makes the request; the guard has looked it up."""
    caller: Caller = request.state.caller
    return caller


CurrentCaller = Annotated[Caller, Depends(_caller)]
ThumbnailSize = Annotated[
    int | None,
    Query(
        ge=1,
        le=THUMBNAIL_SIDES[-1],
        description="longest side of the thumbnails that the answer has addresses of, pixels; by "
        "default 256",
    ),
]


# FastAPI takes longer to solve a dependency than these take: they have none of their own.


async def _answer_addresses(
    request: Request, thumbnail_size: ThumbnailSize = None
) -> PictureAddresses:
    """The addresses for an answer: signed for callers with a key, since an `<img>` has none."""
    caller: Caller = request.state.caller
    addresses: Addresses = request.app.state.addresses
    signer = request.app.state.services.address_signer if caller.key_id is not None else None
    return PictureAddresses(addresses.root_path, signer, caller.home, thumbnail_size)


async def _reindexing(request: Request) -> Reindexing:
    found: Reindexing = request.app.state.services.reindexing
    return found


RegistryService = Annotated[CollectionRegistry, Depends(_registry)]
ReindexingService = Annotated[Reindexing, Depends(_reindexing)]
AnnotatorService = Annotated[Annotators, Depends(_annotators)]
CoverageService = Annotated[CoverageReport, Depends(_coverage)]
CursorService = Annotated[Cursors, Depends(_cursors)]
TokenService = Annotated[FeedbackTokens, Depends(_tokens)]
SummaryService = Annotated[Summaries, Depends(_summaries)]
GalleryService = Annotated[Gallery, Depends(_gallery)]
ReviewService = Annotated[ReviewQueue, Depends(_review)]
ServiceAddresses = Annotated[Addresses, Depends(_addresses)]
AnswerAddresses = Annotated[PictureAddresses, Depends(_answer_addresses)]


MODEL_HEADER = "X-Model"


@dataclass(frozen=True)
class Storing:
    """What takes pictures in."""

    registry: CollectionRegistry
    gallery: Gallery
    review: ReviewQueue

    def store(
        self,
        opened: OpenCollection,
        files: Sequence[Upload],
        caption: str | None,
        metadata: Mapping[str, Any],
    ) -> list[Outcome]:
        """As `Uploads.store`, into the generation that is active now."""
        return self.registry.on_current(
            opened.collection.id, lambda now: now.uploads.store(files, caption, metadata)
        )

    def name(
        self, outcome: Outcome, external_id: str, said: Annotation
    ) -> tuple[Image, Placement | Literal["held"]]:
        """As `Gallery.replace`; a picture that is held gets the external id once it is approved.

        Raises the error for which the picture was refused.
        """
        image = outcome.stored()
        if outcome.status == "held":
            self.review.want_external_id(image.id, external_id)
            return image, "held"
        return self.gallery.replace(image.id, external_id, said)


async def _storing(
    registry: RegistryService, gallery: GalleryService, review: ReviewService
) -> Storing:
    return Storing(registry, gallery, review)


StoringService = Annotated[Storing, Depends(_storing)]


def chosen_namespace(caller: Caller, namespace: str | None) -> str:
    """The named namespace, or else the caller's own.

    Raises RoleRejected if the caller has no access to it.
    """
    if namespace is None:
        return caller.home
    if not caller.reaches(namespace):
        whose = "Without a key this library is open in" if caller.is_stranger else "Your key is for"
        raise RoleRejected(
            f"{whose} the namespace {caller.home}, not for {namespace}: leave `namespace` out, or "
            "send a key that was made for it."
        )
    return namespace


async def _namespace(
    request: Request,
    namespace: Annotated[
        Name | None,
        Query(
            description="the collection's namespace; if omitted, the key's own, or `default` "
            "without keys",
            examples=["default"],
        ),
    ] = None,
) -> str:
    return chosen_namespace(request.state.caller, namespace)


InNamespace = Annotated[str, Depends(_namespace)]
CollectionName = Annotated[Name, Query(description="the collection's name")]


def _in_collection(
    registry: RegistryService, namespace: InNamespace, collection: CollectionName = DEFAULT_NAME
) -> OpenCollection:
    return registry.open(namespace, collection)


InCollection = Annotated[OpenCollection, Depends(_in_collection)]


async def _default_collection(registry: RegistryService, caller: CurrentCaller) -> OpenCollection:
    """The collection `default` of the caller's namespace; the legacy endpoints work on it."""
    return await _open(registry, caller.home, DEFAULT_NAME)


async def _flat_collection(
    request: Request, namespace: InNamespace, collection: CollectionName = DEFAULT_NAME
) -> OpenCollection:
    """As `_in_collection`, but for the default collection it seldom queries the database."""
    return await _open(request.app.state.services.registry, namespace, collection)


async def _open(registry: CollectionRegistry, namespace: str, collection: str) -> OpenCollection:
    is_default = (namespace, collection) == (DEFAULT_NAMESPACE, DEFAULT_NAME)
    if is_default and (current := registry.current_default()):
        return current
    return await run_in_threadpool(registry.open, namespace, collection)


DefaultCollection = Annotated[OpenCollection, Depends(_default_collection)]
FlatCollection = Annotated[OpenCollection, Depends(_flat_collection)]


async def _signature(
    caller: CurrentCaller,
    namespace: Annotated[
        Name | None, Query(description="part of a signed address", examples=["default"])
    ] = None,
    expires: Annotated[
        str | None,
        Query(description="part of a signed address: seconds since 1970", examples=["1767225600"]),
    ] = None,
    signature: Annotated[
        str | None,
        Query(
            description="part of a signed address: it stands for the key", examples=["5f0c" * 16]
        ),
    ] = None,
) -> bool:
    """Whether the address is signed; the guard has checked the signature, unless there is a key.

    Raises RoleRejected if the namespace is not the caller's.
    """
    chosen_namespace(caller, namespace)
    return signature is not None


def _visible_image(
    registry: RegistryService,
    gallery: GalleryService,
    caller: CurrentCaller,
    image_id: Annotated[int, Path(ge=1, le=MAX_ID, description="the picture's id", examples=[112])],
) -> int:
    """The id of a picture that the caller may see. Raises ImageNotFound."""
    if caller.namespace is None:  # may see all; a missing picture is reported later
        return image_id
    if caller.namespace == registry.namespace_of(gallery.get(image_id).collection_id):
        return image_id
    raise ImageNotFound(f"There is no picture with id {image_id}.")


def _visible_job(
    registry: RegistryService,
    caller: CurrentCaller,
    job_id: Annotated[int, Path(ge=1, le=MAX_ID, description="the job's id", examples=[1])],
) -> int:
    """The id of a job that the caller may see. Raises JobNotFound."""
    if not caller.reaches(registry.default.job_submission.job(job_id).namespace):
        raise JobNotFound(f"There is no job with id {job_id}.")
    return job_id


IsSigned = Annotated[bool, Depends(_signature)]
ImageId = Annotated[int, Depends(_visible_image)]
JobId = Annotated[int, Depends(_visible_job)]


async def _job_submission(registry: RegistryService) -> JobSubmission:
    """The service of the default collection, which knows the jobs of all collections."""
    return registry.default.job_submission


JobSubmissionService = Annotated[JobSubmission, Depends(_job_submission)]


def model_header(opened: OpenCollection) -> str:
    """The model's name for a header: so clients can tell the demo model from a real one."""
    return quote(opened.index.space.name, safe=" /:-")


async def add_model_header(opened: FlatCollection, response: Response) -> None:
    """Name the model in a header."""
    response.headers[MODEL_HEADER] = model_header(opened)


async def require_utf8(request: Request) -> None:
    """Raises QueryRejected if the query string is not UTF-8: it would be searched for as �."""
    try:
        unquote_to_bytes(request.scope["query_string"]).decode()
    except UnicodeDecodeError as error:
        raise QueryRejected("The query is not valid UTF-8: encode it as such.") from error


ModelHeader = Depends(add_model_header)
Utf8Query = Depends(require_utf8)
