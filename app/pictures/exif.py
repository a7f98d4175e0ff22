"""Exif: when, with which camera and where a picture was taken.

Tags as in CIPA DC-008 (Exif 2.32), section 4.6.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from numbers import Real

from PIL import Image as Pillow
from PIL.ExifTags import GPS, IFD, Base

MAX_CAMERA_CHARACTERS = 100
MAX_TEXT_CHARACTERS = 1_000  # longer values are neither names nor times, and are slow to clean
YEARS = range(1800, 9999)  # from before photography; in 9999 a time zone offset overflows
DATE = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
OFFSET = re.compile(r"([+-])(0\d|1[0-4]):?([0-5]\d)", re.ASCII)  # UTC−14 to UTC+14
MAX_LATITUDE, MAX_LONGITUDE = 90, 180  # degrees
MAIN_TAGS = (Base.Make, Base.Model, Base.DateTime)  # a hostile directory has thousands

Tags = Mapping[int, object]
"""Values of one directory (IFD) by tag number, of any type that the file declares."""


@dataclass(frozen=True)
class Exif:
    """The Exif fields in use; None for one that is missing or invalid.

    `taken_at` has a time zone: the recorded offset, or UTC if there is none, which may be hours
    off. `camera` is printable text of at most MAX_CAMERA_CHARACTERS. `gps` is (latitude,
    longitude) in degrees, positive to the north and east, assumed to be WGS 84.
    """

    taken_at: datetime | None = None
    camera: str | None = None
    gps: tuple[float, float] | None = None


def read_exif(image: Pillow.Image) -> Exif:
    """Read the Exif of a picture of any format. Never raises.

    `image` must be the object that Pillow opened, since a converted copy has no Exif, and should
    be loaded: `getexif` loads a PNG, and the errors of a damaged one would be lost here.
    """
    main, photo = _tags(image, None), _tags(image, IFD.Exif)
    taken_at = (
        _time(photo.get(Base.DateTimeOriginal), photo.get(Base.OffsetTimeOriginal))
        or _time(photo.get(Base.DateTimeDigitized), photo.get(Base.OffsetTimeDigitized))
        or _time(main.get(Base.DateTime), photo.get(Base.OffsetTime))
    )
    camera = _camera(_text(main.get(Base.Make)), _text(main.get(Base.Model)))
    return Exif(taken_at, camera, _position(_tags(image, IFD.GPSInfo)))


def _tags(image: Pillow.Image, directory: int | None) -> Tags:
    """The tags of a directory: of the main one (None) only MAIN_TAGS.

    Empty if the directory is damaged: the others are still read.
    """
    try:
        exif = image.getexif()
        if directory is None:
            return {tag: exif[tag] for tag in MAIN_TAGS if tag in exif}
        return exif.get_ifd(directory)
    except Exception:  # noqa: BLE001  # Pillow raises any type on damaged Exif
        return {}


def _text(value: object) -> str:
    """A value as one line of printable text: Postgres refuses NUL and lone surrogates."""
    start = value[:MAX_TEXT_CHARACTERS] if isinstance(value, bytes | str) else ""
    text = start.decode("latin-1") if isinstance(start, bytes) else start
    written = text.partition("\0")[0]  # after the end of a C string is leftover memory
    return " ".join("".join(c if c.isprintable() else " " for c in written).split())


def _time(value: object, offset: object) -> datetime | None:
    date = DATE.match(_text(value))
    if date is None or int(date[1]) not in YEARS:
        return None
    year, month, day, hour, minute, second = map(int, date.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=_zone(_text(offset)))
    except ValueError:  # such as 31 February
        return None


def _zone(offset: str) -> timezone:
    found = OFFSET.fullmatch(offset)
    if found is None:
        return UTC
    east = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(east if found[1] == "+" else -east)


def _camera(make: str, model: str) -> str | None:
    """Make and model, or the model alone if it repeats the make's first word.

    "NIKON CORPORATION" and "NIKON D40" give "NIKON D40".
    """
    brand = make.partition(" ")[0].casefold()
    name = model if model.casefold().startswith(brand) else f"{make} {model}"
    return (name if model else make)[:MAX_CAMERA_CHARACTERS].strip() or None


def _position(tags: Tags) -> tuple[float, float] | None:
    """Latitude and longitude in degrees, or None unless both are valid.

    Exactly (0, 0) is None too: many cameras write it until they have a fix, and it is open sea.
    """
    latitude = _degrees(tags.get(GPS.GPSLatitude), MAX_LATITUDE)
    longitude = _degrees(tags.get(GPS.GPSLongitude), MAX_LONGITUDE)
    north = {"N": 1, "S": -1}.get(_text(tags.get(GPS.GPSLatitudeRef)).upper())
    east = {"E": 1, "W": -1}.get(_text(tags.get(GPS.GPSLongitudeRef)).upper())
    if latitude is None or longitude is None or north is None or east is None:
        return None
    return (north * latitude, east * longitude) if latitude or longitude else None


def _degrees(value: object, limit: int) -> float | None:
    """Degrees, minutes and seconds as degrees, or None if they are not a valid angle."""
    if not isinstance(value, tuple) or len(value) != 3:
        return None
    parts = [float(part) if isinstance(part, Real) else -1.0 for part in value]
    degrees = parts[0] + parts[1] / 60 + parts[2] / 3600
    is_valid = all(part >= 0 for part in parts)  # false for NaN, Pillow's value of n/0
    return degrees if is_valid and max(parts[1:]) <= 60 and degrees <= limit else None
