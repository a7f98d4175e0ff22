"""What a camera wrote into a picture's file: when, with what and where it was taken.

The tags and their meanings are those of CIPA DC-008 (Exif 2.32), 4.6.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from numbers import Real

from PIL import Image as Pillow
from PIL.ExifTags import GPS, IFD, Base

CAMERA_CHARACTERS = 100
TEXT_CHARACTERS = 1_000  # what is longer is no name and no time, but costs ten times its size
YEARS = range(1800, 9999)  # before photography nothing was taken; in 9999 an offset overflows
DATE = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
OFFSET = re.compile(r"([+-])(0\d|1[0-4]):?([0-5]\d)", re.ASCII)  # no clock is beyond UTC+14
MAX_LATITUDE, MAX_LONGITUDE = 90, 180  # degrees
MAIN_TAGS = (Base.Make, Base.Model, Base.DateTime)  # of which there may be thousands

Tags = Mapping[int, object]
"""A directory's values by tag number: whatever types the file says they have."""


@dataclass(frozen=True)
class Exif:
    """What is known of a photograph; None stands for what was not written or makes no sense.

    `taken_at` has a time zone: the offset that the camera noted, or UTC where it noted none,
    which may be hours off. `camera` is printable, of 100 characters at most. `gps` is
    (latitude, longitude) in degrees, north and east positive, taken to be WGS 84.
    """

    taken_at: datetime | None = None
    camera: str | None = None
    gps: tuple[float, float] | None = None


def read_exif(image: Pillow.Image) -> Exif:
    """What the file of `image` says, in any format that carries Exif. Raises nothing.

    `image` is as Pillow opened it: a converted copy has no Exif. It should be loaded, since
    Pillow would load a PNG here, and what a damaged one raises would be lost.
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
    """A directory's tags, of the main one MAIN_TAGS.

    A damaged directory has none: that costs neither the picture nor the other directories.
    """
    try:
        exif = image.getexif()
        if directory is None:
            return {tag: exif[tag] for tag in MAIN_TAGS if tag in exif}
        return exif.get_ifd(directory)
    except Exception:  # noqa: BLE001  # the parser raises whatever it trips over
        return {}


def _text(value: object) -> str:
    """A value's printable characters on one line: Postgres refuses NUL and lone surrogates."""
    start = value[:TEXT_CHARACTERS] if isinstance(value, bytes | str) else ""
    text = start.decode("latin-1") if isinstance(start, bytes) else start
    written = text.partition("\0")[0]  # what follows the end of a C string is left-over memory
    return " ".join("".join(c if c.isprintable() else " " for c in written).split())


def _time(value: object, offset: object) -> datetime | None:
    date = DATE.match(_text(value))
    if date is None or int(date[1]) not in YEARS:
        return None
    year, month, day, hour, minute, second = map(int, date.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=_zone(_text(offset)))
    except ValueError:  # the 31st of February
        return None


def _zone(offset: str) -> timezone:
    found = OFFSET.fullmatch(offset)
    if found is None:
        return UTC
    east = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(east if found[1] == "+" else -east)


def _camera(make: str, model: str) -> str | None:
    """Make and model; the model alone where it begins with the make's first word."""
    brand = make.split(" ", maxsplit=1)[
        0
    ].casefold()  # of "NIKON CORPORATION", whose model is "NIKON D40"
    name = model if model.casefold().startswith(brand) else f"{make} {model}"
    return (name if model else make)[:CAMERA_CHARACTERS].strip() or None


def _position(tags: Tags) -> tuple[float, float] | None:
    """Latitude and longitude, or None without both.

    Exactly 0, 0 is None too: many cameras write it until they have a fix, and what lies there
    is open sea.
    """
    latitude = _degrees(tags.get(GPS.GPSLatitude), MAX_LATITUDE)
    longitude = _degrees(tags.get(GPS.GPSLongitude), MAX_LONGITUDE)
    north = {"N": 1, "S": -1}.get(_text(tags.get(GPS.GPSLatitudeRef)).upper())
    east = {"E": 1, "W": -1}.get(_text(tags.get(GPS.GPSLongitudeRef)).upper())
    if latitude is None or longitude is None or north is None or east is None:
        return None
    return (north * latitude, east * longitude) if latitude or longitude else None


def _degrees(value: object, limit: int) -> float | None:
    """The angle that degrees, minutes and seconds make, or None where they make none."""
    if not isinstance(value, tuple) or len(value) != 3:
        return None
    parts = [float(part) if isinstance(part, Real) else -1.0 for part in value]
    degrees = parts[0] + parts[1] / 60 + parts[2] / 3600
    sound = all(part >= 0 for part in parts)  # Pillow's n/0 is NaN, for which this is false
    return degrees if sound and max(parts[1:]) <= 60 and degrees <= limit else None
