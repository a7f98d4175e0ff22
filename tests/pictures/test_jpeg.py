"""JPEG: large ones are decoded at a reduced size, and the end marker may be missing.

Issue 21, line 23.
"""

import io

import numpy as np
import pytest
from PIL import Image

from app.errors import ImageCorrupt, ImageTooLarge
from app.pictures.decoding import MAX_RESULT_PIXELS, decode
from app.pictures.jpeg import END_OF_IMAGE, read_frame, with_end_marker
from app.pictures.picture_limits import MAX_DRAFT_MEGAPIXELS
from tests.fixtures.drawn_pictures import encoded, noise

MEGAPIXELS = 50
KINDS = [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}]
TRAILERS = {
    "none": b"",
    "zeros": bytes(1_000),
    "a camera's own": b"\0\0\1\x0a\x0e\0\0\0Image_UTC_Data1609459200000SEFHe\0\0\0SEFT",
    "a preview": b"\0\0" + encoded(noise(9, (160, 120)), "JPEG") + b"SEFT",
}


def jpeg(**options: object) -> bytes:
    return encoded(noise(3, (80, 60)).resize((640, 480)), "JPEG", **options)


@pytest.mark.parametrize("size", [(8_160, 6_144), (16_382, 3_900)])
def test_large_pictures_of_phones_are_read_at_a_reduced_size(size: tuple[int, int]) -> None:
    """A mode of 50 megapixels, and a panorama of 64."""
    picture = decode(encoded(Image.new("RGB", size, "gray"), "JPEG"), MEGAPIXELS)
    assert (picture.width, picture.height) == size
    assert picture.image.width * picture.image.height <= MAX_RESULT_PIXELS
    assert np.abs(np.asarray(picture.image)[0, 0].astype(int) - [128, 128, 128]).max() <= 2


def test_what_is_too_large_also_reduced_is_refused() -> None:
    data = encoded(Image.new("L", (4_096, 4_096)), "JPEG")
    assert decode(data, 2.1).width == 4_096  # 16.8 megapixels become 1.0
    with pytest.raises(ImageTooLarge, match="4096 × 4096 pixels; 12 megapixels"):
        decode(data, 1.5)  # MAX_DRAFT_MEGAPIXELS times
    with pytest.raises(ImageTooLarge, match=r"1000 × 1000 pixels; 0\.9 megapixels"):
        decode(encoded(Image.new("L", (1_000, 1_000)), "JPEG"), 0.9)
    assert MAX_DRAFT_MEGAPIXELS == 8


@pytest.mark.parametrize("options", KINDS, ids=lambda options: next(iter(options), "plain"))
@pytest.mark.parametrize("trailer", TRAILERS)
def test_a_jpeg_without_its_end_marker_is_read(options: dict[str, object], trailer: str) -> None:
    data = jpeg(**options)
    picture = decode(data.removesuffix(END_OF_IMAGE) + TRAILERS[trailer], MEGAPIXELS)
    assert picture.image == decode(data, MEGAPIXELS).image


@pytest.mark.parametrize("options", KINDS, ids=lambda options: next(iter(options), "plain"))
@pytest.mark.parametrize("trailer", ["none", "a camera's own", "a preview"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9, 0.97])
def test_a_jpeg_that_is_cut_stays_refused(
    options: dict[str, object], trailer: str, part: float
) -> None:
    """Also where only the last of a progressive JPEG's scans, with its finest details, is cut."""
    data = jpeg(**options)
    with pytest.raises(ImageCorrupt):
        decode(data[: int(len(data) * part)] + TRAILERS[trailer], MEGAPIXELS)


def test_a_large_progressive_jpeg_that_is_cut_in_its_details_stays_refused() -> None:
    """They do not show in the reduced picture."""
    data = encoded(noise(3, (80, 60)).resize((2_400, 2_100)), "JPEG", progressive=True)
    assert decode(data.removesuffix(END_OF_IMAGE), MEGAPIXELS).width == 2_400
    with pytest.raises(ImageCorrupt):
        decode(data[: int(len(data) * 0.97)], MEGAPIXELS)


def test_a_jpeg_cut_between_scans_or_amid_a_marker_stays_refused() -> None:
    data = jpeg(progressive=True)
    last = data.rindex(b"\xff\xda")
    assert with_end_marker(data[:last]) is None
    assert with_end_marker(data[:-1]) is None
    assert with_end_marker(data) is None
    assert with_end_marker(data[:-2]) == data


@pytest.mark.parametrize(
    ("options", "samples", "is_buffered"),
    [
        ({"subsampling": 0}, 3.0, False),
        ({"subsampling": 1}, 2.0, False),
        ({"subsampling": 2}, 1.5, False),
        ({"subsampling": 2, "progressive": True}, 1.5, True),
    ],
)
def test_the_frame_tells_the_memory(
    options: dict[str, object], samples: float, is_buffered: bool
) -> None:
    frame = read_frame(jpeg(**options))
    assert (frame.samples_per_pixel, frame.is_buffered) == (samples, is_buffered)
    assert frame.coefficient_bytes(100) == (2 * samples * 100 if is_buffered else 0)


def test_a_damaged_header_counts_as_the_most_expensive() -> None:
    frame = read_frame(jpeg()[:100])
    assert (frame.samples_per_pixel, frame.is_buffered) == (4.0, True)


@pytest.mark.parametrize(
    "header",
    [b"\xff\xfe\0\2" * 100_000, b"\xff" * 400_000, b"\xff\0" * 200_000, b"\xff\xd0" * 200_000],
)
def test_a_header_of_endless_segments_is_refused_unread(header: bytes) -> None:
    """Pillow reads them one by one: 20 MB took nine seconds."""
    data = jpeg()
    few = header[:4_000]
    assert decode(data[:2] + few + data[2:], MEGAPIXELS).width == 640
    with pytest.raises(ImageCorrupt, match="segments"):
        decode(data[:2] + header + data[2:], MEGAPIXELS)


def test_a_motion_photo_is_its_still_picture() -> None:
    video = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 64
    data = jpeg()
    assert decode(data + video, MEGAPIXELS).image == decode(data, MEGAPIXELS).image
    assert Image.open(io.BytesIO(data)).size == (640, 480)
