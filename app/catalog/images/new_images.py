"""A picture's row before it is written."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from typing import Any

from app.catalog.file_descriptions import FileDescription
from app.pictures.decoding import Picture
from app.pictures.perceptual_hash import perceptual_hash
from app.sources.sidecars.annotations import Annotation
from app.sources.sidecars.sidecar_reading import NamePlace, described
from app.sources.sidecars.takeout import with_album

NO_ANNOTATION = Annotation()


@dataclass(frozen=True)
class MetadataRules:
    """What is kept of what files say: positions only if `keep_gps`.

    `zone` is that of pictures whose offset from UTC is not known. `name_place` names the places of
    positions, also of those that are not kept.
    """

    keep_gps: bool = False
    zone: tzinfo = UTC
    name_place: NamePlace | None = None


DEFAULT_RULES = MetadataRules()


@dataclass(frozen=True)
class NewImage:
    """The values of a picture's row before it is inserted."""

    path: str
    content_hash: bytes
    etag: str
    bytes: int
    width: int
    height: int
    format: str
    perceptual_hash: int | None = None
    taken_at: datetime | None = None
    taken_local: datetime | None = None  # without a time zone
    caption: str | None = None
    metadata: Mapping[str, Any] | None = None
    origin: str | None = None
    said_caption: str | None = None
    said_metadata: Mapping[str, Any] = field(default_factory=dict)
    sidecar: Mapping[str, Any] | None = None
    embedded: Mapping[str, Any] | None = None
    frame_times: Sequence[float] | None = None  # of a video whose frames are indexed, in seconds

    def values(self) -> dict[str, Any]:
        """Its columns, except the collection."""
        times = None if self.frame_times is None else list(self.frame_times)
        return {**vars(self), "metadata": dict(self.metadata or {}), "frame_times": times}


def new_image(
    path: str,
    etag: str,
    data: bytes,
    picture: Picture,
    said: Annotation = NO_ANNOTATION,
    sidecar: Annotation = NO_ANNOTATION,
    rules: MetadataRules = DEFAULT_RULES,
) -> NewImage:
    """Describe the file `data`, decoded to `picture`.

    What people `said` takes precedence over its sidecars, and these over what its file says.
    """
    place = sidecar.derived_place or said.derived_place
    sidecar = replace(sidecar, derived_place=place)  # nobody has said it
    words = FileDescription.of(sidecar, embedded_words(picture, rules))
    said = with_album(said, words.merged)
    whole = said.over(words.merged)
    moment = None if whole.taken is None else whole.taken.at(rules.zone)
    return NewImage(
        path=path,
        content_hash=hashlib.sha256(data).digest(),
        etag=etag,
        bytes=len(data),
        width=picture.width,
        height=picture.height,
        format=picture.format,
        perceptual_hash=None if picture.seconds is not None else perceptual_hash(picture.image),
        taken_at=moment,
        taken_local=None if moment is None else moment.replace(tzinfo=None),
        caption=whole.caption,
        metadata=whole.metadata,
        said_caption=said.caption,
        said_metadata=said.metadata,
        sidecar=words.sidecar,
        embedded=words.embedded,
    )


def embedded_words(picture: Picture, rules: MetadataRules = DEFAULT_RULES) -> Annotation:
    """What a picture's file says, and what else it has: a film, frames, a length in seconds."""
    words = described(picture.description, keep_gps=rules.keep_gps, name_place=rules.name_place)
    found: dict[str, Any] = {}
    if picture.film_offset is not None:
        found |= {"motion": True, "motion_offset": picture.film_offset}
    if picture.frames > 1:
        found["frames"] = picture.frames
    if picture.duration is not None:
        found |= {"video": True, "duration": round(picture.duration, 3)}
    return replace(words, metadata=found | words.metadata)
