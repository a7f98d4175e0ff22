"""The JSON that Google Takeout keeps beside each picture, and in each folder of an album."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.pictures.metadata.description import (
    MAX_PEOPLE,
    MAX_TAGS,
    YEARS,
    Description,
    Taken,
    caption_of,
    distinct,
    one_line,
)
from app.sources.sidecars.annotations import Annotation

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLACES = ("geoData", "geoDataExif")  # as corrected by hand, and by the camera
TAKEN = "photoTakenTime"


def is_takeout(value: Mapping[str, Any]) -> bool:
    """Whether a JSON object is Takeout's of a picture."""
    return isinstance(value.get(TAKEN), dict) and isinstance(value.get("title"), str)


def read_takeout(value: Mapping[str, Any]) -> Description:
    """What it says; nothing of Google's own counts and addresses."""
    people = value.get("people")
    listed = people if isinstance(people, list) else []
    names = [one.get("name") for one in listed if isinstance(one, dict)]
    return Description(
        caption=caption_of(_text(value.get("description"))),
        people=distinct(map(_text, names), MAX_PEOPLE),
        taken=_taken(value.get(TAKEN)),
        position=next(filter(None, (_position(value.get(name)) for name in PLACES)), None),
    )


def read_album(value: Mapping[str, Any]) -> Description:
    """An album's title, if the object is an album's."""
    return Description(album=None if TAKEN in value else one_line(_text(value.get("title"))))


def with_album(said: Annotation, below: Annotation) -> Annotation:
    """Albums are tags: `said` with its album among its tags and those of `below`.

    Without an album it is returned as it is, and its tags are to take precedence.
    """
    album = said.metadata.get("album")
    if not isinstance(album, str):
        return said
    lists = (below.metadata.get("tags"), said.metadata.get("tags"), [album])
    every = (tag for one in lists if isinstance(one, list) for tag in one)
    tags = distinct((tag for tag in every if isinstance(tag, str)), MAX_TAGS)
    return replace(said, metadata=said.metadata | {"tags": list(tags)})


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _taken(value: object) -> Taken | None:
    """A number of seconds since 1970, in UTC; 0 is that of pictures without a time."""
    try:
        seconds = int(value["timestamp"])  # type: ignore[index]
        instant = EPOCH + timedelta(seconds=seconds)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return Taken(instant=instant) if seconds and instant.year in YEARS else None


def _position(value: object) -> tuple[float, float] | None:
    """Exactly (0, 0) is no place."""
    try:
        latitude, longitude = float(value["latitude"]), float(value["longitude"])  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return None
    is_valid = abs(latitude) <= 90 and abs(longitude) <= 180
    return (latitude, longitude) if is_valid and (latitude or longitude) else None
