"""The frames of an animation, or the pages of a document: how many there are, and each of them.

Of most collections the first one is indexed; both are called pages below.
"""

import io
from collections.abc import Iterator
from itertools import islice

from PIL import Image as Pillow

from app.errors import PageNotFound
from app.pictures.tiff_tags import open_tiff

MAX_FRAMES = 10_000  # counted; more are said to be so many
MAX_PAGES = 50  # of a file that are indexed where a collection indexes all
MAX_GIF_BLOCKS = 500_000  # looked at: of 127 MB if all are full
GIF_HEADER_BYTES = 13
GIF_EXTENSION, GIF_IMAGE = 0x21, 0x2C
TAGS = 20  # of a page, usually; many more in all pages are not read
SUBFILE_TYPE, REDUCED = 254, 1


def count_frames(image: Pillow.Image, data: bytes) -> int:
    """The frames or pages of a picture that was opened from `data`, from 1 to MAX_FRAMES.

    A JPEG has one: what follows it are other views of the same picture. Pillow reads all frames of
    a GIF or TIFF to count them, without a bound.
    """
    if image.format == "GIF":
        return max(1, _gif_frames(data))
    if image.format == "TIFF":
        return max(1, sum(1 for _ in _tiff_pages(data)))
    if image.format in {"PNG", "WEBP", "AVIF", "HEIF"}:
        return max(1, min(int(getattr(image, "n_frames", 1)), MAX_FRAMES))
    return 1


def _gif_frames(data: bytes) -> int:
    """The image blocks of a GIF (GIF89a, sections 18 to 26)."""
    at = GIF_HEADER_BYTES + _color_bytes(data[10:11])
    frames = blocks = 0
    while at < len(data) and frames < MAX_FRAMES and blocks < MAX_GIF_BLOCKS:
        kind = data[at]
        if kind == GIF_IMAGE:  # position, size, flags; colors; the size of codes
            frames += 1
            at += 11 + _color_bytes(data[at + 9 : at + 10])
        elif kind == GIF_EXTENSION:
            at += 2
        else:  # the end, or damage
            break
        while at < len(data) and blocks < MAX_GIF_BLOCKS:
            size = data[at]
            at, blocks = at + 1 + size, blocks + 1
            if not size:
                break
    return frames


def _color_bytes(flags: bytes) -> int:
    """The length of the table of colors that these flags announce."""
    has_colors = bool(flags) and flags[0] & 0x80
    return 3 << ((flags[0] & 7) + 1) if has_colors else 0


def go_to_page(image: Pillow.Image, data: bytes, page: int) -> None:
    """Turn a picture that was opened from `data` to another page; pages are counted from 1.

    Raises PageNotFound, and whatever a decoder raises on damaged frames.
    """
    place = page - 1
    if image.format == "TIFF":  # where reduced copies may lie between pages
        place = next(islice(_tiff_pages(data), place, None), -1)
    if place < 0 or page > count_frames(image, data):
        raise PageNotFound(f"The picture has no page {page}.")
    image.seek(place)


def _tiff_pages(data: bytes) -> Iterator[int]:
    """The places in the chain of directories that are no reduced copies of others."""
    opened = open_tiff(io.BytesIO(data))
    if opened is None:
        return
    reader, at = opened
    seen: set[int] = set()
    read = 0
    while 0 < at < len(data) and at not in seen and max(len(seen), read / TAGS) < MAX_FRAMES:
        seen.add(at)
        tags = reader.directory(at)
        read += len(tags)
        kind = reader.integers(tags.get(SUBFILE_TYPE), 1)
        if not any(one & REDUCED for one in kind):
            yield len(seen) - 1
        at = reader.following(at)
