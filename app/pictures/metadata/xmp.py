"""XMP packets: RDF in XML, in a file or beside it.

The packet's syntax is ISO 16684-1; the properties are those of Adobe's, the IPTC's and the Metadata
Working Group's schemas. Names are read with their namespaces: `xmp:Rating` and
`MicrosoftPhoto:Rating` are two things. A packet with a document type is refused, since only that
can define entities.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from xml.etree.ElementTree import Element

from app.pictures.metadata.description import (
    DIGITIZED,
    LONGEST_OFFSET,
    MAX_PEOPLE,
    ORIGINAL,
    YEARS,
    Description,
    Taken,
    best_time,
    camera_name,
    caption_of,
    distinct,
    joined,
    one_line,
    rated,
    zoned,
)
from app.pictures.metadata.xmp_packets import parse_packet

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
DC = "{http://purl.org/dc/elements/1.1/}"
XMP = "{http://ns.adobe.com/xap/1.0/}"
PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
TIFF = "{http://ns.adobe.com/tiff/1.0/}"
EXIF = "{http://ns.adobe.com/exif/1.0/}"
EXIF_EX = "{http://cipa.jp/exif/1.0/}"
AUX = "{http://ns.adobe.com/exif/1.0/aux/}"
GOOGLE_CAMERA = "{http://ns.google.com/photos/1.0/camera/}"
LIGHTROOM = "{http://ns.adobe.com/lightroom/1.0/}"
DIGIKAM = "{http://www.digikam.org/ns/1.0/}"
MICROSOFT = "{http://ns.microsoft.com/photo/1.0/}"
IPTC_EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
REGIONS = "{http://www.metadataworkinggroup.com/schemas/regions/}"
MICROSOFT_REGION = "{http://ns.microsoft.com/photo/1.2/t/Region#}"

CONTAINERS = {f"{RDF}{kind}" for kind in ("Bag", "Seq", "Alt")}
OWN_TAGS = "darktable"  # the root of tags that a program keeps for itself
PERCENT = ((99, 5), (75, 4), (50, 3), (25, 2), (1, 1))  # MicrosoftPhoto:Rating in stars
DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?)?"
    r"\s*(Z|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
COORDINATE = re.compile(r"(\d{1,3}),(\d{1,2}(?:\.\d{1,12})?)(?:,(\d{1,2}))?([NSEW])", re.ASCII)

HIERARCHIES = (
    (f"{LIGHTROOM}hierarchicalSubject", "|"),
    (f"{DIGIKAM}TagsList", "/"),
    (f"{MICROSOFT}LastKeywordXMP", "/"),
)
"""Properties of keywords in hierarchies, and what their levels are separated by."""

T = TypeVar("T")
Values = Mapping[str, list[str]]
"""The texts of each property; of language alternatives only the default."""


@dataclass(frozen=True)
class _Item:
    text: str
    language: str


def read_xmp(data: bytes) -> Description:
    """What a packet says. Raises AnnotationInvalid if it is none, or too large."""
    root = parse_packet(data)
    values: dict[str, list[str]] = {}
    for graph in root.iter(f"{RDF}RDF"):
        for node in graph.findall(f"{RDF}Description"):  # those below describe other things
            for name, texts in _properties(node):
                values.setdefault(name, texts)
    return Description(
        caption=_first(values, caption_of, f"{DC}description", f"{TIFF}ImageDescription"),
        title=_first(values, one_line, f"{DC}title", f"{PHOTOSHOP}Headline"),
        tags=_tags(values),
        people=_people(root, values),
        rating=_rating(values),
        label=_first(values, one_line, f"{XMP}Label"),
        city=_first(values, one_line, f"{PHOTOSHOP}City"),
        state=_first(values, one_line, f"{PHOTOSHOP}State"),
        country=_first(values, one_line, f"{PHOTOSHOP}Country"),
        creator=joined(values.get(f"{DC}creator", ())),
        copyright=_first(values, one_line, f"{DC}rights"),
        camera=camera_name(
            *(_first(values, one_line, f"{TIFF}{end}") for end in ("Make", "Model"))
        ),
        lens=_first(values, one_line, f"{EXIF_EX}LensModel", f"{AUX}LensModel", f"{AUX}Lens"),
        burst=_first(values, one_line, f"{GOOGLE_CAMERA}BurstID"),
        taken=_taken(values),
        position=_position(values),
    )


def _properties(node: Element) -> Iterator[tuple[str, list[str]]]:
    """The properties of a description: attributes, and elements of any form."""
    for name, text in node.items():
        if not name.startswith((RDF, "{http://www.w3.org/XML/")):
            yield name, [text]
    for child in node:
        if texts := _texts(child):
            yield child.tag, texts


def _texts(element: Element) -> list[str]:
    """An element's text, those of its list, or the default of its language alternatives."""
    container = next((child for child in element if child.tag in CONTAINERS), None)
    if container is None:
        text = (element.text or "").strip()
        return [text] if text and not len(element) else []
    items = [
        _Item((one.text or "").strip(), one.get(LANGUAGE, "")) for one in container.iter(f"{RDF}li")
    ]
    if any(item.language for item in items):
        items.sort(key=lambda item: item.language.lower() != "x-default")
        items = items[:1] if items[0].text else [item for item in items if item.text][:1]
    return [item.text for item in items if item.text]


def _first(values: Values, read: Callable[[str], T | None], *names: str) -> T | None:
    """What is read from the first property that says something."""
    found = (read(text) for name in names for text in values.get(name, ()))
    return next((one for one in found if one is not None), None)


def _tags(values: Values) -> tuple[str, ...]:
    """Keywords, and each level of hierarchical ones; without those of darktable's own."""
    paths = [
        path.split(separator) for name, separator in HIERARCHIES for path in values.get(name, ())
    ]
    shown = [part for path in paths if path[0].strip() != OWN_TAGS for part in path]
    own = {part.strip() for path in paths if path[0].strip() == OWN_TAGS for part in path}
    own -= {part.strip() for part in shown}
    subjects = [word for word in values.get(f"{DC}subject", ()) if word.strip() not in own]
    return distinct([*(_leaf(word) for word in subjects), *shown])


def _leaf(word: str) -> str:
    """Some programs write paths among the keywords too, under darktable's root for one."""
    return "" if word.startswith(f"{OWN_TAGS}|") else word


def _people(root: Element, values: Values) -> tuple[str, ...]:
    """Those named in the picture: as the IPTC has it, and by the regions of their faces."""
    names = list(values.get(f"{IPTC_EXT}PersonInImage", ()))
    for element in root.iter():
        name = _of(element, f"{REGIONS}Name")
        if name and (_of(element, f"{REGIONS}Type") or "Face") == "Face":
            names.append(name)
        names.append(_of(element, f"{MICROSOFT_REGION}PersonDisplayName") or "")
    return distinct(names, MAX_PEOPLE)


def _of(element: Element, name: str) -> str | None:
    """A property of a structure: an attribute or an element."""
    return element.get(name) or element.findtext(name)


def _rating(values: Values) -> float | None:
    """Stars; 0 is none. Microsoft's are in percent."""
    stars = _first(values, _number, f"{XMP}Rating")
    if stars is not None:
        return rated(stars)
    percent = _first(values, _number, f"{MICROSOFT}Rating")
    return next((stars for least, stars in PERCENT if (percent or 0) >= least), None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _taken(values: Values) -> Taken | None:
    names = {f"{EXIF}DateTimeOriginal": ORIGINAL, f"{PHOTOSHOP}DateCreated": ORIGINAL}
    names[f"{XMP}CreateDate"] = DIGITIZED
    return best_time(_time(text, names[name]) for name in names for text in values.get(name, ()))


def _time(text: str, kind: int) -> Taken | None:
    """A date with or without a time and an offset; a year or month alone is no time."""
    found = DATE.fullmatch(text.strip())
    if found is None or int(found[1]) not in YEARS:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    try:
        local = datetime(year, month, day, hour, minute, second)
    except ValueError:  # such as 31 February
        return None
    local += timedelta(seconds=float(found[7] or 0))
    return zoned(local, parsed_offset(found[8]) if found[4] else None, kind)


def parsed_offset(text: str | None) -> timedelta | None:
    """An offset from UTC like +02:00, -0330 or Z."""
    if text == "Z":
        return timedelta()
    if not text:
        return None
    east = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    if east > LONGEST_OFFSET:
        return None
    return -east if text[0] == "-" else east


def _position(values: Values) -> tuple[float, float] | None:
    """As in Exif: exactly (0, 0) is no place."""
    latitude = _first(values, _degrees, f"{EXIF}GPSLatitude")
    longitude = _first(values, _degrees, f"{EXIF}GPSLongitude")
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    return (latitude, longitude) if latitude or longitude else None


def _degrees(text: str) -> float | None:
    """Degrees of an angle like 38,42.5N or 38,42,30N."""
    found = COORDINATE.fullmatch(text.strip())
    if found is None:
        return None
    degrees = int(found[1]) + float(found[2]) / 60 + int(found[3] or 0) / 3600
    return -degrees if found[4] in "SW" else degrees
