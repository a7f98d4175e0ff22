"""Writes what is said of pictures as XMP sidecars; the pictures themselves are never written to."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from uuid import uuid4

from app.catalog.images import image_descriptions
from app.catalog.images.image_descriptions import ImageDescription
from app.database.connections import Sessions
from app.pictures.metadata.xmp_writing import HEAD_BYTES, is_ours, xmp_packet
from app.sources.interfaces import S3_SCHEME
from app.sources.sidecars.companions import XMP_SIDECAR
from app.storage.disk import STORE_SCHEME

PAGE = 500  # pictures read at a time
FOREIGN = "Another program's sidecar is there; it is left as it is."
TAKEN = "Another picture's sidecar has this name."
NOT_BESIDE = "The picture is in no folder: export it with --to."

WRITTEN, SAME, SILENT, REFUSED = "written", "unchanged", "nothing to say", "refused"


@dataclass(frozen=True)
class Exported:
    """What became of one picture: an outcome, the sidecar's place, and why it was refused."""

    outcome: str
    place: Path | None = None
    reason: str = ""


@dataclass
class XmpExport:
    """One export of a collection.

    Sidecars go into the folder `into`, at their pictures' paths; beside the pictures if it is None,
    where `root` is that of relative paths. `by_stem` names them IMG.xmp, as Lightroom does, instead
    of IMG.jpg.xmp.
    """

    sessions: Sessions
    collection_id: int
    into: Path | None
    root: Path
    by_stem: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    _places: set[str] = field(default_factory=set)

    def run(self, tell: Callable[[Exported], object]) -> None:
        """Write the sidecars; `tell` is called with what became of each picture."""
        for words in self._words():
            done = self._export(words)
            self.counts[done.outcome] += 1
            tell(done)

    def _words(self) -> Iterator[ImageDescription]:
        after = 0
        while True:
            with self.sessions.begin() as session:
                found = image_descriptions.page(session, self.collection_id, after, PAGE)
            if not found:
                return
            yield from found
            after = found[-1].id

    def _export(self, words: ImageDescription) -> Exported:
        packet = xmp_packet(words.caption, words.metadata)
        if packet is None:
            return Exported(SILENT)
        place = self._place(words)
        if place is None:
            return Exported(REFUSED, Path(words.origin or words.stored_path), NOT_BESIDE)
        if os.fspath(place).casefold() in self._places:  # some disks ignore case
            return Exported(REFUSED, place, TAKEN)
        self._places.add(os.fspath(place).casefold())
        try:
            return _write(place, packet)
        except OSError as error:
            return Exported(REFUSED, place, f"It cannot be written: {error.strerror}.")

    def _place(self, words: ImageDescription) -> Path | None:
        path = words.stored_path
        is_kept_elsewhere = path.startswith((STORE_SCHEME, S3_SCHEME))
        if self.into is None:
            return None if is_kept_elsewhere else self._named(self.root / path)
        if path.startswith(STORE_SCHEME):
            path = words.origin or path.rpartition("/")[2]
        parts = PurePosixPath(path.removeprefix(S3_SCHEME).replace("\\", "/")).parts
        inside = [part for part in parts if part.strip("./")]  # no way out of the folder
        return self._named(self.into.joinpath(*(inside or [str(words.id)])))

    def _named(self, picture: Path) -> Path:
        if self.by_stem:
            return picture.with_suffix(XMP_SIDECAR)
        return picture.with_name(picture.name + XMP_SIDECAR)


def _write(place: Path, packet: bytes) -> Exported:
    """Write a sidecar as a whole or not at all. Raises OSError."""
    with suppress(FileNotFoundError):
        with place.open("rb") as file:
            known = file.read(max(HEAD_BYTES, len(packet) + 1))
        if known == packet:
            return Exported(SAME, place)
        if not is_ours(known):
            return Exported(REFUSED, place, FOREIGN)
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{uuid4().hex}.tmp")
    try:
        temporary.write_bytes(packet)
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)
    return Exported(WRITTEN, place)
