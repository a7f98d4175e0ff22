"""Exif: when, with which camera and where a picture was taken, and what was written about it.

Tags as in CIPA DC-008 (Exif 2.32), section 4.6; Microsoft's XP tags are in UTF-16.
"""

import codecs
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from numbers import Real
from typing import Any

from PIL import Image as Pillow
from PIL.ExifTags import GPS, IFD, Base

from app.pictures.metadata.description import (
    CHANGED,
    DIGITIZED,
    FIX_TOLERANCE,
    MAX_CAPTION_CHARACTERS,
    ORIGINAL,
    YEARS,
    Description,
    Taken,
    best_time,
    camera_name,
    caption_of,
    distinct,
    joined,
    offset_of,
    one_line,
    rated,
    zoned,
)
from app.pictures.metadata.maker_notes import read_burst

MAX_CAMERA_CHARACTERS = 100
MAX_TEXT_CHARACTERS = 2 * MAX_CAPTION_CHARACTERS  # longer values are slow to clean
DATE = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
DAY = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)", re.ASCII)
OFFSET = re.compile(r"([+-])(0\d|1[0-4]):?([0-5]\d)", re.ASCII)  # UTC−14 to UTC+14
MAX_LATITUDE, MAX_LONGITUDE = 90, 180  # degrees
RATING = 0x4746  # Microsoft's; 0 to 5
MAIN_TAGS = (  # a hostile directory has thousands
    *(Base.Make, Base.Model, Base.DateTime, Base.ImageDescription, Base.Artist, Base.Copyright),
    *(Base.XPTitle, Base.XPComment, Base.XPAuthor, Base.XPKeywords, Base.XPSubject, RATING),
)

Tags = Mapping[int, object]
"""Values of one directory (IFD) by tag number, of any type that the file declares."""


def read_exif(image: Pillow.Image) -> Description:
    """Read the Exif of a picture of any format. Never raises.

    `image` must be the object that Pillow opened, since a converted copy has no Exif, and should
    be loaded: `getexif` loads a PNG, and the errors of a damaged one would be lost here. Its
    position is assumed to be WGS 84.
    """
    main, photo = _tags(image, None), _tags(image, IFD.Exif)
    places = _tags(image, IFD.GPSInfo)
    camera = camera_name(*(one_line(_text(main.get(tag))) for tag in (Base.Make, Base.Model)))
    rating = main.get(RATING)
    return Description(
        caption=caption_of(_text(main.get(Base.ImageDescription)))
        or caption_of(_wide(main.get(Base.XPComment)) or _wide(main.get(Base.XPSubject))),
        title=one_line(_wide(main.get(Base.XPTitle))),
        tags=distinct(_wide(main.get(Base.XPKeywords)).split(";")),
        rating=rated(rating) if isinstance(rating, int) and rating > 0 else None,
        creator=joined(_text(main.get(Base.Artist)).partition("\0")[0].split(";"))
        or joined(_wide(main.get(Base.XPAuthor)).split(";")),
        copyright=one_line(_text(main.get(Base.Copyright))),
        camera=one_line(camera or "", MAX_CAMERA_CHARACTERS),
        lens=one_line(_text(photo.get(Base.LensModel))),
        burst=read_burst(photo.get(Base.MakerNote)),
        taken=_by_position(_taken(main, photo), places),
        position=_position(places),
    )


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
    """A text: in UTF-8 if it is, which Pillow does not try, else in Windows's Western code page."""
    start = value[:MAX_TEXT_CHARACTERS] if isinstance(value, bytes | str) else ""
    if isinstance(start, str):
        try:
            start = start.encode("latin-1")
        except UnicodeEncodeError:
            return str(start)
    try:  # its end may have been cut off
        return codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return start.decode("cp1252", "replace")


def _wide(value: object) -> str:
    """A text in UTF-16, as Windows writes its own tags."""
    raw = value[: 2 * MAX_TEXT_CHARACTERS] if isinstance(value, bytes) else b""
    return raw.decode("utf-16-le", "ignore").partition("\0")[0]


def _taken(main: Tags, photo: Tags) -> Taken | None:
    original = _time(
        photo.get(Base.DateTimeOriginal),
        photo.get(Base.OffsetTimeOriginal),
        photo.get(Base.SubsecTimeOriginal),
        ORIGINAL,
    )
    digitized = _time(
        photo.get(Base.DateTimeDigitized),
        photo.get(Base.OffsetTimeDigitized),
        photo.get(Base.SubsecTimeDigitized),
        DIGITIZED,
    )
    changed = _time(
        main.get(Base.DateTime), photo.get(Base.OffsetTime), photo.get(Base.SubsecTime), CHANGED
    )
    return best_time((original, digitized, changed))


def _time(value: object, offset: object, fraction: object, kind: int) -> Taken | None:
    date = DATE.match(one_line(_text(value)) or "")
    if date is None or int(date[1]) not in YEARS:
        return None
    year, month, day, hour, minute, second = map(int, date.groups())
    try:
        local = datetime(year, month, day, hour, minute, second)
    except ValueError:  # such as 31 February
        return None
    digits = (one_line(_text(fraction)) or "")[:6]  # decimal places: "5" is half a second
    if digits.isascii() and digits.isdigit():
        local = local.replace(microsecond=int(digits.ljust(6, "0")))
    return zoned(local, _offset(one_line(_text(offset)) or ""), kind)


def _offset(text: str) -> timedelta | None:
    found = OFFSET.fullmatch(text)
    if found is None:
        return None
    east = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return east if found[1] == "+" else -east


def _by_position(taken: Taken | None, places: Tags) -> Taken | None:
    """With the offset that the satellites' date and time tell, which are in UTC."""
    day = DAY.match(one_line(_text(places.get(GPS.GPSDateStamp))) or "")
    clock: Any = places.get(GPS.GPSTimeStamp)
    if taken is None or taken.local is None or taken.instant or not day:
        return taken
    try:
        seconds = float(clock[0]) * 3600 + float(clock[1]) * 60 + float(clock[2])
        midnight = datetime(int(day[1]), int(day[2]), int(day[3]), tzinfo=UTC)
        zone = offset_of(taken.local, midnight + timedelta(seconds=seconds), FIX_TOLERANCE)
    except (ArithmeticError, IndexError, TypeError, ValueError):
        return taken
    if zone is None:
        return taken
    return replace(taken, instant=taken.local.replace(tzinfo=zone).astimezone(UTC))


def _position(tags: Tags) -> tuple[float, float] | None:
    """Latitude and longitude in degrees, or None unless both are valid.

    Exactly (0, 0) is None too: many cameras write it until they have a fix, and it is open sea.
    """
    latitude = _degrees(tags.get(GPS.GPSLatitude), MAX_LATITUDE)
    longitude = _degrees(tags.get(GPS.GPSLongitude), MAX_LONGITUDE)
    north = {"N": 1, "S": -1}.get((one_line(_text(tags.get(GPS.GPSLatitudeRef))) or "").upper())
    east = {"E": 1, "W": -1}.get((one_line(_text(tags.get(GPS.GPSLongitudeRef))) or "").upper())
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
