"""Dependencies of the routes: who asks, and which collection, picture or job is asked for.

Those that do not query the database are `async`: FastAPI runs all others on threads, which costs
more than they do.
"""

from typing import Annotated

from fastapi import Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool

from app.access.authentication import Caller
from app.catalog.collections import DEFAULT_NAME, DEFAULT_NAMESPACE
from app.errors import ImageNotFound, JobNotFound, RoleRejected
from app.pictures.thumbnails import THUMBNAIL_SIDES
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.open_collection import OpenCollection
from app.web.addresses import Addresses, PictureAddresses
from app.web.dependencies import GalleryService, RegistryService
from app.web.payloads.field_types import MAX_ID, Name


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


# FastAPI takes longer to solve a dependency than this takes: it has none of its own.
async def _answer_addresses(
    request: Request, thumbnail_size: ThumbnailSize = None
) -> PictureAddresses:
    """The addresses for an answer: signed for callers with a key, since an `<img>` has none."""
    caller: Caller = request.state.caller
    addresses: Addresses = request.app.state.addresses
    signer = request.app.state.services.address_signer if caller.key_id is not None else None
    return PictureAddresses(addresses.root_path, signer, caller.home, thumbnail_size)


AnswerAddresses = Annotated[PictureAddresses, Depends(_answer_addresses)]


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
