"""JPEG with something behind the picture: films, second pictures (issue 16, lines 1 and 10)."""

import io
from collections.abc import Callable

import pytest
from PIL import Image

from app.catalog.images.new_images import new_image
from app.errors import ImageCorrupt
from app.pictures.decoding import decode
from app.pictures.jpeg import MAX_SCANS
from app.pictures.motion_photos import film_offset
from tests.fixtures.drawn_pictures import encoded, noise
from tests.fixtures.phone_pictures import (
    CLIP,
    motion_photo_in_heic,
    older_motion_photo,
    pixel_motion_photo,
    samsung_motion_photo,
    still,
)

MEGAPIXELS = 50
MOTION_PHOTOS: dict[str, Callable[[], bytes]] = {
    "Pixel": pixel_motion_photo,
    "Pixel, HEIC": lambda: pixel_motion_photo("HEIF"),
    "Pixel, Ultra HDR": lambda: pixel_motion_photo(gain_map=encoded(noise(4), "JPEG")),
    "older Pixel": older_motion_photo,
    "Samsung": samsung_motion_photo,
    "Samsung, HEIC": motion_photo_in_heic,
}


@pytest.mark.parametrize("phone", MOTION_PHOTOS)
def test_a_motion_photo_is_read_and_its_film_noted(phone: str) -> None:
    data = MOTION_PHOTOS[phone]()
    kind = "HEIF" if "HEIC" in phone else "JPEG"
    picture = decode(data, MEGAPIXELS)
    assert picture.image == decode(still(kind), MEGAPIXELS).image
    assert picture.film_offset == data.index(CLIP)
    row = new_image("a.jpg", "", data, picture)
    assert row.metadata == {"motion": True, "motion_offset": data.index(CLIP)}
    assert row.format == kind


def test_only_the_scans_of_the_picture_count() -> None:
    assert CLIP.count(b"\xff\xda") > MAX_SCANS
    data = encoded(noise(5, (640, 480)), "JPEG", progressive=True)
    assert decode(data + CLIP, MEGAPIXELS).film_offset is None
    start = data.rindex(b"\xff\xda")
    endless = data[:-2] + data[start:-2] * 200 + data[-2:]
    for hidden in (endless, endless + CLIP, data[:start] + b"\xff\x01" + endless[start:] + CLIP):
        with pytest.raises(ImageCorrupt, match="more than 100 scans"):
            decode(hidden, MEGAPIXELS)


@pytest.mark.parametrize(
    "cut", [lambda data: data[:-400], lambda data: data.replace(b"ftyp", b"free"), lambda data: b""]
)
@pytest.mark.parametrize("phone", MOTION_PHOTOS)
def test_a_film_that_is_not_there_is_not_noted(phone: str, cut: Callable[[bytes], bytes]) -> None:
    data = MOTION_PHOTOS[phone]()
    assert film_offset(cut(data), data) is None  # the XMP lies somewhere in the file


def test_a_samsung_directory_of_any_numbers_is_harmless() -> None:
    data = samsung_motion_photo()
    for at in range(len(data) - 60, len(data)):
        found = film_offset(data[:at] + b"\xff" + data[at + 1 :], b"")
        assert found is None or 0 < found < len(data)


@pytest.mark.parametrize("options", [{}, {"save_all": True, "append_images": [noise(7)]}])
def test_a_jpeg_is_a_jpeg_with_or_without_a_second_picture(options: dict[str, object]) -> None:
    data = encoded(noise(6), "MPO", **options)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.format == ("MPO" if options else "JPEG")
    assert decode(data, MEGAPIXELS).format == "JPEG"
