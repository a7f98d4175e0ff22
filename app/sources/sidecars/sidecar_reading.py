"""Reads the sidecars of a picture: our own JSON, XMP, Google Takeout's, and an album's."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import AnnotationInvalid, ImageRejected, ImageVanished
from app.pictures.metadata.description import Description, rated
from app.pictures.metadata.xmp import read_xmp
from app.pictures.metadata.xmp_packets import MAX_XMP_BYTES
from app.sources.sidecars.annotations import (
    MAX_SIDECAR_BYTES,
    Annotation,
    annotation_of,
    check_metadata,
    parse_object,
)
from app.sources.sidecars.companions import XMP_SIDECAR, belongs, is_album
from app.sources.sidecars.takeout import is_takeout, read_album, read_takeout

STRAY = "This sidecar of Google Takeout describes no picture in its folder."
OURS, XMP, TAKEOUT, ALBUM = range(4)
"""The kinds of sidecars: the first say most of what people mean."""

NamePlace = Callable[[tuple[float, float]], dict[str, str]]
"""From a position to the names of its place, as `PlaceNames.of`."""

ReadSidecar = Callable[[str, int], bytes]
"""Reads a sidecar by its name, up to so many bytes. Raises as `Source.read`."""


def read_sidecars(
    read: ReadSidecar,
    picture: str,
    names: Sequence[str],
    *,
    keep_gps: bool,
    name_place: NamePlace | None = None,
) -> tuple[Annotation, list[str]]:
    """What the sidecars of a picture say, and what is wrong with those that were passed over.

    `picture` and `names` are names of files, without their folder. One that is gone says nothing.
    Raises SourceUnavailable and SourceUnreadable.
    """
    found: list[Sidecar] = []
    faults: list[str] = []
    for name in names:
        try:
            data = read(name, max_bytes(name))
            found.append(parse(name, data, keep_gps=keep_gps, name_place=name_place))
        except ImageVanished:
            continue
        except (AnnotationInvalid, ImageRejected) as error:
            faults.append(f"{name}: {error}")
    return merged(picture, found), faults


@dataclass(frozen=True)
class Sidecar:
    """What one sidecar says, and its kind."""

    name: str
    kind: int
    annotation: Annotation


def merged(picture: str, sidecars: Iterable[Sidecar]) -> Annotation:
    """What they say together; our own JSON counts only under our own name of it."""
    whole = Annotation()
    for one in sorted(sidecars, key=lambda one: one.kind):
        if one.kind != OURS or belongs(one.name, picture):
            whole = whole.over(one.annotation)
    return whole


def max_bytes(name: str) -> int:
    """The largest sidecar of that name that is read."""
    return MAX_XMP_BYTES if name.lower().endswith(XMP_SIDECAR) else MAX_SIDECAR_BYTES


def parse(
    name: str, data: bytes, *, keep_gps: bool, name_place: NamePlace | None = None
) -> Sidecar:
    """One sidecar. Raises AnnotationInvalid."""
    rules: Any = {"keep_gps": keep_gps, "name_place": name_place}
    if name.lower().endswith(XMP_SIDECAR):
        return Sidecar(name, XMP, described(read_xmp(data), **rules))
    value = parse_object(data)
    if is_album(name):
        return Sidecar(name, ALBUM, described(read_album(value), **rules))
    if is_takeout(value):
        return Sidecar(name, TAKEOUT, described(read_takeout(value), **rules))
    return Sidecar(name, OURS, annotation_of(value))


def is_stray(name: str, data: bytes) -> bool:
    """Whether a sidecar of no picture is Takeout's, as its name suggests."""
    try:
        return parse(name, data, keep_gps=False).kind == TAKEOUT
    except AnnotationInvalid:
        return False


def described(
    found: Description, *, keep_gps: bool, name_place: NamePlace | None = None
) -> Annotation:
    """A description as caption and metadata; without the position unless `keep_gps`."""
    place = {"city": found.city, "state": found.state, "country": found.country}
    position = found.position if keep_gps else None
    metadata: dict[str, Any] = {
        "title": found.title,
        "tags": list(found.tags),
        "people": list(found.people),
        "rating": found.rating and rated(found.rating),
        "label": found.label,
        "place": {key: value for key, value in place.items() if value},
        "creator": found.creator,
        "copyright": found.copyright,
        "camera": found.camera,
        "lens": found.lens,
        "album": found.album,
        "burst": found.burst,
        "gps": position and dict(zip(("latitude", "longitude"), position, strict=True)),
    }
    said = {key: value for key, value in metadata.items() if value}
    derived = name_place(found.position) if name_place and found.position else {}
    return Annotation(found.caption, check_metadata(said), found.taken, derived)
