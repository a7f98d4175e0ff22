"""Positions to names of places, offline (issue 16)."""

import pytest

from app.pictures.metadata.place_names import PlaceNames
from tests.fixtures.extras import needs_places

pytestmark = needs_places


@pytest.fixture(scope="module")
def place_names() -> PlaceNames:
    return PlaceNames()


@pytest.mark.parametrize(
    ("position", "city", "country"),
    [
        ((38.711, -9.137), "Lisbon", "Portugal"),  # not the quarter Baixa
        ((48.85, 2.35), "Paris", "France"),
        ((48.804, 2.134), "Versailles", "France"),  # beyond what Paris reaches
        (
            (40.73, -74.17),
            "Newark",
            "United States",
        ),  # of another state than New York
        ((23.02, 113.12), "Foshan", "China"),  # nearer to its middle than to Guangzhou's
        ((22.5, 114.06), "San Tin", "Hong Kong"),  # Shenzhen is across the border
        ((78.22, 15.63), "Longyearbyen", "Svalbard and Jan Mayen"),
    ],
)
def test_the_name_that_people_would_say(
    place_names: PlaceNames, position: tuple[float, float], city: str, country: str
) -> None:
    place = place_names.of(position)
    assert (place["city"], place["country"]) == (city, country)


@pytest.mark.parametrize("position", [(0.0, -30.0), (-48.9, -123.4), (90.0, 0.0)])
def test_far_from_any_place_there_is_none(
    place_names: PlaceNames, position: tuple[float, float]
) -> None:
    assert place_names.of(position) == {}


def test_the_antimeridian_parts_no_neighbours(place_names: PlaceNames) -> None:
    """Egvekinot lies at 179.1° W; 41 km to the west of it the longitude is positive."""
    assert place_names.of((66.32, 179.95))["city"] == "Egvekinot"
