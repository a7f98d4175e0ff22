"""The search API: by words and pictures, by words alone, by a picture of the collection."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from app.catalog.filters.filters import parse
from app.runtime.open_collection import OpenCollection
from app.search import search_request
from app.search.queries.query_terms import MAX_QUERY_CHARACTERS, Term
from app.search.search_request import DEFAULT_LIMIT, Mode
from app.web.callers import AnswerAddresses, CurrentCaller, ImageId, InCollection, chosen_namespace
from app.web.dependencies import (
    CursorService,
    GalleryService,
    RegistryService,
    TokenService,
    Utf8Query,
)
from app.web.filter_parameter import FilterText
from app.web.middleware.guarded_route import Guarded, needs
from app.web.pagination import Cursor, Limit
from app.web.payloads.search.answer import References, SearchResponse
from app.web.payloads.search.request import SearchRequest
from app.web.problems.problems import problem_responses

router = APIRouter(prefix="/api/v1", tags=["search"], dependencies=[Utf8Query], route_class=Guarded)


async def _references(
    cursors: CursorService, tokens: TokenService, addresses: AnswerAddresses
) -> References:
    return References(cursors, tokens, addresses)


InAnswers = Annotated[References, Depends(_references)]


@router.post(
    "/search",
    summary="Search by words and pictures",
    response_model_exclude_unset=True,
    responses=problem_responses(400, 404, 413, 415, 422, 503),
)
@needs("reader", "search", by_replicas=True)
def search(
    caller: CurrentCaller,
    registry: RegistryService,
    references: InAnswers,
    body: SearchRequest,
) -> SearchResponse:
    """Search by words, pictures or both; page through the hits by cursor."""
    request = body.to_domain(chosen_namespace(caller, body.namespace))
    if body.cursor is None:
        opened = registry.open(request.namespace, request.collection)
        answer = opened.search.answer(opened.collection, request)
    else:
        page = references.cursors.read(body.cursor, None if body.is_bare else request)
        namespace = chosen_namespace(caller, page.request.namespace)
        opened = registry.open(namespace, page.request.collection)
        answer = opened.search.page(opened.collection, page)
    return SearchResponse.of(opened, answer, references, body.include)


@router.get(
    "/search",
    response_model_exclude_unset=True,
    responses=problem_responses(404, 422, 503),
)
@needs("reader", "search", by_replicas=True)
def search_by_words(
    opened: InCollection,
    references: InAnswers,
    q: Annotated[
        str,
        Query(
            max_length=MAX_QUERY_CHARACTERS,
            description="what the picture shows",
            examples=["a green tree"],
        ),
    ],
    limit: Limit = DEFAULT_LIMIT,
    mode: Annotated[Mode, Query(description="rank by vectors, by words, or by both")] = "vector",
    where: FilterText = None,
    cursor: Cursor = None,
) -> SearchResponse:
    """Search by words in a URL; `POST /api/v1/search` has more options."""
    namespace, name = opened.collection.namespace, opened.collection.name
    request = search_request.SearchRequest(
        namespace, name, (Term(text=q),), mode, limit, filter=where or {}
    )
    return _answered(opened, request, cursor, references)


@router.get(
    "/images/{image_id}/similar",
    response_model_exclude_unset=True,
    responses=problem_responses(404, 422, 503),
)
@needs("reader", "search", by_replicas=True)
def find_similar_images(
    registry: RegistryService,
    references: InAnswers,
    gallery: GalleryService,
    image_id: ImageId,
    limit: Limit = DEFAULT_LIMIT,
    where: FilterText = None,
    cursor: Cursor = None,
) -> SearchResponse:
    """The pictures most like a given one in its collection; that one is left out."""
    opened = registry.open_id(gallery.get(image_id).collection_id)
    parse(where or {}, opened.collection.filterable)  # reports errors in the terms of this request
    request = search_request.SearchRequest(
        opened.collection.namespace,
        opened.collection.name,
        (Term(image_id=image_id),),
        limit=limit,
        filter=where or {},
        exclude_id=image_id,
    )
    return _answered(opened, request, cursor, references)


def _answered(
    opened: OpenCollection,
    request: search_request.SearchRequest,
    cursor: str | None,
    references: References,
) -> SearchResponse:
    if cursor is None:
        answer = opened.search.answer(opened.collection, request)
    else:
        answer = opened.search.page(opened.collection, references.cursors.read(cursor, request))
    return SearchResponse.of(opened, answer, references)
