"""Directories of tags, judged before Pillow copies what they claim to hold.

A TIFF file, a block of Exif and an MPO's index are directories of one form (TIFF 6.0, 2): each
tag says how many values it has and where they lie. Pillow copies them tag by tag, so 200 tags
that point at the same 4 MB become 800 MB, and it makes an object of each number. In honest files
no two tags share their values, beyond a few bytes.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from PIL import TiffImagePlugin
from PIL.ExifTags import IFD

from app.errors import ImageCorrupt

MAX_TAGS = 4_096  # of a directory and those below it: fewer than 1,000 have a meaning
MAX_NUMBERS = 131_072  # of the same: the offsets and lengths of 65,536 strips of pixels
SLACK_BYTES = 65_536  # that tags may share: a few writers store equal resolutions once

HEADERS = {
    b"MM\0*": (">", False),
    b"II*\0": ("<", False),
    b"MM*\0": (">", False),
    b"II\0*": ("<", False),
    b"MM\0+": (">", True),
    b"II+\0": ("<", True),
}
"""A file's first four bytes, as far as Pillow takes them: the byte order, whether it is BigTIFF."""

HEADER_BYTES = 16  # BigTIFF's; the older one has 8

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
"""The types whose values become Python's numbers, and how one is stored."""

SIZES = {1: 1, 2: 1, 7: 1} | {kind: struct.calcsize("=" + form) for kind, form in NUMBERS.items()}
"""The bytes of one value of each type that Pillow reads; it passes by tags of others."""

Tree = dict[int, "Tree"]
BELOW: Tree = {IFD.Exif: {IFD.Interop: {}}, IFD.GPSInfo: {}}
"""The directories that Pillow reads, by the tags that point at them."""


@dataclass(frozen=True)
class Tag:
    """What an entry of a directory says; its values lie `at` this place in the file."""

    number: int
    kind: int
    count: int
    at: int

    @property
    def size(self) -> int:
        """The bytes of all values."""
        return self.count * SIZES[self.kind]

    @property
    def numbers(self) -> int:
        """The numbers that Python makes of them: two of a rational."""
        return self.count * len(NUMBERS.get(self.kind, "").lstrip("2")) * (self.kind in (5, 10)) + (
            self.count * (self.kind in NUMBERS)
        )
