"""Filters on where pictures were taken."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select, text

from app.catalog.filters.filters import parse
from app.database import connections, migrating
from app.database.tables import images
from app.errors import FilterRejected

Passing = Callable[[dict[str, Any]], set[str]]

PLACES: dict[str, Any] = {
    "belem": {"gps": {"latitude": 38.69, "longitude": -9.21}},
    "porto": {"gps": {"latitude": 41.15, "longitude": -8.61}},
    "fiji": {"gps": {"latitude": -17.7, "longitude": 178.1}},
    "samoa": {"gps": {"latitude": -13.8, "longitude": -171.8}},
    "pole": {"gps": {"latitude": -90, "longitude": 0}},
    "nowhere": {},
    "half": {"gps": {"latitude": 38.69}},
    "words": {"gps": {"latitude": "38.69", "longitude": "-9.21"}},
    "text": {"gps": "38.69, -9.21"},
    "far out": {"gps": {"latitude": 10**30, "longitude": 10**300}},
}


@pytest.fixture(scope="module")
def passing(database_url: str) -> Iterator[Passing]:
    """The names of the pictures that pass a filter."""
    engine = connections.open_engine(database_url)
    migrating.migrate(engine)
    with connections.open_sessions(engine)() as session:
        make = "INSERT INTO collections (namespace, name) VALUES ('test', 'map') RETURNING id"
        collection_id = session.execute(text(make)).scalar_one()
        row = {"collection_id": collection_id, "etag": "", "bytes": 1, "width": 1, "height": 1}
        rows = [
            row
            | {
                "path": name,
                "content_hash": name.encode().ljust(32),
                "format": "PNG",
                "metadata": found,
            }
            for name, found in PLACES.items()
        ]
        session.execute(images.insert(), rows)

        def found(body: dict[str, Any]) -> set[str]:
            condition = parse(body, {}).condition
            here = images.c.collection_id == collection_id
            return set(session.execute(select(images.c.path).where(here, condition)).scalars())

        yield found
        session.rollback()
    engine.dispose()


def within(lat: float, lon: float, km: float) -> dict[str, Any]:
    return {"position": {"within": {"lat": lat, "lon": lon, "km": km}}}


def test_pictures_within_a_circle(passing: Passing) -> None:
    """Issue 16, what search gains: Belém is 6.5 km from Lisbon's Rossio, Porto 274."""
    assert passing(within(38.714, -9.139, 6)) == set()
    assert passing(within(38.714, -9.139, 8)) == {"belem"}
    assert passing(within(38.714, -9.139, 270)) == {"belem"}
    assert passing(within(38.714, -9.139, 280)) == {"belem", "porto"}
    assert passing(within(38.69, -9.21, 0)) == {"belem"}


def test_a_circle_over_the_date_line_and_the_pole(passing: Passing) -> None:
    assert passing(within(-15, -179, 900)) == {"fiji", "samoa"}
    assert passing(within(-89.9, 135, 20)) == {"pole"}


def test_a_filter_with_others(passing: Passing) -> None:
    near = within(38.714, -9.139, 300)
    assert passing({"and": [near, {"path": "porto"}]}) == {"porto"}
    assert passing({"not": near, "position": {"exists": True}}) >= {"fiji", "samoa", "pole"}
    assert passing({"position": {"exists": False}}) >= {"nowhere", "half", "words", "text"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"within": {"lat": 91, "lon": 0, "km": 1}}, "lat: 91 is not a number from -90 to 90"),
        ({"within": {"lat": 0, "lon": 0, "km": -1}}, "km: -1 is not a number from 0"),
        ({"within": {"lat": 0, "lon": True, "km": 1}}, "lon: true is not a number"),
        ({"within": {"lat": 0, "lon": float("nan"), "km": 1}}, "lon: NaN is not a number"),
        ({"within": {"lat": 0, "lon": 0}}, "send an object like"),
        ({"within": [0, 0, 1]}, "send an object like"),
        ({"near": 1}, "position has no operator"),
        ({"exists": 1}, "neither true nor false"),
        (3, "position has no operator"),
    ],
)
def test_what_is_no_circle_is_refused(value: Any, said: str) -> None:
    with pytest.raises(FilterRejected, match=r"^filter\.position") as refused:
        parse({"position": value}, {})
    assert said in str(refused.value)


def test_a_declared_field_of_that_name_is_what_it_was() -> None:
    assert parse({"position": {"gte": 3}}, {"position": "number"}).clauses
