"""Camera raw files that are TIFF directories: DNG, NEF, CR2, ARW, PEF, SRW, ORF and RW2.

The pixels of the sensor and the JPEG previews hang in directories: in a chain from the first one,
below tags, and of Olympus in the maker's own notes.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

from app.pictures.tiff_tags import MAX_TAGS, Tag, TiffReader, open_tiff

HEAD_BYTES = 16
ORIENTATIONS = range(1, 9)
MAX_DIRECTORIES = 64  # read of a file; a DNG has about 5
MAX_NOTE_BYTES = 2_000_000  # of the maker's notes that are searched for directories
MAX_MAKE_BYTES = 64
MAX_XMP_BYTES = 1_000_000

COMPRESSION, PHOTOMETRIC, MAKE, ORIENTATION, XMP = 0x0103, 0x0106, 0x010F, 0x0112, 0x02BC
STRIP, STRIP_BYTES, SUB_DIRECTORIES = 0x0111, 0x0117, 0x014A
JPEG, JPEG_BYTES, EXIF, MAKER_NOTE, DNG_VERSION = 0x0201, 0x0202, 0x8769, 0x927C, 0xC612
GPS, PANASONIC_JPEG = 0x8825, 0x002E
OLYMPUS_SETTINGS, OLYMPUS_PREVIEW, OLYMPUS_PREVIEW_BYTES = 0x2020, 0x0101, 0x0102
OLYMPUS_NOTES = {b"OLYMPUS\0": 12, b"OM SYSTEM\0": 16}  # where the directory begins
JPEG_COMPRESSIONS = {6, 7}  # the older and the newer number
SENSOR_PHOTOMETRICS = {32803, 34892}  # a color filter array; linear raw
SENSOR_COMPRESSIONS = {32767, 32770, 34713, 65535}  # of Sony, Samsung, Nikon and Pentax

SIGNATURES = {b"IIRO": "ORF", b"IIRS": "ORF", b"MMOR": "ORF", b"IIU\0": "RW2"}
"""The first four bytes of raw files that are TIFF in all but these."""

MAKERS = {
    "NIKON": "NEF",
    "CANON": "CR2",
    "SONY": "ARW",
    "PENTAX": "PEF",
    "RICOH": "PEF",
    "SAMSUNG": "SRW",
}
"""The formats of raw files that do not say theirs, by the first word of the camera's make."""

OTHER_MAKER = "RAW"
PHASE_ONE = {b"IIII", b"MMMM"}  # after the header of its files


@dataclass(frozen=True)
class RawDirectories:
    """What a raw file of directories says; `jpegs` are offsets and lengths of what may be JPEG."""

    format: str
    jpegs: tuple[tuple[int, int], ...]
    orientation: int | None
    xmp: bytes


def read_raw_directories(file: IO[bytes]) -> RawDirectories | None:
    """Read the directories of a raw file; None for any other file, plain TIFF among them."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    opened = _open(file, head)
    if opened is None:
        return None
    reader, start = opened
    directories = list(_directories(reader, start))
    kind = _format(head, reader, directories)
    if kind is None:
        return None
    main = directories[0] if directories else {}
    jpegs = [one for tags in directories for one in _jpegs(reader, tags)]
    return RawDirectories(
        kind,
        (*jpegs, *_olympus_jpegs(reader, main)),
        read_orientation(reader, main),
        reader.bytes_of(main.get(XMP), MAX_XMP_BYTES),
    )


def read_orientation(reader: TiffReader, tags: dict[int, Tag]) -> int | None:
    """The orientation from 1 to 8 in a directory; None if it has none."""
    found = next(iter(reader.integers(tags.get(ORIENTATION), 1)), None)
    return found if found in ORIENTATIONS else None


def as_tiff(head: bytes) -> bytes:
    """The start of a raw file as that of a TIFF, for readers of Exif."""
    if head[:4] in SIGNATURES:
        return (b"II*\0" if head[:2] == b"II" else b"MM\0*") + head[4:]
    return head


def _open(file: IO[bytes], head: bytes) -> tuple[TiffReader, int] | None:
    if head[:4] not in SIGNATURES:
        file.seek(0)
        return open_tiff(file)
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
    reader = TiffReader(file, "<" if order == "little" else ">", big=False)
    return reader, int.from_bytes(head[4:8], order)


def _directories(reader: TiffReader, start: int) -> Iterator[dict[int, Tag]]:
    """The directories of the chain and those below them, each once, however they are linked."""
    waiting, seen, read = [start], {0}, 0
    while waiting and len(seen) <= MAX_DIRECTORIES and read <= MAX_TAGS:
        at = waiting.pop(0)
        if at in seen:
            continue
        seen.add(at)
        tags = reader.directory(at)
        read += len(tags)
        yield tags
        waiting.append(reader.following(at))
        waiting += reader.integers(tags.get(SUB_DIRECTORIES), MAX_DIRECTORIES)


def _format(head: bytes, reader: TiffReader, directories: list[dict[int, Tag]]) -> str | None:
    if head[:4] in SIGNATURES:
        return SIGNATURES[head[:4]]
    main = directories[0] if directories else {}
    if DNG_VERSION in main:
        return "DNG"
    if head[8:10] == b"CR":
        return "CR2"
    if head[8:12] in PHASE_ONE:
        return OTHER_MAKER
    if not any(_is_of_sensor(reader, tags) for tags in directories):
        return None
    make = reader.bytes_of(main.get(MAKE), MAX_MAKE_BYTES).decode("latin-1").upper()
    return next((kind for name, kind in MAKERS.items() if make.startswith(name)), OTHER_MAKER)


def _is_of_sensor(reader: TiffReader, tags: dict[int, Tag]) -> bool:
    photometric = reader.integers(tags.get(PHOTOMETRIC), 1)
    compression = reader.integers(tags.get(COMPRESSION), 1)
    return bool(
        SENSOR_PHOTOMETRICS.intersection(photometric)
        or SENSOR_COMPRESSIONS.intersection(compression)
    )


def _jpegs(reader: TiffReader, tags: dict[int, Tag]) -> Iterator[tuple[int, int]]:
    if PANASONIC_JPEG in tags:
        yield tags[PANASONIC_JPEG].offset, tags[PANASONIC_JPEG].size
    places = [(JPEG, JPEG_BYTES)]
    is_jpeg = JPEG_COMPRESSIONS.intersection(reader.integers(tags.get(COMPRESSION), 1))
    if is_jpeg and not _is_of_sensor(reader, tags):
        places.append((STRIP, STRIP_BYTES))
    for place, size in places:
        offsets, lengths = reader.integers(tags.get(place), 2), reader.integers(tags.get(size), 2)
        if len(offsets) == len(lengths) == 1:
            yield offsets[0], lengths[0]


def _olympus_jpegs(reader: TiffReader, main: dict[int, Tag]) -> Iterator[tuple[int, int]]:
    """The preview that Olympus's notes name; offsets in them count from their start."""
    exif = reader.integers(main.get(EXIF), 1)
    note = reader.directory(exif[0]).get(MAKER_NOTE) if exif else None
    block = reader.bytes_of(note, MAX_NOTE_BYTES)
    first = next((at for name, at in OLYMPUS_NOTES.items() if block.startswith(name)), None)
    if note is None or first is None:
        return
    order = "<" if block[first - 4 : first - 2] == b"II" else ">"
    notes = TiffReader(io.BytesIO(block), order, big=False)
    for start in notes.integers(notes.directory(first).get(OLYMPUS_SETTINGS), 1):
        settings = notes.directory(start)
        places = notes.integers(settings.get(OLYMPUS_PREVIEW), 1)
        sizes = notes.integers(settings.get(OLYMPUS_PREVIEW_BYTES), 1)
        yield from ((note.offset + at, size) for at, size in zip(places, sizes, strict=False))
