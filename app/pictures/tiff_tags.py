"""Checks of TIFF directories (IFDs) before Pillow copies the values that they point at.

TIFF files, Exif blocks and MPO indexes are all directories (TIFF 6.0, section 2): each tag says
how many values it has, and at which offset. Pillow copies the values tag by tag: 200 tags that
point at the same 4 MB become 800 MB, and as Python objects some numbers take fifty times their
size. In honest files no two tags share values, except for a few bytes.
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

MAX_TAGS = 4_096  # in a directory and those below it; fewer than 1,000 are defined
MAX_NUMBERS = 131_072  # likewise: enough for the offset and length of 65,536 strips
MAX_INTEGERS = 65_536  # of a tag that are read: the offsets of so many strips
SLACK_BYTES = 65_536  # that tags may share: some writers store two equal resolutions once

HEADERS = {
    b"MM\0*": (">", False),
    b"II*\0": ("<", False),
    b"MM*\0": (">", False),
    b"II\0*": ("<", False),
    b"MM\0+": (">", False),
    b"II+\0": ("<", True),
}
"""The signatures that Pillow accepts: byte order (as in `struct`), and whether it is BigTIFF.

The fifth is big-endian BigTIFF, which Pillow reads as plain TIFF.
"""

HEADER_BYTES = 16  # of BigTIFF; plain TIFF has 8

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
"""The numeric tag types, and the `struct` format of a value; Pillow makes each an object."""

INTEGERS = ("H", "L", "b", "h", "l", "Q")

SIZES = {1: 1, 2: 1, 7: 1} | {kind: struct.calcsize("=" + code) for kind, code in NUMBERS.items()}
"""Bytes per value of each tag type that Pillow reads; it skips the others."""

Tree = dict[int, "Tree"]
SUBDIRECTORIES: Tree = {IFD.Exif: {IFD.Interop: {}}, IFD.GPSInfo: {}}
"""The directories that Pillow reads below the main one, by the tags that point at them."""


@dataclass(frozen=True)
class Tag:
    """An entry of a directory: `count` values of type `kind`, at `offset` in the file."""

    number: int
    kind: int
    count: int
    offset: int

    @property
    def size(self) -> int:
        """The size of all its values in bytes, as Pillow computes it."""
        return self.count * SIZES.get(self.kind, 0)


@dataclass(frozen=True)
class TiffReader:
    """Reads the directories of `file`: byte `order` as in `struct`, `big` for BigTIFF."""

    file: IO[bytes]
    order: str
    big: bool

    def fault(self, start: int) -> str | None:
        """What is wrong with the directory at `start` and those below it; None if nothing."""
        length = self.file.seek(0, io.SEEK_END)
        numbers = size = 0
        for tags, tag in enumerate(self._tags(start, length, SUBDIRECTORIES), 1):
            numbers += tag.count if tag.kind in NUMBERS else 0
            size += tag.size
            if size > length + SLACK_BYTES:
                return "its tags claim more bytes than the file has"
            if tags > MAX_TAGS or numbers > MAX_NUMBERS:
                return f"it has more than {MAX_TAGS:,} tags, or {MAX_NUMBERS:,} numbers in them"
        return None

    def directory(self, start: int) -> dict[int, Tag]:
        """The tags of the directory at `start` by number, without those below it."""
        length = self.file.seek(0, io.SEEK_END)
        return {tag.number: tag for tag in self._directory(start, length)}

    def following(self, start: int) -> int:
        """The offset of the directory after the one at `start`, 0 if there is none."""
        counter, entry, pointer = ("Q", 20, "Q") if self.big else ("H", 12, "L")
        count = self._unpacked(counter, start)
        return self._unpacked(pointer, start + struct.calcsize("=" + counter) + count * entry)

    def integers(self, tag: Tag | None, limit: int = MAX_INTEGERS) -> tuple[int, ...]:
        """The tag's first values, up to `limit`; empty if it is missing or has no integers."""
        code = NUMBERS.get(tag.kind) if tag else "B"
        if tag is None or code not in INTEGERS:
            return ()
        count = min(tag.count, limit)
        packed = self._read(tag.offset, count * SIZES[tag.kind])
        return struct.unpack(f"{self.order}{count}{code}", packed)

    def bytes_of(self, tag: Tag | None, limit: int) -> bytes:
        """The tag's first `limit` bytes, as they are in the file; empty if it is missing."""
        return self._read(tag.offset, min(tag.size, limit)) if tag else b""

    def _unpacked(self, code: str, start: int) -> int:
        packed = self._read(start, struct.calcsize("=" + code))
        is_whole = len(packed) == struct.calcsize("=" + code)
        return int(struct.unpack(self.order + code, packed)[0]) if is_whole else 0

    def _tags(self, start: int, length: int, subdirectories: Tree) -> Iterator[Tag]:
        """The tags at `start`, then those of the directories that they point at.

        If a tag is repeated, the last one counts, as in Pillow. At most four directories are
        read, even if the pointers form a cycle, because `subdirectories` is finite.
        """
        pointers = {}
        for tag in self._directory(start, length):
            yield tag
            if tag.number in subdirectories:
                pointers[tag.number] = tag
        for number, pointer in pointers.items():
            yield from self._tags(self._first_value(pointer), length, subdirectories[number])

    def _directory(self, start: int, length: int) -> Iterator[Tag]:
        """The tags at `start`, up to the first whose values lie outside the file, as in Pillow.

        At most MAX_TAGS + 1.
        """
        counter, layout, inline = ("Q", "HHQ8s", 8) if self.big else ("H", "HHL4s", 4)
        entry = struct.Struct(self.order + layout)
        first = start + struct.calcsize("=" + counter)
        if not 0 <= start <= first <= length:
            return
        (count,) = struct.unpack(self.order + counter, self._read(start, first - start))
        whole = min(count, (length - first) // entry.size, MAX_TAGS + 1)
        entries = entry.iter_unpack(self._read(first, whole * entry.size))
        for index, (number, kind, values, value) in enumerate(entries):
            offset = first + (index + 1) * entry.size - inline
            tag = Tag(number, kind, values, offset)
            if tag.size > inline:
                (offset,) = struct.unpack(self.order + ("Q" if self.big else "L"), value)
                tag = Tag(number, kind, values, offset)
            if tag.offset + tag.size > length:
                return
            yield tag

    def _first_value(self, tag: Tag) -> int:
        """The tag's first value if it is an integer, else -1, which is never a valid offset."""
        code = NUMBERS.get(tag.kind)
        if code not in INTEGERS or not tag.count:
            return -1
        return int(struct.unpack(self.order + code, self._read(tag.offset, SIZES[tag.kind]))[0])

    def _read(self, start: int, size: int) -> bytes:
        self.file.seek(start)
        return self.file.read(size)


def open_tiff(file: IO[bytes]) -> tuple[TiffReader, int] | None:
    """A reader of a TIFF, and the offset of its first directory; None for any other file.

    The file must be at its start.
    """
    head = file.read(HEADER_BYTES)
    order, big = HEADERS.get(head[:4], ("", False))
    pointer = head[8:16] if big else head[4:8]
    if not order or len(pointer) != (8 if big else 4):
        return None
    (start,) = struct.unpack(order + ("Q" if big else "L"), pointer)
    return TiffReader(file, order, big), start


def check_tiff(file: IO[bytes]) -> None:
    """Raise ImageCorrupt if `file` is a TIFF whose tags claim more than it can hold.

    The file must be at its start, and is left there.
    """
    opened = open_tiff(file)
    fault = opened and opened[0].fault(opened[1])
    if fault:
        raise ImageCorrupt(f"The picture is damaged: {fault}.")
    file.seek(0)


class BoundedDirectory(ImageFileDirectory_v2):
    """Pillow's directory, left empty if reading it would need too much memory."""

    def load(self, fp: IO[bytes]) -> None:
        """Read the directory at the file's position, or nothing."""
        start = fp.tell()
        fault = TiffReader(fp, self._endian, self._bigtiff).fault(start)
        fp.seek(start)
        if fault is None:
            super().load(fp)
        else:
            self.reset()


def limit_pillow_directories() -> None:
    """Replace Pillow's directory class, so that hostile metadata is ignored.

    There is no earlier point: Pillow parses the Exif of a JPEG or AVIF, which may be spread over
    the file, and an MPO's index while it opens the file.
    """
    TiffImagePlugin.ImageFileDirectory_v2 = BoundedDirectory  # type: ignore[misc]
