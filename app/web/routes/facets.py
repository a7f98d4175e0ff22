"""What a collection's pictures have in common: months, places, and what can be typed."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from app.catalog.filters.filters import parse
from app.catalog.months import count_months
from app.catalog.position_clusters import cluster_positions
from app.catalog.suggestions import Suggestions
from app.index.scan_settings import prepare
from app.web.dependencies import GalleryService, Utf8Query
from app.web.filter_parameter import FilterText
from app.web.map_tiles import MapTiles
from app.web.middleware.guarded_route import Guarded, needs
from app.web.payloads.facets import (
    MapTileServer,
    MonthCount,
    MonthCounts,
    PositionCluster,
    PositionClusters,
    SuggestedText,
    SuggestedTexts,
)
from app.web.payloads.field_types import STORABLE
from app.web.problems.problems import problem_responses
from app.web.routes.collections import Found

router = APIRouter(
    prefix="/api/v1/collections",
    tags=["collections"],
    dependencies=[Utf8Query],
    route_class=Guarded,
)

MAX_TYPED_CHARACTERS = 100
MAX_FIELD_CHARACTERS = 200


async def _suggestions(request: Request) -> Suggestions:
    service: Suggestions = request.app.state.suggestions
    return service


@router.get("/{name}/months", responses=problem_responses(404, 422, 503))
@needs("reader")
def list_months(found: Found, gallery: GalleryService, where: FilterText = None) -> MonthCounts:
    """In which months its pictures were taken, and how many in each."""
    collection = found.collection
    condition = parse(where or {}, collection.filterable)
    with gallery.sessions.begin() as session:
        prepare(session)
        months = count_months(session, collection.id, condition)
    return MonthCounts(months=[MonthCount(**vars(month)) for month in months])


@router.get("/{name}/map", responses=problem_responses(404, 422, 503))
@needs("reader")
def map_positions(
    request: Request, found: Found, gallery: GalleryService, where: FilterText = None
) -> PositionClusters:
    """Where its pictures were taken, if positions are kept, grouped by nearness for a map.

    The grid is fitted to the pictures that pass the filter: `within` one cluster it shows more.
    """
    collection = found.collection
    condition = parse(where or {}, collection.filterable)
    with gallery.sessions.begin() as session:
        prepare(session)
        clusters = cluster_positions(session, collection.id, condition)
    tiles: MapTiles | None = request.app.state.map_tiles
    return PositionClusters(
        clusters=[PositionCluster(**vars(one)) for one in clusters],
        tiles=MapTileServer(**vars(tiles)) if tiles else None,
    )


@router.get("/{name}/suggestions", responses=problem_responses(404, 422, 503))
@needs("reader")
def list_suggestions(
    found: Found,
    suggestions: Annotated[Suggestions, Depends(_suggestions)],
    prefix: Annotated[
        str,
        Query(
            min_length=1,
            max_length=MAX_TYPED_CHARACTERS,
            pattern=STORABLE,
            description="the beginning of a word, in any case",
            examples=["bea"],
        ),
    ],
    field: Annotated[
        str | None,
        Query(
            max_length=MAX_FIELD_CHARACTERS,
            pattern=STORABLE,
            description="only values of this field, the rarest too, that contain `prefix`",
            examples=["tags"],
        ),
    ] = None,
) -> SuggestedTexts:
    """Up to 8 tags, people, albums, places and file names in which a word begins with `prefix`.

    Files are found at once, the others after up to a minute. With `field`, values of that field.
    """
    found_texts = (
        suggestions.of(found.collection, prefix)
        if field is None
        else suggestions.of_field(found.collection, field, prefix)
    )
    return SuggestedTexts(suggestions=[SuggestedText(**vars(one)) for one in found_texts])
