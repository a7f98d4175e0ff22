"""What the makers of cameras write in notes of their own, as far as it is read: bursts."""

import io

from app.pictures.metadata.description import one_line
from app.pictures.tiff_tags import TiffReader

APPLE = b"Apple iOS\0"
APPLE_START = 14  # of its directory, behind the name, a version and the byte order
BURST = 0x000B  # as in ExifTool's table of Apple's tags
MAX_BURST_BYTES = 64  # a UUID has 36


def read_burst(note: object) -> str | None:
    """What the pictures of a burst have in common, from the maker's note of a picture."""
    if not isinstance(note, bytes) or not note.startswith(APPLE):
        return None
    reader = TiffReader(io.BytesIO(note), ">", big=False)
    found = reader.bytes_of(reader.directory(APPLE_START).get(BURST), MAX_BURST_BYTES)
    return one_line(found.decode("ascii", "replace"))
