"""Collections: create, list, change, delete; list and delete their pictures."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from app.catalog.collections import NewCollection
from app.catalog.filters.filters import parse
from app.encoders.model_pool import ModelName
from app.errors import FilterRejected
from app.index.vector_indexes import Shape
from app.runtime.collection_registry import CollectionRegistry, KnownCollection, OpenCollection
from app.search.search_request import SearchRequest
from app.web.dependencies import (
    AnswerAddresses,
    CurrentCaller,
    CursorService,
    GalleryService,
    InNamespace,
    RegistryService,
    ServiceAddresses,
    Utf8Query,
    chosen_namespace,
)
from app.web.filter_parameter import FilterText
from app.web.middleware.guard import Guarded, needs
from app.web.payloads.collections import (
    MAX_REMOVED,
    CollectionCreate,
    CollectionDetails,
    CollectionPage,
    CollectionUpdate,
    ImageDeletion,
    ImageDeletionResult,
    ImagePage,
)
from app.web.payloads.field_types import Name
from app.web.payloads.search.request import FieldName
from app.web.problems import problem_responses
from app.web.routes.search import Cursor, Limit

router = APIRouter(
    prefix="/api/v1/collections",
    tags=["collections"],
    dependencies=[Utf8Query],
    route_class=Guarded,
)

LOCATION = {"Location": {"schema": {"type": "string"}, "description": "address of the collection"}}
MAX_PAGE = 100
DEFAULT_PAGE = 20


CollectionName = Annotated[Name, Path(description="the collection's name", examples=["holidays"])]


def _opened(
    registry: RegistryService, name: CollectionName, namespace: InNamespace
) -> OpenCollection:
    return registry.open(namespace, name)


def _found(
    registry: RegistryService, name: CollectionName, namespace: InNamespace
) -> KnownCollection:
    return registry.find(namespace, name)


Opened = Annotated[OpenCollection, Depends(_opened)]
Found = Annotated[KnownCollection, Depends(_found)]  # also if its model is unavailable


def _details(registry: CollectionRegistry, known: KnownCollection) -> CollectionDetails:
    return CollectionDetails.of(known, *registry.counts([known]))


@router.post(
    "",
    status_code=201,
    responses={201: {"headers": LOCATION}, **problem_responses(400, 409, 413, 422, 503)},
)
@needs("admin")
def create_collection(
    caller: CurrentCaller,
    registry: RegistryService,
    addresses: ServiceAddresses,
    response: Response,
    body: CollectionCreate,
) -> CollectionDetails:
    """Create a collection with the server's model, or one of COLLECTION_MODELS."""
    namespace = chosen_namespace(caller, body.namespace)
    new = NewCollection(namespace, body.name, body.language, body.fields, body.pages)
    model = None if body.model is None else ModelName(body.model, body.pretrained)
    shape = Shape(body.storage, body.m, body.ef_construction)
    opened = registry.create(new, model, shape)
    response.headers["Location"] = addresses.collection(namespace, body.name)
    return _details(registry, opened)


@router.get("", responses=problem_responses(422, 503))
@needs("reader")
def list_collections(
    registry: RegistryService,
    namespace: InNamespace,
    cursor: Annotated[
        Name | None, Query(description="`next_cursor` of the previous page", examples=["holidays"])
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=MAX_PAGE, description="maximum number of collections on a page")
    ] = DEFAULT_PAGE,
) -> CollectionPage:
    """The collections of the namespace, ordered by name."""
    found = registry.listed(namespace, cursor or "", limit + 1)
    counts = registry.counts(found[:limit])
    shown = [CollectionDetails.of(*one) for one in zip(found, counts, strict=False)]
    more = shown[-1].name if len(found) > limit else None
    return CollectionPage(data=shown, next_cursor=more)


@router.get("/{name}", responses=problem_responses(404, 422, 503))
@needs("reader")
def get_collection(registry: RegistryService, found: Found) -> CollectionDetails:
    """Its model, index, fields and number of pictures."""
    return _details(registry, found)


@router.patch("/{name}", responses=problem_responses(400, 404, 413, 422, 503))
@needs("admin")
def update_collection(
    registry: RegistryService, found: Found, changes: CollectionUpdate
) -> CollectionDetails:
    """Change its language, declared fields or pages; what is left out stays as it is."""
    changed = registry.change(found, changes.language, changes.fields, changes.pages)
    return _details(registry, changed)


@router.delete("/{name}", status_code=204, responses=problem_responses(404, 422, 503))
@needs("admin")
def delete_collection(registry: RegistryService, found: Found) -> None:
    """Delete it with its pictures, vectors, jobs and uploaded files; files in your folders stay."""
    registry.delete(found)


@router.get("/{name}/images", responses=problem_responses(404, 422, 503))
@needs("reader", "search")
def list_collection_images(
    opened: Opened,
    cursors: CursorService,
    addresses: AnswerAddresses,
    where: FilterText = None,
    order_by: Annotated[
        FieldName | None,
        Query(description="a field, or -field for descending order", examples=["-taken_at"]),
    ] = None,
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> ImagePage:
    """Its pictures that pass a filter, ordered by id unless `order_by` is set."""
    collection = opened.collection
    request = SearchRequest(
        collection.namespace, collection.name, limit=limit, filter=where or {}, order_by=order_by
    )
    if cursor is None:
        answer = opened.search.answer(collection, request)
    else:
        answer = opened.search.page(collection, cursors.read(cursor, request))
    return ImagePage.of(answer, cursors, addresses)


@router.post("/{name}/images/delete", responses=problem_responses(400, 404, 413, 422, 503))
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
        where = parse(body.filter, collection.fields)
        if not where.clauses:
            raise FilterRejected(
                "filter: it is empty, and would delete every picture of the collection. "
                'If you mean that, send {"id": {"gt": 0}}.'
            )
        removed, more = gallery.remove_matching(collection.id, where.condition, MAX_REMOVED)
    return ImageDeletionResult(deleted=len(removed), ids=removed, more=more)
