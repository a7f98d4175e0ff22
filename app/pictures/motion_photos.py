"""Motion photos: a still picture with a short film in the same file.

Google's format names the film in XMP: the last item of `Container:Directory` (Motion Photo 1.0), or
in older files `MicroVideoOffset`, both counted from the end of the file. Samsung ends the file
with a directory of its own: blocks with a name each, and their distances from the directory. In
HEIC the film may also lie in a box of the file, `mpvd`.
"""

import re
import struct
from collections.abc import Iterator

from app.pictures.boxes import box, file_box

MAX_XMP_BYTES = 262_144  # looked at
ITEM = re.compile(rb"<[^<>]*Item:Semantic\s*=[^<>]*>")
SEMANTIC = re.compile(rb"""Item:Semantic\s*=\s*["']MotionPhoto["']""")
LENGTH = re.compile(rb"""Item:Length\s*=\s*["'](\d{1,10})["']""")
MICRO_VIDEO = re.compile(rb"""GCamera:MicroVideoOffset\s*=\s*["'](\d{1,10})["']""")
SAMSUNG_END = b"SEFT"
SAMSUNG_DIRECTORY = b"SEFH"
SAMSUNG_ENTRY = struct.Struct("<2xHLL")  # kind, distance from the directory, bytes
SAMSUNG_NAME = b"MotionPhoto_Data"
MAX_SAMSUNG_ENTRIES = 100
FILM_START = b"ftyp"  # of MP4 and QuickTime, after four bytes


def film_offset(data: bytes, xmp: bytes) -> int | None:
    """Where in a file with this XMP its film begins, in bytes; None if there is none."""
    offsets = (*_by_xmp(xmp[:MAX_XMP_BYTES], len(data)), *_by_samsung(data), *_by_box(data))
    return next((at for at in offsets if _is_film(data, at)), None)


def _is_film(data: bytes, at: int) -> bool:
    return at > 0 and data.startswith(FILM_START, at + 4)


def _by_xmp(packet: bytes, end: int) -> Iterator[int]:
    behind = 0  # the bytes from the start of an item to the end of the file
    for item in reversed(ITEM.findall(packet)):
        length = LENGTH.search(item)
        behind += int(length[1]) if length else 0
        if SEMANTIC.search(item):
            yield end - behind
    if (micro := MICRO_VIDEO.search(packet)) is not None:
        yield end - int(micro[1])


def _by_box(data: bytes) -> Iterator[int]:
    found = box(data, file_box(data), b"mpvd")
    if found is not None:
        yield found.start


def _by_samsung(data: bytes) -> Iterator[int]:
    if not data.endswith(SAMSUNG_END):
        return
    length = int.from_bytes(data[-8:-4], "little")
    directory = len(data) - 8 - length
    if directory < 0 or not data.startswith(SAMSUNG_DIRECTORY, directory):
        return
    count = int.from_bytes(data[directory + 8 : directory + 12], "little")
    first, last = directory + 12, min(count, MAX_SAMSUNG_ENTRIES)
    entries = data[first : min(first + last * SAMSUNG_ENTRY.size, len(data) - 8)]
    entries = entries[: len(entries) // SAMSUNG_ENTRY.size * SAMSUNG_ENTRY.size]
    for _, distance, _ in SAMSUNG_ENTRY.iter_unpack(entries):
        name = directory - distance + 8  # after the kind and the length of the name
        if data.startswith(SAMSUNG_NAME, max(name, 0)):
            yield name + len(SAMSUNG_NAME)
