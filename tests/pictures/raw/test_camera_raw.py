"""Camera raw files are indexed by their largest preview (issue 16, line 9)."""

import io
import struct
import time
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from app.errors import ImageCorrupt, ImageRejected, ImageUnsupported
from app.pictures.decoding import decode
from app.pictures.formats import FORMATS, SIGNATURE_BYTES, check_signature, media_type
from app.pictures.raw.camera_raw import RAW_FORMATS
from tests.fixtures.camera_raw import (
    PREVIEW,
    PREVIEW_SIZE,
    RAW_FILES,
    SIDEWAYS,
    THUMBNAIL_JPEG,
    VARIANTS,
    cr3,
    dng,
    orf,
    raf,
)
from tests.fixtures.drawn_pictures import encoded, noise
from tests.fixtures.icc_profiles import ADOBE_RGB
from tests.fixtures.tiff_files import Directory, picture, tiff

MEGAPIXELS = 50
UPRIGHT = PREVIEW.transpose(Image.Transpose.ROTATE_270)


@pytest.mark.parametrize("kind", RAW_FILES)
def test_the_preview_is_the_picture(kind: str) -> None:
    data = RAW_FILES[kind]()
    found = decode(data, MEGAPIXELS)
    assert (found.format, found.width, found.height) == (kind, *reversed(PREVIEW_SIZE))
    assert np.abs(np.asarray(found.image, int) - np.asarray(UPRIGHT, int)).mean() < 3
    assert found.description.camera is not None
    assert found.description.camera.endswith("Model 7")
    assert found.description.taken is not None
    assert found.description.taken.at() == datetime(2024, 5, 7, 12, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_largest_preview_is_found_wherever_cameras_keep_it(name: str) -> None:
    kind, made = VARIANTS[name]
    found = decode(made(), MEGAPIXELS)
    assert (found.format, found.width, found.height) == (kind, *reversed(PREVIEW_SIZE))
    assert np.abs(np.asarray(found.image, int) - np.asarray(UPRIGHT, int)).mean() < 3


def test_what_a_cr3_says_lies_in_several_boxes() -> None:
    """Its camera in one, the time and the lens in another, the stars in a packet of XMP."""
    found = decode(cr3(), MEGAPIXELS).description
    assert (found.camera, found.lens, found.rating) == ("Canon Model 7", "RF 35mm", 4)
    assert found.taken is not None
    assert found.taken.local == datetime(2024, 5, 7, 14, 30, 15)


@pytest.mark.parametrize("kind", RAW_FILES)
def test_raw_files_are_told_by_their_header(kind: str) -> None:
    data = RAW_FILES[kind]()
    check_signature(data[:SIGNATURE_BYTES])
    assert media_type(io.BytesIO(data)) == RAW_FORMATS[kind][0]


def test_byte_orders_and_smaller_previews_are_read_too() -> None:
    assert decode(dng(order=">"), MEGAPIXELS).format == "DNG"
    assert decode(cr3(full_size=False), MEGAPIXELS).height == PREVIEW_SIZE[0]


def test_the_orientation_of_the_file_counts_once() -> None:
    """A preview that repeats it is not turned twice."""
    exif = Image.Exif()
    exif[0x0112] = SIDEWAYS
    found = decode(dng(encoded(PREVIEW, "JPEG", exif=exif)), MEGAPIXELS)
    assert (found.width, found.height) == tuple(reversed(PREVIEW_SIZE))


def test_the_previews_colors_are_converted() -> None:
    flat = Image.new("RGB", (64, 48), ADOBE_RGB.from_srgb((200, 60, 50)))
    data = dng(encoded(flat, "JPEG", quality=100, icc_profile=ADOBE_RGB.profile()))
    assert np.abs(np.asarray(decode(data, MEGAPIXELS).image)[20, 20] - [200.0, 60, 50]).max() <= 3


@pytest.mark.parametrize(
    "data",
    [
        dng(b""),
        dng(b"\xff\xd8\xff\xc3" + bytes(99)),
        raf()[:84] + bytes(64) + raf()[148:],
        cr3().replace(b"\xff\xd8\xff", b"\0\0\0"),
        orf().replace(b"OLYMPUS\0II", b"UNKNOWN\0II"),
        tiff(Directory({256: 1, 257: 1}), mark=b"IIIIwaR\0"),
    ],
    ids=["DNG", "lossless", "RAF", "CR3", "ORF", "Phase One"],
)
def test_a_raw_file_without_a_preview_says_so(data: bytes) -> None:
    with pytest.raises(ImageUnsupported, match="a camera raw without a preview"):
        decode(data, MEGAPIXELS)


def test_a_damaged_preview_is_damaged() -> None:
    with pytest.raises(ImageCorrupt):
        decode(dng(THUMBNAIL_JPEG[:-900]), MEGAPIXELS)


def test_a_tiff_is_no_raw_file() -> None:
    for data in (encoded(noise(1), "TIFF"), picture(bytes(48), (8, 6), [8], 1)):
        assert decode(data, MEGAPIXELS).format == "TIFF"
        assert media_type(io.BytesIO(data)) == "image/tiff"


@pytest.mark.parametrize("kind", sorted(set(RAW_FILES) - {"PEF"}))  # ours has directories last
def test_cut_raw_files_are_refused(kind: str) -> None:
    data = RAW_FILES[kind]()
    for part in (0.02, 0.2, 0.6):
        with pytest.raises((ImageCorrupt, ImageUnsupported)):
            decode(data[: int(len(data) * part)], MEGAPIXELS)


def test_directories_in_a_circle_are_read_once() -> None:
    data = bytearray(tiff(Directory({0x010F: b"SONY\0", 259: 32767, 0x014A: [8, 8, 8]})))
    start = struct.unpack_from("<L", data, 4)[0]
    data[-4:] = struct.pack("<L", start)
    with pytest.raises(ImageUnsupported, match="without a preview"):
        decode(bytes(data), MEGAPIXELS)


def test_hostile_directories_are_bounded() -> None:
    """Directories of as many tags as there may be, which all point at each other."""
    tags = b"".join(struct.pack("<HHLL", 0x014A, 4, 60_000, 8) for _ in range(4_000))
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", 4_000) + tags + bytes(300_000)
    entry = struct.pack("<HHLL", 0x0103, 3, 1, 32767)
    began = time.process_time()
    with pytest.raises((ImageCorrupt, ImageUnsupported)):
        decode(data[:10] + entry + data[22:], MEGAPIXELS)
    assert time.process_time() - began < 5  # it takes some hundredths


@pytest.mark.parametrize("kind", RAW_FILES)
def test_damaged_raw_files_are_read_or_refused(kind: str) -> None:
    rng, data = np.random.default_rng(1), RAW_FILES[kind]()
    for _ in range(40):
        damaged = bytearray(data)
        for at in rng.integers(0, min(len(data), 1_000), 4):
            damaged[at] = rng.choice((0, 1, 127, 128, 255))
        with suppress(ImageRejected):  # and no other error
            assert decode(bytes(damaged), MEGAPIXELS).format in FORMATS
