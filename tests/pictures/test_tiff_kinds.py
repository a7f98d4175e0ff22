"""Kinds of TIFF that are valid and not read are not called damaged (issue 16, line 12)."""

import struct

import pytest

from app.errors import ImageCorrupt, ImageUnsupported
from app.pictures.decoding import decode
from tests.fixtures.tiff_files import picture

MEGAPIXELS = 50
SIZE = (8, 6)
PIXELS = 8 * 6
RGB, GREY, CMYK, PALETTE = 2, 1, 5, 3
FLOAT = 3
UNREAD = {
    "3 × 32-bit floating-point, RGB": picture(
        struct.pack("<f", 0.5) * PIXELS * 3, SIZE, [32] * 3, RGB, sample_format=[FLOAT] * 3
    ),
    "1 × 16-bit floating-point, BlackIsZero": picture(
        b"\0\x38" * PIXELS, SIZE, [16], GREY, sample_format=FLOAT
    ),
    "2 × 8-bit unsigned, BlackIsZero, associated alpha": picture(
        b"\x40\x80" * PIXELS, SIZE, [8, 8], GREY, extra_samples=1
    ),
    "2 × 16-bit unsigned, BlackIsZero, alpha": picture(
        b"\0\x40\0\x80" * PIXELS, SIZE, [16, 16], GREY, extra_samples=2
    ),
    "2 × 8-bit unsigned, BlackIsZero, alpha": picture(  # Pillow opens it, and cannot unpack it
        b"\x40\x80" * PIXELS, SIZE, [8, 8], GREY, extra_samples=2, planar=2
    ),
    "3 × 32-bit unsigned, RGB": picture(bytes(4) * PIXELS * 3, SIZE, [32] * 3, RGB),
    "3 × 8-bit unsigned, RGB, compression 34712": picture(  # JPEG 2000
        bytes(99), SIZE, [8] * 3, RGB, compression=34712
    ),
}


@pytest.mark.parametrize("kind", UNREAD)
def test_a_kind_that_is_not_read_is_named(kind: str) -> None:
    with pytest.raises(ImageUnsupported) as refusal:
        decode(UNREAD[kind], MEGAPIXELS)
    assert str(refusal.value) == f"This kind of TIFF is not read: {kind}."


@pytest.mark.parametrize(
    "data",
    [
        UNREAD["3 × 32-bit floating-point, RGB"][:300],
        picture(b"", SIZE, [32] * 3, RGB, sample_format=[FLOAT] * 3),
        picture(bytes(99), (0, 6), [32] * 3, RGB, sample_format=[FLOAT] * 3),
        picture(bytes(PIXELS), SIZE, [8], PALETTE),  # without its colors
    ],
    ids=["cut", "no pixels", "no width", "no colors"],
)
def test_a_damaged_one_is_damaged_whatever_its_kind(data: bytes) -> None:
    with pytest.raises(ImageCorrupt):
        decode(data, MEGAPIXELS)


@pytest.mark.parametrize(("bits", "photometric"), [([8], GREY), ([8] * 3, RGB), ([8] * 4, CMYK)])
def test_the_usual_kinds_are_read(bits: list[int], photometric: int) -> None:
    assert (
        decode(picture(bytes(PIXELS * len(bits)), SIZE, bits, photometric), MEGAPIXELS).width == 8
    )
