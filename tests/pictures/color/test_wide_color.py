"""HDR and wide gamuts that a file names by number (issue 16, line 8)."""

import io
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from numpy.typing import ArrayLike
from PIL import Image

from app.pictures.color.coding_points import CodingPoints, read_coding_points
from app.pictures.decoding import decode
from tests.fixtures.drawn_pictures import encoded
from tests.fixtures.icc_profiles import ADOBE_RGB, DISPLAY_P3, SRGB, ColorSpace

MEGAPIXELS = 50
SIZE = (64, 48)
BT2020 = ColorSpace(((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), (0.3127, 0.3290), None)
PAPER_WHITE = 203  # cd/m², ITU-R BT.2408
PQ, HLG, SRGB_CURVE = 16, 18, 13
COLOR = (200, 60, 50)


def pq(light: ArrayLike) -> np.ndarray:
    """The signal of linear light relative to paper white, by the inverse EOTF of ST 2084."""
    y = (np.asarray(light, float) * PAPER_WHITE / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg(light: ArrayLike) -> np.ndarray:
    """The signal of linear light relative to paper white, on a screen of 1,000 cd/m²."""
    shown = np.asarray(light, float) * PAPER_WHITE / 1_000
    bright = shown @ [0.2627, 0.6780, 0.0593]
    scene = shown * bright ** (1 / 1.2 - 1) if bright else shown
    curved = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), curved)


CURVES = {PQ: pq, HLG: hlg}


def heic(signal: ArrayLike, primaries: int, transfer: int) -> bytes:
    """A HEIC of 10 bits and one color."""
    pixels = np.broadcast_to(np.asarray(signal) * 65_535, (*SIZE[::-1], 3)).round()
    image = pillow_heif.from_bytes("RGB;16", SIZE, pixels.astype(np.uint16).tobytes())
    out = io.BytesIO()
    numbers = {"color_primaries": primaries, "transfer_characteristics": transfer}
    image.save(out, quality=-1, chroma=444, matrix_coefficients=0, full_range_flag=1, **numbers)
    return out.getvalue()


def avif(signal: ArrayLike, primaries: int, transfer: int, **options: object) -> bytes:
    """An AVIF of one color; Pillow writes the numbers of sRGB, which are replaced."""
    color = tuple(int(level) for level in (np.asarray(signal) * 255).round())
    image = Image.new("RGB", SIZE, color)
    data = encoded(image, "AVIF", quality=100, subsampling="4:4:4", **options)
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


def png(signal: ArrayLike, primaries: int, transfer: int) -> bytes:
    """A PNG of one color with the chunk cICP."""
    color = tuple(int(level) for level in (np.asarray(signal) * 255).round())
    data, body = encoded(Image.new("RGB", SIZE, color)), bytes([primaries, transfer, 0, 1])
    chunk = struct.pack(">L", 4) + b"cICP" + body + struct.pack(">L", zlib.crc32(b"cICP" + body))
    return data[:33] + chunk + data[33:]


WRITERS = {"HEIF": heic, "AVIF": avif, "PNG": png}


def center(data: bytes) -> np.ndarray:
    color: np.ndarray = np.asarray(decode(data, MEGAPIXELS).image)[24, 32].astype(int)
    return color


@pytest.mark.parametrize("transfer", CURVES)
@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    ("light", "level"), [(1.0, 255), (0.18, 118), (0.0, 0), (4.0, 255), (0.5, 188)]
)
def test_paper_white_is_white(kind: str, transfer: int, light: float, level: int) -> None:
    data = WRITERS[kind](CURVES[transfer]([light] * 3), 9, transfer)
    assert read_coding_points(data) == CodingPoints(9, transfer)
    assert np.abs(center(data) - level).max() <= 4  # 8 bits are coarse in these curves


@pytest.mark.parametrize("transfer", CURVES)
@pytest.mark.parametrize("kind", WRITERS)
def test_a_color_in_hdr_is_the_same_in_srgb(kind: str, transfer: int) -> None:
    linear = SRGB.decode(np.array(COLOR) / 255)
    there = np.linalg.solve(BT2020.to_xyz(), SRGB.to_xyz() @ linear)
    data = WRITERS[kind](CURVES[transfer](there), 9, transfer)
    assert np.abs(center(data) - COLOR).max() <= 6


def test_what_is_brighter_than_paper_keeps_its_hue() -> None:
    light = np.array([2.0, 1.0, 0.5])  # in BT.2020
    red, green, blue = center(heic(pq(light), 9, PQ))
    assert red == 255
    assert red > green + 40 > blue + 60


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(("primaries", "space"), [(12, DISPLAY_P3), (9, BT2020)])
def test_a_wide_gamut_by_number_is_converted(kind: str, primaries: int, space: ColorSpace) -> None:
    signal = np.array(space.from_srgb(COLOR)) / 255
    assert np.abs(center(WRITERS[kind](signal, primaries, SRGB_CURVE)) - COLOR).max() <= 3


@pytest.mark.parametrize("kind", ["AVIF", "PNG"])  # libheif writes no unknown numbers
@pytest.mark.parametrize("numbers", [(1, 13), (1, 1), (2, 2), (9, 99)])
def test_srgb_and_unknown_numbers_are_left(kind: str, numbers: tuple[int, int]) -> None:
    data = WRITERS[kind](np.array(COLOR) / 255, *numbers)
    assert np.abs(center(data) - COLOR).max() <= 1


def test_a_profile_goes_before_the_numbers_of_a_gamut() -> None:
    signal = np.array(ADOBE_RGB.from_srgb(COLOR)) / 255
    data = avif(signal, 9, SRGB_CURVE, icc_profile=ADOBE_RGB.profile())
    assert np.abs(center(data) - COLOR).max() <= 3


def test_damaged_boxes_and_chunks_are_harmless() -> None:
    for data in (heic([0.5] * 3, 9, PQ), png([0.5] * 3, 9, PQ)):
        whole = read_coding_points(data)
        assert whole == CodingPoints(9, PQ)
        for at in range(min(500, len(data))):
            assert read_coding_points(data[:at]) in {None, whole}
            found = read_coding_points(data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :])
            assert found is None or isinstance(found, CodingPoints)
