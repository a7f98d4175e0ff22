"""Extended XMP: what did not fit into the 64 kB of a JPEG's segment (Adobe's XMP, part 3, 1.1.3.1).

The packet names the rest by its MD5. The rest lies in segments of its own, each with its place.
"""

import hashlib
import re
from collections.abc import Iterable

from app.pictures.jpeg import APP1, segments
from app.pictures.metadata.xmp_packets import MAX_XMP_BYTES

NAMED = re.compile(rb"HasExtendedXMP(?:\s*=\s*[\"']|>)\s*([0-9A-Fa-f]{32})")
SIGNATURE = b"http://ns.adobe.com/xmp/extension/\0"
GUID_BYTES = 32  # the MD5, in hexadecimal
NUMBER_BYTES = 4  # of the whole length, and of the place in it
HEADER_BYTES = len(SIGNATURE) + GUID_BYTES + 2 * NUMBER_BYTES


def read_extended_xmp(data: bytes, packet: bytes) -> bytes:
    """The rest of a JPEG's XMP that its `packet` names; empty if there is none, or not all of it.

    At most MAX_XMP_BYTES: depth maps, which phones store here, are left out.
    """
    named = NAMED.search(packet)
    if named is None:
        return b""
    found = _joined(segments(data, APP1), SIGNATURE + named[1])
    digest = hashlib.md5(found, usedforsecurity=False).hexdigest()
    return found if digest == named[1].decode().lower() else b""


def _joined(parts: Iterable[bytes], start: bytes) -> bytes:
    """The parts that begin so, in the order of their places."""
    pieces: dict[int, bytes] = {}
    length = 0
    for part in parts:
        if part.startswith(start) and length <= MAX_XMP_BYTES:
            place = int.from_bytes(part[HEADER_BYTES - NUMBER_BYTES : HEADER_BYTES])
            pieces[place] = part[HEADER_BYTES:]
            length += len(pieces[place])
    return b"".join(pieces[place] for place in sorted(pieces)) if length <= MAX_XMP_BYTES else b""
