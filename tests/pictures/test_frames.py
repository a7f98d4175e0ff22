"""Animations and documents of many pages: the first is indexed, and all are counted (issue 16)."""

import time

import pytest
from PIL import Image

from app.catalog.images.new_images import new_image
from app.pictures.decoding import decode
from app.pictures.frames import MAX_FRAMES, count_frames
from tests.fixtures.drawn_pictures import encoded, noise
from tests.fixtures.tiff_files import Directory, Value, tiff

MEGAPIXELS = 50
TAGS: dict[int, Value] = {256: 4, 257: 4, 258: [8], 259: 1, 262: 1, 277: 1, 278: 4}
PIXELS = {(273, 279): bytes(16)}


def frames(kind: str) -> bytes:
    """A file with three."""
    first, *more = (noise(seed, (32, 24)) for seed in range(3))
    return encoded(first, kind, save_all=True, append_images=more)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"])
def test_frames_are_counted(kind: str) -> None:
    data = frames(kind)
    picture = decode(data, MEGAPIXELS)
    assert picture.frames == 3
    assert new_image("a", "", data, picture).metadata == {"frames": 3}
    assert decode(encoded(noise(0), kind), MEGAPIXELS).frames == 1


def test_the_views_in_a_jpeg_are_no_frames() -> None:
    data = frames("MPO")
    picture = decode(data, MEGAPIXELS)
    assert (picture.frames, new_image("a", "", data, picture).metadata) == (1, {})


def test_a_thumbnail_in_a_tiff_is_no_page() -> None:
    small = Directory({**TAGS, 254: 1}, PIXELS)
    assert decode(tiff(Directory(TAGS, PIXELS, small)), MEGAPIXELS).frames == 1
    assert decode(tiff(Directory(TAGS, PIXELS, Directory(TAGS, PIXELS))), MEGAPIXELS).frames == 2


def test_pages_in_a_circle_are_counted_once() -> None:
    data = tiff(Directory(TAGS, PIXELS, Directory(TAGS, PIXELS)))
    assert decode(data[:-4] + data[4:8], MEGAPIXELS).frames == 2


def test_counting_is_bounded() -> None:
    frame = b"\x2c" + bytes(8) + b"\0\2\0"
    data = b"GIF89a\1\0\1\0\0\0\0" + frame * 4_000_000
    image = Image.new("P", (1, 1))
    image.format = "GIF"
    began = time.process_time()
    assert count_frames(image, data) == MAX_FRAMES
    assert time.process_time() - began < 1  # it takes some hundredths


def test_pages_of_endless_tags_are_bounded() -> None:
    entry = b"\0\1\3\0\1\0\0\0\1\0\0\0"
    tags = (4_000).to_bytes(2, "little") + entry * 4_000
    data, image = bytearray(b"II*\0\x08\0\0\0" + tags + bytes(400_000)), Image.new("L", (1, 1))
    image.format = "TIFF"
    for at in range(8, 300_000, 2):  # each directory begins two bytes after the one before
        data[at + 48_002 : at + 48_006] = (at + 2).to_bytes(4, "little")
    began = time.process_time()
    assert count_frames(image, bytes(data)) <= MAX_FRAMES
    assert time.process_time() - began < 5
