"""Colours by profile come out in sRGB (issue 16, line 7)."""

import io
import re
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from app.pictures.color.profiles import MAX_PROFILE_BYTES, srgb_conversion
from app.pictures.decoding import decode
from app.pictures.thumbnails import make_thumbnail
from tests.fixtures.drawn_pictures import encoded, noise
from tests.fixtures.icc_profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    SRGB,
    WIDE_SPACES,
    grey_profile,
    press_profile,
)

MEGAPIXELS = 50
COLOR = (200, 60, 50)
SIZE = (48, 32)
FAITHFUL: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 100, "subsampling": 0},
    "PNG": {},
    "HEIF": {"quality": -1, "chroma": 444, "matrix_coefficients": 0},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    "TIFF": {},
    "WEBP": {"lossless": True},
}
INKS = (51, 153, 153, 0)  # on the profile's grid


def center(data: bytes) -> list[int]:
    image = decode(data, MEGAPIXELS).image
    found: list[int] = np.asarray(image)[image.height // 2, image.width // 2].tolist()
    return found


def assert_is_color(data: bytes, color: tuple[int, ...] = COLOR) -> None:
    assert np.abs(np.array(center(data)) - color).max() <= 2


@pytest.mark.parametrize("space", WIDE_SPACES)
@pytest.mark.parametrize("kind", FAITHFUL)
def test_a_color_in_a_wide_space_is_the_same_in_srgb(kind: str, space: str) -> None:
    wide = WIDE_SPACES[space]
    flat = Image.new("RGB", SIZE, wide.from_srgb(COLOR))
    assert_is_color(encoded(flat, kind, icc_profile=wide.profile(), **FAITHFUL[kind]))


@pytest.mark.parametrize("kind", FAITHFUL)
def test_srgb_itself_is_left_as_it_is(kind: str) -> None:
    flat = Image.new("RGB", SIZE, COLOR)
    plain = decode(encoded(flat, kind, **FAITHFUL[kind]), MEGAPIXELS).image
    named = encoded(flat, kind, icc_profile=SRGB.profile(), **FAITHFUL[kind])
    assert decode(named, MEGAPIXELS).image == plain


@pytest.mark.parametrize("profile", ["ours", "lcms"])
def test_srgb_is_recognised(profile: str) -> None:
    lcms = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("RGB", SIZE)
    image.info["icc_profile"] = SRGB.profile() if profile == "ours" else lcms
    assert srgb_conversion(image) is None
    image.info["icc_profile"] = DISPLAY_P3.profile()
    assert srgb_conversion(image) is not None


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_are_seen_as_the_press_prints_them(kind: str) -> None:
    flat = Image.new("CMYK", SIZE, INKS)
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    assert_is_color(encoded(flat, kind, icc_profile=press_profile(INKS, COLOR), **options))


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_colors_with_transparency_and_in_palettes_are_converted(mode: str) -> None:
    flat = Image.new("RGBA", SIZE, (*ADOBE_RGB.from_srgb(COLOR), 255))
    flat.paste((0, 0, 0, 0), (0, 0, 8, 8))
    image = flat if mode == "RGBA" else flat.convert("RGB").quantize(8)
    data = encoded(image, "PNG", icc_profile=ADOBE_RGB.profile())
    assert_is_color(data)
    corner = np.asarray(decode(data, MEGAPIXELS).image)[2, 2].tolist()
    assert corner == [255] * 3 or mode == "P"


LINEAR_GREY = round(255 * float(SRGB.decode(0.5)))  # in a linear profile, of 128 in sRGB


@pytest.mark.parametrize(
    ("mode", "value", "white"),
    [
        ("L", LINEAR_GREY, 255),
        ("LA", (LINEAR_GREY, 255), (255, 255)),
        ("I;16", LINEAR_GREY * 257, 65535),
    ],
)
def test_grey_is_converted_too(mode: str, value: int, white: int) -> None:
    image = Image.new(mode, SIZE, value)
    image.paste(white, (0, 0, 8, 8))
    assert_is_color(encoded(image, icc_profile=grey_profile(1.0)), (128, 128, 128))


def test_a_large_picture_is_converted_after_its_reduction() -> None:
    flat = Image.new("RGB", (2_400, 2_100), ADOBE_RGB.from_srgb(COLOR))
    for kind in ("JPEG", "PNG"):
        data = encoded(flat, kind, icc_profile=ADOBE_RGB.profile())
        assert decode(data, MEGAPIXELS).image.width == 1_200
        assert_is_color(data)


def test_the_thumbnail_has_the_right_colors() -> None:
    flat = Image.new("RGB", SIZE, ADOBE_RGB.from_srgb(COLOR))
    small = make_thumbnail(encoded(flat, icc_profile=ADOBE_RGB.profile()), 64, MEGAPIXELS)
    with Image.open(io.BytesIO(small)) as thumbnail:
        pixels = np.asarray(thumbnail.convert("RGB")).astype(int)
    assert np.abs(pixels[16, 24] - COLOR).max() <= 3  # lossy
    assert "icc_profile" not in thumbnail.info


def test_lab_is_read() -> None:
    lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    flat = ImageCms.applyTransform(Image.new("RGB", SIZE, COLOR), lab)
    assert flat is not None
    assert_is_color(encoded(flat, "TIFF"))


def changed(profile: bytes, at: int, value: bytes) -> bytes:
    return profile[:at] + value + profile[at + len(value) :]


P3 = DISPLAY_P3.profile()
STEPS = changed(P3, 128 + 4 + 12 * 7 - 8, struct.pack(">L", len(P3)))
PASSED_OVER = {
    "damaged": P3[:150],
    "cut": P3[:-200],
    "empty": b"",
    "no profile": b"GIF89a" * 100,
    "huge": P3 + bytes(MAX_PROFILE_BYTES),
    "of inks": press_profile(INKS, COLOR),
    "of grey": grey_profile(1.0),
    "a link": changed(P3, 12, b"link"),
    "all black": re.sub(rb"(?s)(XYZ \0{4}).{12}", rb"\1" + bytes(12), P3),
    "a chain of steps": STEPS + b"mpet" + bytes(12),
}


@pytest.mark.parametrize("name", PASSED_OVER)
def test_a_profile_that_cannot_be_meant_is_passed_over(name: str) -> None:
    flat = Image.new("RGB", SIZE, COLOR)
    for kind in ("TIFF", "PNG"):
        data = encoded(flat, kind, icc_profile=PASSED_OVER[name])
        assert center(data) == list(COLOR)


def test_a_damaged_chunk_of_a_profile_never_costs_the_picture() -> None:
    data = encoded(Image.new("RGB", SIZE, COLOR))
    bombs = {b"p\0\0" + zlib.compress(bytes(50_000_000)), b"p\0\7abc", b"p\0\0no zlib", b"p", b""}
    for body in bombs:
        chunk = struct.pack(">L", len(body)) + b"iCCP" + body
        chunk += struct.pack(">L", zlib.crc32(b"iCCP" + body))
        assert center(data[:33] + chunk + data[33:]) == list(COLOR)


def test_one_conversion_serves_many_threads() -> None:
    """It is kept, and pictures are decoded on many threads at once."""
    files = [encoded(noise(seed, (400, 300)), icc_profile=ADOBE_RGB.profile()) for seed in range(8)]
    alone = [decode(data, MEGAPIXELS).image.tobytes() for data in files]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            images = threads.map(lambda data: decode(data, MEGAPIXELS).image.tobytes(), files)
            assert list(images) == alone
