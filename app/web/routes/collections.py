"""Collections: made, looked at, changed, deleted; their pictures listed and removed."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from app.catalog.collections import NewCollection
from app.catalog.filters import parse
from app.encoders.model_pool import ModelName
from app.errors import FilterRejected
from app.index.vector_indexes import Shape
from app.runtime.collection_registry import CollectionRegistry, KnownCollection, OpenCollection
from app.search.search_request import SearchRequest
from app.web.dependencies import (
    CurrentCaller,
    CursorService,
    GalleryService,
    InNamespace,
    LibraryService,
    Utf8,
    chosen_namespace,
)
from app.web.middleware.guard import Guarded, needs
from app.web.payloads.collections import (
    MAX_REMOVED,
    CollectionChanges,
    CollectionDetails,
    CollectionPage,
    CollectionToBe,
    ImagePage,
    Removal,
    Removed,
)
from app.web.payloads.field_types import Name
from app.web.payloads.filter_parameter import FilterText
from app.web.payloads.search import FieldName
from app.web.problems import described
from app.web.routes.search import Cursor, Limit

router = APIRouter(
    prefix="/api/v1/collections", tags=["collections"], dependencies=[Utf8], route_class=Guarded
)

LOCATION = {"Location": {"schema": {"type": "string"}, "description": "the new one's address"}}
MAX_PAGE = 100
DEFAULT_PAGE = 20


CollectionName = Annotated[Name, Path(description="the collection's name", examples=["holidays"])]


def _opened(
    registry: LibraryService, name: CollectionName, namespace: InNamespace
) -> OpenCollection:
    return registry.open(namespace, name)


def _found(
    registry: LibraryService, name: CollectionName, namespace: InNamespace
) -> KnownCollection:
    return registry.find(namespace, name)


Opened = Annotated[OpenCollection, Depends(_opened)]
Found = Annotated[KnownCollection, Depends(_found)]  # also where its model cannot be had


def _details(registry: CollectionRegistry, known: KnownCollection) -> CollectionDetails:
    return CollectionDetails.of(known, *registry.counts([known]))


@router.post(
    "",
    status_code=201,
    responses={201: {"headers": LOCATION}, **described(400, 409, 413, 422, 503)},
)
@needs("admin")
def create_collection(
    caller: CurrentCaller, registry: LibraryService, response: Response, asked: CollectionToBe
) -> CollectionDetails:
    """Make a collection: with the server's model, or one of COLLECTION_MODELS."""
    namespace = chosen_namespace(caller, asked.namespace)
    new = NewCollection(namespace, asked.name, asked.language, asked.fields)
    model = None if asked.model is None else ModelName(asked.model, asked.pretrained)
    shape = Shape(asked.storage, asked.m, asked.ef_construction)
    opened = registry.create(new, model, shape)
    response.headers["Location"] = f"{router.prefix}/{asked.name}?namespace={namespace}"
    return _details(registry, opened)


@router.get("", responses=described(422, 503))
@needs("reader")
def list_collections(
    registry: LibraryService,
    namespace: InNamespace,
    cursor: Annotated[
        Name | None, Query(description="`next_cursor` of the page before", examples=["holidays"])
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=MAX_PAGE, description="collections on a page at most")
    ] = DEFAULT_PAGE,
) -> CollectionPage:
    """The namespace's collections, by name."""
    found = registry.listed(namespace, cursor or "", limit + 1)
    counts = registry.counts(found[:limit])
    shown = [CollectionDetails.of(*one) for one in zip(found, counts, strict=False)]
    more = shown[-1].name if len(found) > limit else None
    return CollectionPage(collections=shown, next_cursor=more)


@router.get("/{name}", responses=described(404, 422, 503))
@needs("reader")
def get_collection(registry: LibraryService, found: Found) -> CollectionDetails:
    """Its model, its index, its fields, how many pictures."""
    return _details(registry, found)


@router.patch("/{name}", responses=described(400, 404, 413, 422, 503))
@needs("admin")
def change_collection(
    registry: LibraryService, found: Found, changes: CollectionChanges
) -> CollectionDetails:
    """Give it another language or other declared fields; what is left out stays."""
    return _details(registry, registry.change(found, changes.language, changes.fields))


@router.delete("/{name}", status_code=204, responses=described(404, 422, 503))
@needs("admin")
def delete_collection(registry: LibraryService, found: Found) -> None:
    """Delete it with its pictures, vectors, jobs and uploaded files; your own files stay."""
    registry.delete(found)


@router.get("/{name}/images", responses=described(404, 422, 503))
@needs("reader", "search")
def list_images(
    opened: Opened,
    cursors: CursorService,
    where: FilterText = None,
    order_by: Annotated[
        FieldName | None,
        Query(description="a field, or -field for the largest first", examples=["-taken_at"]),
    ] = None,
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> ImagePage:
    """Its pictures that pass a filter, in an order: by id unless said else."""
    collection = opened.collection
    question = SearchRequest(
        collection.namespace, collection.name, limit=limit, filter=where or {}, order_by=order_by
    )
    if cursor is None:
        answer = opened.search.answer(collection, question)
    else:
        answer = opened.search.page(collection, cursors.read(cursor, question))
    return ImagePage.of(answer, cursors)


@router.post("/{name}/images/delete", responses=described(400, 404, 413, 422, 503))
@needs("writer")
def delete_images(found: Found, gallery: GalleryService, asked: Removal) -> Removed:
    """Forget pictures by their ids or by a filter; uploaded files are deleted, yours stay.

    By a filter up to 10,000 at once: repeat it while the answer's `more` is true.
    """
    collection = found.collection
    if asked.ids is not None:
        removed, more = gallery.remove(asked.ids, collection.id), False
    else:
        where = parse(asked.filter, collection.fields)
        if not where.clauses:
            raise FilterRejected(
                "filter: it asks nothing: all of the collection's pictures would be deleted. "
                'If that is meant, send {"id": {"gt": 0}}.'
            )
        removed, more = gallery.remove_matching(collection.id, where.condition, MAX_REMOVED)
    return Removed(removed=len(removed), ids=removed, more=more)
