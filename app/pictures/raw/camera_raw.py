"""Camera raw files: the largest JPEG preview in them, which the camera made of the same picture.

The pixels of the sensor are not developed: that takes seconds a picture, and looks different in
every program. Preview places as in the specifications of DNG 1.7 and of Exif tools: L. Laundry,
"CR3 file format", for CR3; P. Harvey's ExifTool tag tables for the others.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from app.errors import ImageCorrupt, ImageUnsupported
from app.pictures.boxes import Box, box, boxes, file_box
from app.pictures.jpeg import START_OF_JPEG, frame_size
from app.pictures.raw.exif_blocks import join_blocks
from app.pictures.raw.raw_directories import (
    EXIF,
    GPS,
    MAX_XMP_BYTES,
    SIGNATURES,
    as_tiff,
    read_orientation,
    read_raw_directories,
)
from app.pictures.tiff_tags import open_tiff

RAW_FORMATS = {
    "DNG": ("image/x-adobe-dng", ".dng"),
    "NEF": ("image/x-nikon-nef", ".nef"),
    "CR2": ("image/x-canon-cr2", ".cr2"),
    "CR3": ("image/x-canon-cr3", ".cr3"),
    "ARW": ("image/x-sony-arw", ".arw"),
    "RAF": ("image/x-fuji-raf", ".raf"),
    "ORF": ("image/x-olympus-orf", ".orf"),
    "RW2": ("image/x-panasonic-rw2", ".rw2"),
    "PEF": ("image/x-pentax-pef", ".pef"),
    "SRW": ("image/x-samsung-srw", ".srw"),
    "RAW": ("image/x-raw", ".raw"),
}
"""The raw formats: media type, and suffix of stored files."""

FUJI = b"FUJIFILMCCD-RAW "
FUJI_JPEG = slice(84, 92)  # its offset and length
CANON = b"ftypcrx "  # from the fourth byte
CANON_PREVIEW = bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16")
CANON_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
CANON_METADATA = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
UUID_BYTES = 16
COUNT_BYTES = 8  # between the preview's UUID and its box
EXIF_START = b"Exif\0\0"
PREVIEW_HEADER_BYTES = 16  # of the box PRVW, before the JPEG
MAX_TRACKS = 16
MAX_PREVIEWS = 16  # looked at
EXIF_BYTES = 1_000_000  # of a file's start; cameras write the tags before the pixels


@dataclass(frozen=True)
class RawFile:
    """What is read of a raw file, apart from its sensor's pixels.

    `preview` is a JPEG, None if there is none. `orientation` is as in Exif, None if only the
    preview tells it. `exif` is a block of Exif and `xmp` a packet; both may be empty.
    """

    format: str
    preview: bytes | None
    orientation: int | None = None
    exif: bytes = b""
    xmp: bytes = b""

    def require_preview(self) -> bytes:
        """The preview. Raises ImageUnsupported."""
        if self.preview is None:
            raise ImageUnsupported(
                f"This is a camera raw without a preview ({self.format}): "
                "export it as JPEG, or let the camera or the converter embed a preview."
            )
        return self.preview


def looks_raw(head: bytes) -> bool:
    """Whether a file with this start is a raw file that does not look like TIFF."""
    return head.startswith(FUJI) or head[4:12] == CANON or head[:4] in SIGNATURES


def read_raw(data: bytes) -> RawFile | None:
    """Read a raw file; None for any other file.

    Damaged parts are passed over. Raises ImageCorrupt if the preview was cut off.
    """
    if data.startswith(FUJI):
        pointer = data[FUJI_JPEG]
        place = (int.from_bytes(pointer[:4]), int.from_bytes(pointer[4:]))
        return RawFile("RAF", _largest(data, [place]))
    if data[4:12] == CANON:
        return _canon(data)
    found = read_raw_directories(io.BytesIO(data))
    if found is None:
        return None
    exif = EXIF_START + as_tiff(data[:EXIF_BYTES])
    return RawFile(found.format, _largest(data, found.jpegs), found.orientation, exif, found.xmp)


def raw_format(file: BinaryIO) -> str | None:
    """The name of a raw file's format in RAW_FORMATS, None for any other; reads the header only."""
    file.seek(0)
    head = file.read(len(FUJI))
    if head.startswith(FUJI):
        return "RAF"
    if head[4:12] == CANON:
        return "CR3"
    found = read_raw_directories(file)
    return found.format if found else None


def _largest(data: bytes, places: Iterable[tuple[int, int]]) -> bytes | None:
    """The JPEG of most pixels among those at these offsets and lengths.

    Raises ImageCorrupt if a larger file lies beyond the end: else a raw file that was cut would be
    indexed by its thumbnail.
    """
    found, most, beyond = None, 0, 0
    for start, length in dict.fromkeys(islice(places, MAX_PREVIEWS)):
        if start + length > len(data):
            beyond = max(beyond, length)
        elif data.startswith(START_OF_JPEG, start):
            jpeg = data[start : start + length]
            width, height = frame_size(jpeg)
            if width * height > most:
                found, most = jpeg, width * height
    if beyond > len(found or b""):
        raise ImageCorrupt("The camera raw is truncated: its preview lies beyond its end.")
    return found


def _canon(data: bytes) -> RawFile:
    """A CR3: boxes, with the previews in one of their own and in a track."""
    whole = file_box(data)
    movie = box(data, whole, b"moov") or Box(b"moov", 0, 0)
    tags, xmp = _canon_tags(data, movie), _canon_xmp(data, whole)
    preview = _largest(data, [*_canon_previews(data, whole), *_canon_tracks(data, movie)])
    opened = open_tiff(io.BytesIO(tags))
    orientation = read_orientation(opened[0], opened[0].directory(opened[1])) if opened else None
    return RawFile("CR3", preview, orientation, EXIF_START + tags if tags else b"", xmp)


def _canon_tags(data: bytes, movie: Box) -> bytes:
    """The blocks of Exif as one: the camera and the orientation, the time and lens, the place."""
    metadata = _canon_box(data, movie, CANON_METADATA)
    if metadata is None:
        return b""

    def block(kind: bytes) -> bytes:
        found = box(data, metadata, kind, skip=UUID_BYTES)
        return data[found.start : found.end][:EXIF_BYTES] if found else b""

    return join_blocks(block(b"CMT1"), {EXIF: block(b"CMT2"), GPS: block(b"CMT4")})


def _canon_xmp(data: bytes, whole: Box) -> bytes:
    """The packet of XMP, in which cameras write the rating."""
    found = _canon_box(data, whole, CANON_XMP)
    return data[found.start + UUID_BYTES : found.end][:MAX_XMP_BYTES] if found else b""


def _canon_box(data: bytes, within: Box, uuid: bytes) -> Box | None:
    found = (one for one in boxes(data, within.start, within.end) if one.kind == b"uuid")
    return next((one for one in found if data.startswith(uuid, one.start)), None)


def _canon_previews(data: bytes, whole: Box) -> Iterator[tuple[int, int]]:
    one = _canon_box(data, whole, CANON_PREVIEW)
    found = one and box(data, one, b"PRVW", skip=UUID_BYTES + COUNT_BYTES)
    if found is not None:
        start = found.start + PREVIEW_HEADER_BYTES
        yield start, int.from_bytes(data[start - 4 : start])


def _canon_tracks(data: bytes, movie: Box) -> Iterator[tuple[int, int]]:
    """The first sample of each track: one track holds the JPEG of full size."""
    tracks = (one for one in boxes(data, movie.start, movie.end) if one.kind == b"trak")
    for track in islice(tracks, MAX_TRACKS):
        table = box(data, track, b"mdia", b"minf", b"stbl")
        sizes = table and box(data, table, b"stsz")
        places = table and box(data, table, b"co64")
        if sizes and places:  # after version and flags: one size or 0, the count, the list
            fixed, _, first = (
                int.from_bytes(data[sizes.start + at : sizes.start + at + 4]) for at in (4, 8, 12)
            )
            yield int.from_bytes(data[places.start + 8 : places.start + 16]), fixed or first
