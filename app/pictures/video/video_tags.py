"""What the tags of a video's container say: when and where it was taken, its title and comment."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from app.pictures.metadata.description import (
    YEARS,
    Description,
    Taken,
    camera_name,
    caption_of,
    one_line,
    zoned,
)

APPLE = "com.apple.quicktime."
POSITION = re.compile(
    r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)(?:[+-]\d+(?:\.\d+)?)?(?:CRS.*)?/?"
)
"""Latitude, longitude and perhaps height, as ISO 6709 writes them in decimal degrees."""

UNSET = {1904, 1970}  # the years that clocks begin with: the time was never set


def read_tags(tags: Mapping[str, str]) -> Description:
    """The description of a video, from FFmpeg's names of its tags. Never raises."""
    told = {name.lower(): value for name, value in tags.items()}

    def tag(*names: str) -> str:
        return next((told[name] for name in names if told.get(name)), "")

    make, model = tag(f"{APPLE}make", "make"), tag(f"{APPLE}model", "model")
    return Description(
        caption=caption_of(tag(f"{APPLE}description", "description", "comment")),
        title=one_line(tag(f"{APPLE}title", "title")),
        creator=one_line(tag(f"{APPLE}author", "artist", "author")),
        copyright=one_line(tag(f"{APPLE}copyright", "copyright")),
        camera=camera_name(one_line(make), one_line(model)),
        taken=_taken(tag(f"{APPLE}creationdate")) or _taken(tag("creation_time", "date")),
        position=_position(tag(f"{APPLE}location.iso6709", "location")),
    )


def _taken(text: str) -> Taken | None:
    """A time in ISO 8601 with its offset; of one in UTC the clock of the place is not known."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.year not in YEARS or moment.year in UNSET or moment.tzinfo is None:
        return None
    if text.endswith("Z"):
        return Taken(instant=moment.astimezone(UTC))
    return zoned(moment.replace(tzinfo=None), moment.utcoffset())


def _position(text: str) -> tuple[float, float] | None:
    found = POSITION.fullmatch(text.strip())
    if found is None:
        return None
    latitude, longitude = float(found[1]), float(found[2])
    is_place = abs(latitude) <= 90 and abs(longitude) <= 180 and (latitude, longitude) != (0, 0)
    return (latitude, longitude) if is_place else None
