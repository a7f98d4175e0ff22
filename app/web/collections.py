"""Collections: made, looked at, changed, deleted; their pictures listed and removed."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from app.collections import DEFAULT_NAMESPACE, NewCollection
from app.encoders.residents import ModelName
from app.filters import parse
from app.indexes import Shape
from app.library import OpenCollection
from app.questions import Question
from app.web.collection_payloads import (
    CollectionChanges,
    CollectionDetails,
    CollectionPage,
    CollectionToBe,
    ImagePage,
    Removal,
    Removed,
)
from app.web.dependencies import (
    CursorService,
    GalleryService,
    InNamespace,
    LibraryService,
    Utf8,
)
from app.web.filters import FilterText
from app.web.payloads import Name
from app.web.problems import described
from app.web.search import Cursor, Limit
from app.web.search_payloads import FieldName

router = APIRouter(prefix="/api/v1/collections", tags=["collections"], dependencies=[Utf8])

LOCATION = {"Location": {"schema": {"type": "string"}, "description": "the new one's address"}}
MAX_PAGE = 100
DEFAULT_PAGE = 20


def _opened(
    library: LibraryService,
    name: Annotated[Name, Path(description="the collection's name", examples=["holidays"])],
    namespace: InNamespace = DEFAULT_NAMESPACE,
) -> OpenCollection:
    return library.open(namespace, name)


Opened = Annotated[OpenCollection, Depends(_opened)]


@router.post(
    "",
    status_code=201,
    responses={201: {"headers": LOCATION}, **described(400, 409, 413, 422, 503)},
)
def create_collection(
    library: LibraryService, response: Response, asked: CollectionToBe
) -> CollectionDetails:
    """Make a collection: with the server's model, or one of COLLECTION_MODELS."""
    new = NewCollection(asked.namespace, asked.name, asked.language, asked.fields)
    model = None if asked.model is None else ModelName(asked.model, asked.pretrained)
    shape = Shape(asked.storage, asked.m, asked.ef_construction)
    opened = library.create(new, model, shape)
    response.headers["Location"] = f"{router.prefix}/{asked.name}?namespace={asked.namespace}"
    return CollectionDetails.of(opened)


@router.get("", responses=described(422, 503))
def list_collections(
    library: LibraryService,
    namespace: InNamespace = DEFAULT_NAMESPACE,
    cursor: Annotated[
        Name | None, Query(description="`next_cursor` of the page before", examples=["holidays"])
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=MAX_PAGE, description="collections on a page at most")
    ] = DEFAULT_PAGE,
) -> CollectionPage:
    """The namespace's collections, by name."""
    return CollectionPage.of(library.listed(namespace, cursor or "", limit), limit)


@router.get("/{name}", responses=described(404, 422, 503))
def get_collection(opened: Opened) -> CollectionDetails:
    """Its model, its index, its fields, how many pictures."""
    return CollectionDetails.of(opened)


@router.patch("/{name}", responses=described(400, 404, 413, 422, 503))
def change_collection(
    library: LibraryService, opened: Opened, changes: CollectionChanges
) -> CollectionDetails:
    """Give it another language or other declared fields; what is left out stays."""
    known = opened.collection
    language = known.language if changes.language is None else changes.language
    fields = known.fields if changes.fields is None else changes.fields
    return CollectionDetails.of(library.change(opened, language, fields))


@router.delete("/{name}", status_code=204, responses=described(404, 422, 503))
def delete_collection(library: LibraryService, opened: Opened) -> None:
    """Delete it with its pictures, vectors, jobs and uploaded files; your own files stay."""
    library.delete(opened)


@router.get("/{name}/images", responses=described(404, 422, 503))
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
    question = Question(
        collection.namespace, collection.name, limit=limit, filter=where or {}, order_by=order_by
    )
    if cursor is None:
        answer = opened.search.answer(collection, question)
    else:
        answer = opened.search.page(collection, cursors.read(cursor, question))
    return ImagePage.of(answer, cursors)


@router.post("/{name}/images/delete", responses=described(400, 404, 413, 422, 503))
def delete_images(opened: Opened, gallery: GalleryService, asked: Removal) -> Removed:
    """Forget pictures by their ids or by a filter; uploaded files are deleted, yours stay."""
    collection = opened.collection
    if asked.ids is not None:
        removed = gallery.remove(asked.ids, collection.id)
    else:
        condition = parse(asked.filter or {}, collection.fields).condition
        removed = gallery.remove_matching(collection.id, condition)
    return Removed(removed=len(removed), ids=removed)
