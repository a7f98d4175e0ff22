"""Blocks of Exif put together as one."""

from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from app.pictures.raw.exif_blocks import join_blocks
from tests.fixtures.tiff_files import Directory, tiff

PHOTO = {0xA434: b"a long name of a lens\0", 0x9003: b"2024:05:07 14:30:15\0"}


def read(block: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + block)
    return exif


@pytest.mark.parametrize("order", ["<", ">"])
def test_directories_are_put_below_the_first(order: str) -> None:
    main = tiff(Directory({0x010F: b"Acme Cameras\0", 0x0112: 6}), order) + b"x"
    joined = read(join_blocks(main, {0x8769: tiff(Directory(PHOTO), order)}))
    assert (joined[0x010F], joined[0x0112]) == (b"Acme Cameras\0", 6)
    assert joined.get_ifd(0x8769) == PHOTO


def test_parts_of_another_byte_order_are_left_out() -> None:
    main = tiff(Directory({0x0112: 6}))
    joined = read(join_blocks(main, {0x8769: tiff(Directory(PHOTO), ">"), 0x8825: b"", 1: b"II*"}))
    assert dict(joined) == {0x0112: 6}
    assert join_blocks(b"no block", {}) == b"no block"


def test_damaged_blocks_are_joined_as_far_as_they_go() -> None:
    rng, part = np.random.default_rng(1), tiff(Directory(PHOTO))
    main = tiff(Directory({0x010F: b"Acme Cameras\0"}))
    for _ in range(300):
        damaged = bytearray(part[: rng.integers(0, len(part) + 1)])
        for at in rng.integers(0, max(1, len(damaged)), 3):
            damaged[at : at + 1] = rng.bytes(1)
        joined = join_blocks(main, {0x8769: bytes(damaged)})
        assert len(joined) <= len(main) + len(damaged) + len(part) + 50
        with suppress(Exception):  # Pillow raises any type; its caller knows
            assert read(joined)[0x010F] == b"Acme Cameras\0"
