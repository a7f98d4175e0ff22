"""Where pictures were taken, and which lie within so many kilometers of a place.

Positions are kept only with KEEP_GPS, as `gps: {"latitude": …, "longitude": …}` in degrees.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, case, cast, func
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION

from app.catalog.filters.field_names import display
from app.database.tables import images
from app.errors import FilterRejected

OPERATORS = ("within", "exists")
EARTH_KILOMETERS = 6_371.0  # mean radius; the earth is no sphere: distances are right to 0.5 %
MAX_KILOMETERS = 20_100.0  # half around the earth
MAX_NUMBER_CHARACTERS = 40  # of a coordinate: metadata may hold any number
RANGES: Mapping[str, tuple[float, float]] = {
    "lat": (-90, 90),
    "lon": (-180, 180),
    "km": (0, MAX_KILOMETERS),
}


def condition(operator: str, value: object) -> ColumnElement[bool]:
    """The condition on `images` of `{"position": {operator: value}}`. Raises FilterRejected."""
    if operator == "exists":
        if not isinstance(value, bool):
            raise FilterRejected(f"{display(value)} is neither true nor false.")
        return _distance(0, 0).is_not(None) if value else _distance(0, 0).is_(None)
    if operator != "within":
        known = ", ".join(OPERATORS)
        raise FilterRejected(f"position has no operator {display(operator)}; it has {known}.")
    latitude, longitude, kilometers = _circle(value)
    return _distance(latitude, longitude) <= kilometers


def _circle(value: object) -> tuple[float, float, float]:
    if not isinstance(value, dict) or value.keys() != RANGES.keys():
        raise FilterRejected('send an object like {"lat": 38.7, "lon": -9.1, "km": 5}.')
    for name, (least, most) in RANGES.items():
        one = value[name]
        if isinstance(one, bool) or not isinstance(one, (int, float)) or not least <= one <= most:
            raise FilterRejected(
                f"{name}: {display(one)} is not a number from {least:g} to {most:g}."
            )
    return value["lat"], value["lon"], value["km"]


def _distance(latitude: float, longitude: float) -> ColumnElement[Any]:
    """Kilometers on a sphere, by the haversine formula; null without a position."""
    here, there = func.radians(latitude), func.radians(coordinate("latitude"))
    turn = func.radians(coordinate("longitude")) - func.radians(longitude)
    rise = func.power(func.sin((there - here) / 2.0), 2)
    across = func.cos(here) * func.cos(there) * func.power(func.sin(turn / 2.0), 2)
    # Beyond 0 to 1 by rounding, and by coordinates that are none.
    half_chord = func.least(1.0, func.greatest(0.0, rise + across))
    distance = 2 * EARTH_KILOMETERS * func.asin(func.sqrt(half_chord))
    return case((coordinate("longitude").is_not(None), case((there.is_not(None), distance))))


def coordinate(name: str) -> ColumnElement[Any]:
    """A coordinate in degrees; null unless it is a number."""
    cell = images.c.metadata["gps"][name]
    is_number = func.jsonb_typeof(cell) == "number"
    short = func.length(cell.astext) <= MAX_NUMBER_CHARACTERS
    return case((and_(is_number, short), cast(cell.astext, DOUBLE_PRECISION)))
