"""IPTC's Information Interchange Model (IIM 4.2): captions and keywords of before XMP."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from app.pictures.metadata.description import (
    DIGITIZED,
    YEARS,
    Description,
    Taken,
    best_time,
    caption_of,
    distinct,
    joined,
    one_line,
    zoned,
)
from app.pictures.metadata.xmp import parsed_offset

MAX_IPTC_BYTES = 1_000_000
MAX_VALUES = 2_000  # in all; a block has some dozens
TAG = 0x1C
LONG = 0x8000  # set in the length of values that are longer than it can say
UTF_8 = b"\x1b%G"  # what 1:90 says of a block in UTF-8
DATE = re.compile(r"(\d{4})(\d\d)(\d\d)", re.ASCII)
TIME = re.compile(r"(\d\d)(\d\d)(\d\d)([+-]\d{4})?", re.ASCII)

CHARACTER_SET = (1, 90)
TITLE, KEYWORD, CREATOR, CITY, STATE, COUNTRY = ((2, n) for n in (5, 25, 80, 90, 95, 101))
HEADLINE, COPYRIGHT, CAPTION = (2, 105), (2, 116), (2, 120)
CREATED, DIGITIZED_AT = ((2, 55), (2, 60)), ((2, 62), (2, 63))

Values = Mapping[tuple[int, int], list[str]]
"""Texts by record and dataset."""


def read_iptc(data: bytes) -> Description:
    """What a block says; nothing if it is damaged from the start. Never raises."""
    values = _texts(data)
    return Description(
        caption=_first_caption(values),
        title=_line(values, TITLE) or _line(values, HEADLINE),
        tags=distinct(values.get(KEYWORD, ())),
        city=_line(values, CITY),
        state=_line(values, STATE),
        country=_line(values, COUNTRY),
        creator=joined(values.get(CREATOR, ())),
        copyright=_line(values, COPYRIGHT),
        taken=best_time((_taken(values, *CREATED), _taken(values, *DIGITIZED_AT, DIGITIZED))),
    )


def _texts(data: bytes) -> Values:
    """All values, in UTF-8 if that is said or they are, else in Windows's Western code page."""
    raw: dict[tuple[int, int], list[bytes]] = {}
    for dataset, value in _values(data[:MAX_IPTC_BYTES]):
        raw.setdefault(dataset, []).append(value)
    every = [value for values in raw.values() for value in values]
    is_utf8 = UTF_8 in raw.get(CHARACTER_SET, ()) or all(map(_is_utf8, every))
    encoding = "utf-8" if is_utf8 else "cp1252"
    return {key: [one.decode(encoding, "replace") for one in raw[key]] for key in raw}


def _values(data: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Up to MAX_VALUES, up to the first that is damaged."""
    at = 0
    for _ in range(MAX_VALUES):
        head = data[at : at + 5]
        if len(head) < 5 or head[0] != TAG:
            return
        length = int.from_bytes(head[3:])
        at += 5
        if length & LONG:
            digits = length & ~LONG
            length = int.from_bytes(data[at : at + min(digits, 8)])
            at += digits
        if at + length > len(data):
            return
        yield (head[1], head[2]), data[at : at + length]
        at += length


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _line(values: Values, dataset: tuple[int, int]) -> str | None:
    return next(filter(None, map(one_line, values.get(dataset, ()))), None)


def _first_caption(values: Values) -> str | None:
    return next(filter(None, map(caption_of, values.get(CAPTION, ()))), None)


def _taken(
    values: Values, date: tuple[int, int], time: tuple[int, int], kind: int = 0
) -> Taken | None:
    """A date with its time, if that is given; a year or month alone is no time."""
    day = DATE.match(_line(values, date) or "")
    hour = TIME.match(_line(values, time) or "")
    if day is None or int(day[1]) not in YEARS:
        return None
    clock = (int(hour[part]) for part in (1, 2, 3)) if hour else (0, 0, 0)
    try:
        local = datetime(int(day[1]), int(day[2]), int(day[3]), *clock)
    except ValueError:  # such as 31 February
        return None
    return zoned(local, parsed_offset(hour[4]) if hour else None, kind)
