"""JPEG XL, by the extra `jxl` (issue 16)."""

import io
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest

from app.errors import ImageCorrupt, ImageTooLarge, ImageUnsupported
from app.pictures.decoding import decode
from app.pictures.formats import SIGNATURE_BYTES, check_signature, media_type
from app.pictures.jpeg_xl.header import read_header
from app.pictures.jpeg_xl.pillow_plugin import reads_jpeg_xl
from tests.fixtures import jpeg_xl
from tests.fixtures.drawn_pictures import encoded, noise
from tests.fixtures.icc_profiles import DISPLAY_P3

MEGAPIXELS = 50
RED = (200, 60, 50)
needs_decoder = pytest.mark.skipif(find_spec("pylibjxl") is None, reason="the extra jxl is absent")


@needs_decoder
def test_jpeg_xl_is_read() -> None:
    """As written by its library: with a profile, Exif that turns a JPEG, and transparency."""
    import pylibjxl

    pixels = np.asarray(noise(1))
    data = pylibjxl.encode(pixels, lossless=True, distance=0.0, effort=1)
    check_signature(data[:SIGNATURE_BYTES])
    picture = decode(data, MEGAPIXELS)
    assert (picture.format, picture.width, picture.height) == ("JXL", 96, 64)
    assert np.array_equal(np.asarray(picture.image), pixels)
    assert media_type(io.BytesIO(data)) == "image/jxl"

    flat = np.full((8, 16, 3), DISPLAY_P3.from_srgb(RED), np.uint8)
    wide = pylibjxl.encode(flat, lossless=True, distance=0.0, icc=DISPLAY_P3.profile())
    assert decode(wide, MEGAPIXELS).image.getpixel((0, 0)) == pytest.approx(RED, abs=2)

    exif = noise(2).getexif()
    exif[0x0112], exif[0x010F] = 6, "Acme"
    turned = decode(pylibjxl.jpeg_to_jxl(encoded(noise(2), "JPEG", exif=exif)), MEGAPIXELS)
    assert (turned.width, turned.height, turned.description.camera) == (64, 96, "Acme")
    assert turned.image.size == (64, 96)

    clear = pylibjxl.encode(np.zeros((8, 16, 4), np.uint8), lossless=True, distance=0.0)
    assert decode(clear, MEGAPIXELS).image.getpixel((0, 0)) == (255, 255, 255)


@needs_decoder
@pytest.mark.parametrize("kind", ["DISPLAY_P3", "LINEAR", "ADOBE_RGB", "DEEP", "PQ"])
def test_colors_named_by_numbers_are_those_of_srgb(kind: str) -> None:
    """Issue 16, lines 7 and 8: its decoder tells nothing of colors without a profile."""
    found = decode(getattr(jpeg_xl, kind), MEGAPIXELS).image.getpixel((15, 7))
    assert found == pytest.approx((255, 255, 255) if kind == "PQ" else RED, abs=2)


@needs_decoder
def test_a_jpeg_xl_is_turned_by_its_container_and_an_animation_gives_its_first_frame() -> None:
    turned = decode(jpeg_xl.TURNED, MEGAPIXELS)
    assert (turned.width, turned.height) == turned.image.size == (8, 16)
    corners = [turned.image.getpixel(at) for at in ((0, 0), (7, 0), (7, 7), (7, 8))]
    assert corners == [RED, (0, 0, 255), (0, 0, 255), RED]
    assert decode(jpeg_xl.ANIMATED, MEGAPIXELS).image.getpixel((0, 0)) == (10, 10, 10)
    assert decode(jpeg_xl.PACKED_EXIF, MEGAPIXELS).description.camera == "Acme"


@needs_decoder
def test_a_hostile_jpeg_xl_takes_bounded_memory_and_is_refused() -> None:
    """Its size is known before any pixel, and its decoder's memory is limited."""
    with pytest.raises(ImageCorrupt, match="memory"):
        decode(jpeg_xl.PACKED_LARGE, MEGAPIXELS)
    huge = b"\xff\x0a" + (0b11 << 1 | 999_999_999 << 3).to_bytes(8, "little") + bytes(90)
    assert read_header(huge).height == 1_000_000_000
    with pytest.raises(ImageTooLarge):
        decode(b"\xff\x0a" + (0b11 << 1 | 99_999 << 3 | 1 << 33).to_bytes(8, "little"), 50)
    for length in (3, 20, 90, 180):
        with pytest.raises(ImageCorrupt):
            decode(jpeg_xl.DISPLAY_P3[:length], MEGAPIXELS)


def test_colors_of_printing_are_refused_by_their_name() -> None:
    """Issue 16, line 7: the decoder would leave out the black ink, and give wrong colors."""
    fields = (
        *((1, 1), (1, 5), (1, 3)),  # small: 16 pixels high, and as wide
        *((0, 1), (0, 1)),  # not all as usual, no extra fields
        *((0, 1), (0, 2), (1, 1)),  # integers of 8 bits a sample, for which 16 are enough
        (1, 2),  # one extra channel
        *((0, 1), (2, 2), (2, 4)),  # not as usual: its kind is 2 + 2, black
        *((0, 1), (0, 2), (0, 2), (0, 2)),  # 8 bits, as large as the colors, without a name
        *((0, 1), (1, 1)),  # not in XYB, the colors of RGB
    )
    bits, at = 0, 0
    for value, length in fields:
        bits, at = bits | value << at, at + length
    data = b"\xff\x0a" + bits.to_bytes(8, "little")
    header = read_header(data)
    assert (header.width, header.height, header.extra_channels) == (16, 16, 1)
    with pytest.raises(ImageUnsupported, match="CMYK"):
        decode(data, MEGAPIXELS)


def test_damaged_headers_are_said_to_be_damaged() -> None:
    rng = np.random.default_rng(1)
    for _ in range(2_000):
        data = b"\xff\x0a" + rng.bytes(int(rng.integers(0, 40)))
        try:
            header = read_header(data)
        except ValueError:
            continue
        assert header.width >= 0
        assert header.extra_channels <= 16


@pytest.fixture
def without_decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pylibjxl", None)  # as if it were not installed
        reads_jpeg_xl.cache_clear()
        yield
    reads_jpeg_xl.cache_clear()


@pytest.mark.usefixtures("without_decoder")
def test_without_the_extra_the_refusal_says_what_to_install() -> None:
    for data in (jpeg_xl.DISPLAY_P3, b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99)):
        for read in (
            lambda data=data: decode(data, MEGAPIXELS),
            lambda data=data: check_signature(data[:SIGNATURE_BYTES]),
        ):
            with pytest.raises(ImageUnsupported, match=r"JPEG XL.*extra jxl.*pylibjxl"):
                read()
