"""Several blocks of Exif, each a TIFF of its own, as one: the form that readers of Exif know."""

import struct
from collections.abc import Mapping

from app.pictures.tiff_tags import MAX_TAGS, SIZES

ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
ENTRY_BYTES = 12
LONG = 4
INLINE_BYTES = 4  # larger values lie elsewhere, and the entry has their offset

Entries = dict[int, bytes]


def join_blocks(main: bytes, parts: Mapping[int, bytes]) -> bytes:
    """The block `main` with the first directories of other blocks below it, under these tags.

    Parts that are damaged, or of another byte order, are left out.
    """
    order = ORDERS.get(main[:4])
    if order is None:
        return main
    entries, block = _entries(main, order, 0), bytearray(main)
    for tag, part in parts.items():
        if ORDERS.get(part[:4]) == order:
            block += bytes(len(block) % 2)
            moved = _entries(part, order, len(block))
            block += part + bytes(len(part) % 2)
            entries[tag] = struct.pack(f"{order}HHLL", tag, LONG, 1, len(block))
            block += _directory(moved, order)
    block += bytes(len(block) % 2)
    block[4:8] = struct.pack(f"{order}L", len(block))
    return bytes(block + _directory(entries, order))


def _entries(block: bytes, order: str, base: int) -> Entries:
    """The entries of the first directory, once the block lies at `base`; only whole ones."""
    start = struct.unpack(f"{order}L", block[4:8])[0] if len(block) >= 8 else 0
    counter = block[start : start + 2]
    count = struct.unpack(f"{order}H", counter)[0] if len(counter) == 2 else 0
    first = start + 2
    whole = block[first : first + min(count, MAX_TAGS) * ENTRY_BYTES]
    found: Entries = {}
    for at in range(0, len(whole) - ENTRY_BYTES + 1, ENTRY_BYTES):
        entry = whole[at : at + ENTRY_BYTES]
        tag, kind, values, offset = struct.unpack(f"{order}HHLL", entry)
        if SIZES.get(kind, 0) * values > INLINE_BYTES and offset + base < 1 << 32:
            entry = struct.pack(f"{order}HHLL", tag, kind, values, offset + base)
        found[tag] = entry
    return found


def _directory(entries: Entries, order: str) -> bytes:
    listed = b"".join(entries[tag] for tag in sorted(entries))
    return struct.pack(f"{order}H", len(entries)) + listed + bytes(4)
