"""The color of HEIC, AVIF, PNG and JPEG XL by numbers instead of a profile.

ITU-T H.273 gives the numbers. They lie in a box `colr` of kind `nclx` (ISO/IEC 23008-12), or in
the chunk `cICP` of a PNG; neither Pillow nor its plugins tell them for every file.
"""

import struct
from dataclasses import dataclass

from app.pictures.boxes import Box, box, boxes, file_box
from app.pictures.jpeg_xl.header import CODESTREAM, CONTAINER, P3, PRIMARIES, read_header

PNG = b"\x89PNG\r\n\x1a\n"
PNG_CHUNK = struct.Struct(">L4s")
CHECKSUM_BYTES = 4
MAX_CHUNKS = 100  # before the pixels; honest files have about 10
FULL_BOX_BYTES = 4  # version and flags
DISPLAY_P3 = 12
WIDE_INDEX = 1  # the flag of associations with 15-bit indexes
MAX_ASSOCIATIONS = 2_000  # of all items: a picture of many tiles has hundreds


@dataclass(frozen=True)
class CodingPoints:
    """Numbers of ITU-T H.273: color primaries and transfer characteristics."""

    primaries: int
    transfer: int


def read_coding_points(data: bytes) -> CodingPoints | None:
    """Those of a file's primary picture, None if it has none. Never raises."""
    if data.startswith(PNG):
        return _of_png(data)
    if data.startswith((CODESTREAM, CONTAINER)):
        return _of_jpeg_xl(data)
    return _of_boxes(data) if data[4:8] == b"ftyp" else None


def _of_boxes(data: bytes) -> CodingPoints | None:
    meta = box(data, file_box(data), b"meta")
    if meta is None:
        return None
    properties = box(data, meta, b"iprp", skip=FULL_BOX_BYTES)
    container = properties and box(data, properties, b"ipco")
    if properties is None or container is None:
        return None
    known = list(boxes(data, container.start, container.end))
    chosen = _associated(data, meta, properties)
    for index, one in enumerate(known, 1):
        if one.kind == b"colr" and index in chosen and data.startswith(b"nclx", one.start):
            numbers = data[one.start + 4 : min(one.start + 8, one.end)]
            if len(numbers) == 4:
                return CodingPoints(*struct.unpack(">HH", numbers))
    return None


def _associated(data: bytes, meta: Box, properties: Box) -> set[int]:
    """The numbers, from 1, of the properties of the primary picture."""
    primary = box(data, meta, b"pitm", skip=FULL_BOX_BYTES)
    listed = box(data, properties, b"ipma")
    if primary is None or listed is None:
        return set()
    reader = _Reader(data, primary)
    wanted = reader.number(2 if reader.version == 0 else 4)
    reader = _Reader(data, listed)
    index_bytes = 2 if reader.flags & WIDE_INDEX else 1
    for _ in range(min(reader.number(4), MAX_ASSOCIATIONS)):
        item = reader.number(2 if reader.version == 0 else 4)
        indexes = [reader.number(index_bytes) for _ in range(reader.number(1))]
        if item == wanted:  # the highest bit says that the property is essential
            return {index & ~(1 << (8 * index_bytes - 1)) for index in indexes}
    return set()


class _Reader:
    """Reads numbers one after the other from a box with version and flags; 0 beyond its end."""

    def __init__(self, data: bytes, within: Box) -> None:
        self._data, self._at, self._end = data, within.start, within.end
        self.version, self.flags = self.number(1), self.number(3)

    def number(self, size: int) -> int:
        """The next number, of so many bytes."""
        start, self._at = self._at, self._at + size
        return int.from_bytes(self._data[start : self._at]) if self._at <= self._end else 0


def _of_png(data: bytes) -> CodingPoints | None:
    at = len(PNG)
    for _ in range(MAX_CHUNKS):
        if at + PNG_CHUNK.size > len(data):
            return None
        length, kind = PNG_CHUNK.unpack_from(data, at)
        at += PNG_CHUNK.size
        if kind == b"cICP" and length == 4 and len(data) >= at + 2:
            return CodingPoints(data[at], data[at + 1])
        if kind == b"IDAT":
            return None
        at += length + CHECKSUM_BYTES
    return None


def _of_jpeg_xl(data: bytes) -> CodingPoints | None:
    """Those of a high dynamic range; for other colors its plugin makes a profile."""
    try:
        colors = read_header(data).colors
    except ValueError:
        return None
    if colors is None or colors.gamma is not None:
        return None
    known = (number for number, points in PRIMARIES.items() if points == colors.primaries)
    primaries = next(known, 0)
    return CodingPoints(DISPLAY_P3 if primaries == P3 else primaries, colors.transfer)
