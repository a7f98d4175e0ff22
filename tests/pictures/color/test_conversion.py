"""Every mode becomes RGB, whole or in bands, and what the file says of itself stays behind."""

import io

import numpy as np
import pytest
from PIL import Image

from app.pictures.color import conversion
from app.pictures.color.conversion import to_rgb
from app.pictures.thumbnails import make_thumbnail
from tests.fixtures.drawn_pictures import encoded, noise

SIZE = (90, 61)
MODES = ("RGB", "RGBA", "L", "LA", "P", "CMYK", "I;16", "F", "1")


def picture(mode: str) -> Image.Image:
    plain = noise(3, SIZE)
    if mode in {"I;16", "F"}:
        values = np.asarray(plain.convert("L")).astype("<u2" if mode == "I;16" else np.float32)
        return Image.fromarray(values * 3)
    return plain.convert(mode)


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_bands_make_the_same_picture_as_the_whole(
    mode: str, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = to_rgb(picture(mode), factor)
    monkeypatch.setattr(conversion, "BAND_PIXELS", SIZE[0] * factor * 4)
    banded = to_rgb(picture(mode), factor)
    assert whole == banded
    assert whole.mode == "RGB"


def test_the_result_is_another_picture() -> None:
    given = picture("RGB")
    to_rgb(given).paste((0, 0, 0), (0, 0, *SIZE))
    assert given == picture("RGB")


def test_nothing_that_the_file_says_goes_into_thumbnails() -> None:
    exif = Image.Exif()
    exif[0x010E] = "at home"
    data = encoded(noise(3, SIZE), "JPEG", exif=exif, comment=b"at home")
    assert Image.open(io.BytesIO(data)).info.keys() >= {"exif", "comment"}
    with Image.open(io.BytesIO(data)) as opened:
        assert to_rgb(opened).info == {}
    small = make_thumbnail(data, 64, 50)
    assert b"at home" not in small
    assert Image.open(io.BytesIO(small)).info.keys().isdisjoint({"exif", "comment", "xmp"})
