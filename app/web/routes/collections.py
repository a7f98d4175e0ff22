"""Collections: create, list, change, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from app.catalog.collections import NewCollection
from app.encoders.presets import resolve
from app.index.vector_indexes import Shape
from app.runtime.annotating.annotators import regions_of
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.known_collections import KnownCollection
from app.runtime.open_collection import OpenCollection
from app.search.search_request import DEFAULT_LIMIT
from app.web.callers import CurrentCaller, InNamespace, chosen_namespace
from app.web.dependencies import AnnotatorService, RegistryService, ServiceAddresses, Utf8Query
from app.web.middleware.guarded_route import Guarded, needs
from app.web.pagination import Cursor, Limit, read_cursor, write_cursor
from app.web.payloads.collections import (
    CollectionCreate,
    CollectionDetails,
    CollectionPage,
    CollectionUpdate,
)
from app.web.payloads.field_types import Name
from app.web.problems.problems import problem_responses

router = APIRouter(
    prefix="/api/v1/collections",
    tags=["collections"],
    dependencies=[Utf8Query],
    route_class=Guarded,
)

LOCATION = {"Location": {"schema": {"type": "string"}, "description": "address of the collection"}}
COLLECTIONS = "collections"  # as their cursors name them


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
    (counts,), (tuning,) = registry.counts([known]), registry.tunings([known])
    return CollectionDetails.of(known, counts, tuning)


@router.post(
    "",
    status_code=201,
    responses={201: {"headers": LOCATION}, **problem_responses(400, 409, 413, 422, 503)},
)
@needs("admin", creates=True)
def create_collection(
    caller: CurrentCaller,
    registry: RegistryService,
    annotators: AnnotatorService,
    addresses: ServiceAddresses,
    response: Response,
    body: CollectionCreate,
) -> CollectionDetails:
    """Create a collection with the server's model, or one of IMAGE_SEARCH_COLLECTION_MODELS."""
    namespace = chosen_namespace(caller, body.namespace)
    annotators.check([*body.annotators, *regions_of(body.regions)])
    if body.sentence_model is not None:
        annotators.sentences.check(body.sentence_model)
    new = NewCollection(namespace, body.name, body.language, body.fields, body.pages)
    model = None if body.model is None else resolve(body.model, body.pretrained)
    shape = Shape(body.storage, body.m, body.ef_construction)
    opened: KnownCollection = registry.create(new, model, shape)
    if body.annotators:
        annotators.choose(opened, body.annotators)
    if body.regions != "off":
        annotators.choose_regions(opened, body.regions)
    if body.sentence_model is not None:
        annotators.choose_sentence_model(opened, body.sentence_model)
    opened = registry.find_id(opened.collection.id)
    response.headers["Location"] = addresses.collection(namespace, body.name)
    return _details(registry, opened)


@router.get("", responses=problem_responses(422, 503))
@needs("reader")
def list_collections(
    registry: RegistryService,
    namespace: InNamespace,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> CollectionPage:
    """The collections of the namespace, ordered by name."""
    after = "" if cursor is None else read_cursor(COLLECTIONS, cursor)
    found = registry.listed(namespace, after, limit + 1)
    told = found[:limit]
    counts, tunings = registry.counts(told), registry.tunings(told)
    shown = [CollectionDetails.of(*one) for one in zip(told, counts, tunings, strict=True)]
    more = write_cursor(COLLECTIONS, shown[-1].name) if len(found) > limit else None
    return CollectionPage(data=shown, next_cursor=more)


@router.get("/{name}", responses=problem_responses(404, 422, 503))
@needs("reader")
def get_collection(registry: RegistryService, found: Found) -> CollectionDetails:
    """Its model, index, fields and number of pictures."""
    return _details(registry, found)


@router.patch("/{name}", responses=problem_responses(400, 404, 409, 413, 422, 503))
@needs("admin")
def update_collection(
    registry: RegistryService,
    annotators: AnnotatorService,
    found: Found,
    changes: CollectionUpdate,
) -> CollectionDetails:
    """Change what you send; the rest stays.

    Of `fields`, too, only those that you name change (JSON merge patch, RFC 7396):
    `{"fields": {"good": "boolean", "stars": null}}` declares `good`, no longer declares `stars`,
    and leaves all others. The values in the pictures' metadata stay in any case.

    What is refused changes nothing, unless another request takes the new `name` meanwhile. The name
    comes last: after a 503 some of the rest may be changed, and you can send the same again.
    """
    annotators.check([*(changes.annotators or ()), *regions_of(changes.regions or "off")])
    if changes.sentence_model is not None:
        annotators.sentences.check(changes.sentence_model)
    if changes.name is not None:
        registry.rename(found, changes.name, dry_run=True)
    changed = registry.change(found, changes.language, changes.fields, changes.pages)
    if changes.annotators is not None:
        annotators.choose(changed, changes.annotators)
    if changes.regions is not None:
        annotators.choose_regions(changed, changes.regions)
    if changes.changes_sentence_model:
        annotators.choose_sentence_model(changed, changes.sentence_model)
    if changes.name is not None:
        registry.rename(changed, changes.name)
    changed = registry.find_id(changed.collection.id)
    return _details(registry, changed)


@router.delete("/{name}", status_code=204, responses=problem_responses(404, 422, 503))
@needs("admin")
def delete_collection(registry: RegistryService, found: Found) -> None:
    """Delete it with its pictures, vectors, jobs and uploaded files; files in your folders stay."""
    registry.delete(found)
