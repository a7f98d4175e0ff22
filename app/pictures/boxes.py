"""The boxes of HEIC, AVIF and CR3 files (ISO/IEC 14496-12, section 4.2)."""

from collections.abc import Iterator
from dataclasses import dataclass

HEADER_BYTES = 8  # length and kind; a length of 1 is followed by one of 8 bytes more
MAX_BOXES = 1_000  # read of a box; honest ones have dozens


@dataclass(frozen=True)
class Box:
    """A box's kind, and where its contents lie in the file, in bytes; `end` is exclusive."""

    kind: bytes
    start: int
    end: int


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes one after the other from `start`, up to the first that is damaged."""
    limit = len(data) if end is None else min(end, len(data))
    for _ in range(MAX_BOXES):
        length = int.from_bytes(data[start : start + 4])
        header = HEADER_BYTES
        if length == 1:
            length, header = int.from_bytes(data[start + 8 : start + 16]), 2 * HEADER_BYTES
        elif length == 0:  # up to the end
            length = limit - start
        if length < header or start + length > limit:
            return
        yield Box(data[start + 4 : start + 8], start + header, start + length)
        start += length


def box(data: bytes, within: Box, *path: bytes, skip: int = 0) -> Box | None:
    """The first box of each kind of `path` in turn; `skip` bytes come before the first."""
    found: Box | None = within
    for kind in path:
        if found is None:
            return None
        inside = boxes(data, found.start + skip, found.end)
        found, skip = next((one for one in inside if one.kind == kind), None), 0
    return found


def file_box(data: bytes) -> Box:
    """The whole file as a box."""
    return Box(b"", 0, len(data))
