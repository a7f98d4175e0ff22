"""Where the pictures of a collection were taken, put together on a grid: for a map."""

import math
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Numeric, and_, cast, func, select
from sqlalchemy.orm import Session

from app.catalog.filters.filters import Filter
from app.catalog.filters.positions import EARTH_KILOMETERS, coordinate
from app.database.tables import PRESENT, images

CELLS = 12  # of the grid in each direction, so that there are at most 144 clusters
MIN_KILOMETERS = 0.05  # of a radius: a circle around a single picture holds it


@dataclass(frozen=True)
class PositionCluster:
    """Pictures near each other, in degrees; all lie within `kilometers` of the center.

    `image_id` is the last that was added, `city` the most frequent one that they bear.
    """

    latitude: float
    longitude: float
    kilometers: float
    pictures: int
    image_id: int
    city: str | None


def cluster_positions(session: Session, collection_id: int, where: Filter) -> list[PositionCluster]:
    """The pictures with a position that pass the filter, largest clusters first.

    The grid is fitted to them, so that a filter for one cluster takes it apart.
    """
    latitude, longitude = coordinate("latitude"), coordinate("longitude")
    is_there = and_(latitude.between(-90, 90), longitude.between(-180, 180))
    city = images.c.metadata["place"]["city"].astext
    points = (
        select(
            images.c.id,
            latitude.label("latitude"),
            longitude.label("longitude"),
            city.label("city"),
        )
        .where(images.c.collection_id == collection_id, PRESENT, where.condition, is_there)
        .cte("points")
    )
    north, east = points.c.latitude, points.c.longitude
    south, west = func.min(north).over(), func.min(east).over()
    gridded = select(
        points,
        _cell(north, south, func.max(north).over()).label("row"),
        _cell(east, west, func.max(east).over()).label("place"),
    ).cte("gridded")
    one = gridded.c
    query = (
        select(
            func.min(one.latitude),
            func.max(one.latitude),
            func.min(one.longitude),
            func.max(one.longitude),
            func.count(),
            func.max(one.id),
            func.mode().within_group(one.city),
        )
        .group_by(one.row, one.place)
        .order_by(func.count().desc(), func.max(one.id))
    )
    return [_cluster(*row) for row in session.execute(query).tuples()]


def _cell(
    value: ColumnElement[float], least: ColumnElement[float], most: ColumnElement[float]
) -> ColumnElement[float]:
    """The number of the grid's cell from 0; 0 if all values are the same."""
    share = (value - least) / func.nullif(most - least, 0)
    return func.coalesce(func.least(func.floor(share * CELLS), CELLS - 1), cast(0, Numeric()))


def _cluster(
    south: float, north: float, west: float, east: float, pictures: int, last: int, city: str | None
) -> PositionCluster:
    latitude, longitude = (south + north) / 2, (west + east) / 2
    corners = [(south, west), (north, west)]  # the farthest points of the cell: it is symmetric
    radius = max(_kilometers(latitude, longitude, *corner) for corner in corners)
    kilometers = max(MIN_KILOMETERS, 1.01 * radius)  # beyond what rounding loses
    return PositionCluster(latitude, longitude, kilometers, pictures, last, city)


def _kilometers(north: float, east: float, other_north: float, other_east: float) -> float:
    """The distance on a sphere of two points in degrees, by the haversine formula."""
    here, there = math.radians(north), math.radians(other_north)
    turn = math.radians(other_east - east)
    across = math.cos(here) * math.cos(there) * math.sin(turn / 2) ** 2
    half_chord = math.sqrt(math.sin((there - here) / 2) ** 2 + across)
    return 2 * EARTH_KILOMETERS * math.asin(min(1.0, half_chord))
