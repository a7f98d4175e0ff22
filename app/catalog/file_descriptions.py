"""What a picture's file and sidecars say, apart from what people said: columns of images.

`caption` and `metadata` hold both merged. What the file and the sidecars said is recorded beside
them (`embedded`, `sidecar`), so that it goes when they no longer say it. So is what people said,
which stays and wins: see `said_words.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any

from app.pictures.metadata.description import Taken
from app.sources.sidecars.annotations import Annotation
from app.sources.sidecars.takeout import with_album

Record = Mapping[str, Any]
"""An annotation as JSON."""


@dataclass(frozen=True)
class FileDescription:
    """What a picture's file and its sidecars say, the sidecars first: merged, and each apart."""

    merged: Annotation
    sidecar: Record | None
    embedded: Record

    @classmethod
    def of(cls, sidecar: Annotation, embedded: Annotation) -> "FileDescription":
        """Both merged; an album is one of the tags. A derived place counts where none is said."""
        is_said = "place" in sidecar.metadata | embedded.metadata
        embedded = _placed(embedded, unless=is_said or bool(sidecar.derived_place))
        sidecar = _placed(sidecar, unless=is_said)
        sidecar = with_album(sidecar, embedded)
        return cls(sidecar.over(embedded), sidecar_record(sidecar), record(embedded))

    def times(self, zone: tzinfo) -> dict[str, datetime | None]:
        """The columns of when it was taken; `zone` is the place's where it is not known."""
        taken = self.merged.taken
        if taken is None:
            return {"taken_at": None, "taken_local": None}
        moment = taken.at(zone)
        return {"taken_at": moment, "taken_local": moment.replace(tzinfo=None)}


def _placed(annotation: Annotation, *, unless: bool) -> Annotation:
    """With its derived place as the place, and in any case without a derived one."""
    place = annotation.derived_place
    said = annotation.metadata if unless or not place else annotation.metadata | {"place": place}
    return replace(annotation, metadata=said, derived_place={})


def sidecar_record(sidecar: Annotation) -> Record | None:
    """What a row records of its sidecars; None if they say nothing."""
    return record(sidecar) if sidecar != Annotation() else None


def record(annotation: Annotation) -> Record:
    """An annotation as JSON; without a time if it has none."""
    found: dict[str, Any] = {"caption": annotation.caption, "metadata": annotation.metadata}
    return found | ({"taken": taken_record(annotation.taken)} if annotation.taken else {})


def taken_record(taken: Taken) -> Record:
    """A time as JSON."""
    times = {"local": taken.local, "instant": taken.instant}
    return {name: time and time.isoformat() for name, time in times.items()} | {"kind": taken.kind}


def recorded(record: Record | None) -> Annotation:
    """The annotation that was recorded; an empty one for None."""
    if record is None:
        return Annotation()
    taken = record.get("taken")
    said = Annotation(record.get("caption"), dict(record.get("metadata") or {}))
    return replace(said, taken=recorded_time(taken) if taken else None)


def recorded_time(record: Record) -> Taken:
    """The time that was recorded."""
    local, instant = (
        datetime.fromisoformat(text) if text else None
        for text in (record.get("local"), record.get("instant"))
    )
    return Taken(local, instant, record["kind"])
