#!/bin/sh
# reverse-geocode 1.6.6: the place that it names is often not the nearest one, nor need it be near at all.
#
# Guessed before looking: "closest known location" is by distance, with a bound or the distance told.
# Seen: degrees are compared as on a plane. Beside 400 places of Norway, Sweden and Finland about a fifth of
# positions get another place than the nearest, up to 10 km farther; at 66.32 N, 179.95 E it names Anadyr,
# 209 km away, and not Egvekinot, 42 km away across the antimeridian. In the middle of the Atlantic it
# names an island at 504 km, and tells no distance.
# Here: app/pictures/metadata/place_names.py reads the package's data and compares on a sphere, up to 50 km.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q reverse-geocode==1.6.6
"$folder/venv/bin/python" - <<'PYTHON'
import random
import sys

import numpy as np
import reverse_geocode

places = reverse_geocode.GeocodeData(0)._locations
north, east = (np.radians([one[name] for one in places]) for name in ("latitude", "longitude"))


def kilometers(position):
    """To each place, by the haversine formula."""
    latitude, longitude = np.radians(position)
    across = np.cos(north) * np.cos(latitude) * np.sin((east - longitude) / 2) ** 2
    return 2 * 6371 * np.arcsin(np.sqrt(np.sin((north - latitude) / 2) ** 2 + across))


def compared(position):
    """The place that is named, its distance, and that of the nearest one."""
    named, distances = reverse_geocode.get(position), kilometers(position)
    (place,) = (n for n, one in enumerate(places) if one is named)
    return named["city"], distances[place], distances.min()


random.seed(2)
nordic = [one for one in places if one["latitude"] > 60 and one["country_code"] in {"NO", "SE", "FI"}]
positions = [
    (one["latitude"] + random.uniform(-0.15, 0.15), one["longitude"] + random.uniform(-0.3, 0.3))
    for one in random.sample(nordic, 400)
]
farther = sum(named > nearest + 0.001 for _, named, nearest in map(compared, positions))
print(f"{farther} of {len(positions)} positions in the north get a place that is not the nearest")
across, lost = compared((66.32, 179.95)), compared((0.0, -30.0))
print(f"across the antimeridian: {across}; in the Atlantic: {lost}")
sys.exit(not (farther > 40 and across[1] > 4 * across[2] and lost[1] > 400))
PYTHON
