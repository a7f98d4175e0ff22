"""Directories of tags, judged before Pillow copies what they claim to hold.

A TIFF file, a block of Exif and an MPO's index are directories of one form (TIFF 6.0, 2): each
tag says how many values it has and where they lie. Pillow copies them tag by tag, so 200 tags
that point at the same 4 MB become 800 MB, and some numbers take fifty times their size. In
honest files no two tags share their values, beyond a few bytes.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from PIL import TiffImagePlugin
from PIL.ExifTags import IFD
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from app.errors import ImageCorrupt

MAX_TAGS = 4_096  # of a directory and those below it; fewer than 1,000 have a meaning
MAX_NUMBERS = 131_072  # of the same: where 65,536 strips of pixels lie, and how long each is
SLACK_BYTES = 65_536  # that tags may share: some writers store two equal resolutions once

HEADERS = {
    b"MM\0*": (">", False),
    b"II*\0": ("<", False),
    b"MM*\0": (">", False),
    b"II\0*": ("<", False),
    b"MM\0+": (">", False),
    b"II+\0": ("<", True),
}
"""The first four bytes that Pillow takes: the order of a number's bytes, whether it is BigTIFF.

The fifth begins a BigTIFF, but Pillow reads it as if it were none.
"""

HEADER_BYTES = 16  # of BigTIFF; the other's are 8

NUMBERS = {
    3: "H",
    4: "L",
    5: "2L",
    6: "b",
    8: "h",
    9: "l",
    10: "2l",
    11: "f",
    12: "d",
    13: "L",
    16: "Q",
}
"""The types whose values become objects of Python's, and the form of one in the file."""

WHOLE = ("H", "L", "b", "h", "l", "Q")

SIZES = {1: 1, 2: 1, 7: 1} | {kind: struct.calcsize("=" + form) for kind, form in NUMBERS.items()}
"""The bytes of one value, of each type that Pillow reads; it passes by the others."""

Tree = dict[int, "Tree"]
BELOW: Tree = {IFD.Exif: {IFD.Interop: {}}, IFD.GPSInfo: {}}
"""The directories that Pillow reads below the main one, by the tags that point at them."""


@dataclass(frozen=True)
class Tag:
    """An entry of a directory; its values lie `at` this place in the file."""

    number: int
    kind: int
    count: int
    at: int

    @property
    def size(self) -> int:
        """The bytes of all its values, as Pillow counts them."""
        return self.count * SIZES.get(self.kind, 0)


@dataclass(frozen=True)
class Structure:
    """A file of directories: `order` is struct's, `big` says whether it is BigTIFF."""

    file: IO[bytes]
    order: str
    big: bool

    def fault(self, start: int) -> str | None:
        """What is wrong with the directory at `start` and those below it, if anything."""
        length = self.file.seek(0, io.SEEK_END)
        numbers = size = 0
        for tags, tag in enumerate(self._tags(start, length, BELOW), 1):
            numbers += tag.count if tag.kind in NUMBERS else 0
            size += tag.size
            if size > length + SLACK_BYTES:
                return "its tags claim more bytes than the file has"
            if tags > MAX_TAGS or numbers > MAX_NUMBERS:
                return f"it has more than {MAX_TAGS:,} tags, or {MAX_NUMBERS:,} numbers in them"
        return None

    def _tags(self, start: int, length: int, below: Tree) -> Iterator[Tag]:
        """The tags at `start`, then those of the directories that they point at.

        Of equal tags Pillow keeps the last. However the pointers run, no more than four
        directories are read: `below` ends.
        """
        pointers = {}
        for tag in self._directory(start, length):
            yield tag
            if tag.number in below:
                pointers[tag.number] = tag
        for number, pointer in pointers.items():
            yield from self._tags(self._first(pointer), length, below[number])

    def _directory(self, start: int, length: int) -> Iterator[Tag]:
        """The tags at `start` up to the one that Pillow stops at: its values are not there.

        Of too many, one more than is allowed.
        """
        counter, form, inline = ("Q", "HHQ8s", 8) if self.big else ("H", "HHL4s", 4)
        entry = struct.Struct(self.order + form)
        first = start + struct.calcsize("=" + counter)
        if not 0 <= start <= first <= length:
            return
        (count,) = struct.unpack(self.order + counter, self._read(start, first - start))
        whole = min(count, (length - first) // entry.size, MAX_TAGS + 1)
        entries = entry.iter_unpack(self._read(first, whole * entry.size))
        for place, (number, kind, values, value) in enumerate(entries):
            at = first + (place + 1) * entry.size - inline
            tag = Tag(number, kind, values, at)
            if tag.size > inline:
                (at,) = struct.unpack(self.order + ("Q" if self.big else "L"), value)
                tag = Tag(number, kind, values, at)
            if tag.at + tag.size > length:
                return
            yield tag

    def _first(self, tag: Tag) -> int:
        """The tag's first value, if it is a whole number, or else -1, where nothing lies."""
        form = NUMBERS.get(tag.kind)
        if form not in WHOLE or not tag.count:
            return -1
        return int(struct.unpack(self.order + form, self._read(tag.at, SIZES[tag.kind]))[0])

    def _read(self, start: int, size: int) -> bytes:
        self.file.seek(start)
        return self.file.read(size)


def check_tiff(file: IO[bytes]) -> None:
    """Raise ImageCorrupt if `file` is a TIFF whose tags claim what it does not have.

    Leaves the file at its start, where it must be.
    """
    head = file.read(HEADER_BYTES)
    order, big = HEADERS.get(head[:4], ("", False))
    pointer = head[8:16] if big else head[4:8]
    if order and len(pointer) == (8 if big else 4):
        (start,) = struct.unpack(order + ("Q" if big else "L"), pointer)
        fault = Structure(file, order, big).fault(start)
        if fault is not None:
            raise ImageCorrupt(f"The picture is damaged: {fault}.")
    file.seek(0)


class BoundedDirectory(ImageFileDirectory_v2):
    """Pillow's directory, which stays empty where reading it would cost too much."""

    def load(self, fp: IO[bytes]) -> None:
        """Read the directory that the file stands at, or nothing."""
        start = fp.tell()
        fault = Structure(fp, self._endian, self._bigtiff).fault(start)
        fp.seek(start)
        if fault is None:
            super().load(fp)
        else:
            self.reset()


def bound_pillow() -> None:
    """Let Pillow read no directory that costs too much: damaged metadata is then left out.

    There is no other place to do so: Pillow reads the Exif of a JPEG or AVIF, which may be
    spread over the file, and an MPO's index, before it gives away what they are.
    """
    TiffImagePlugin.ImageFileDirectory_v2 = BoundedDirectory  # type: ignore[misc]
