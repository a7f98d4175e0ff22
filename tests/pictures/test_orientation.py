"""The orientation counts that Exif or the container gives (issue 16, line 11)."""

from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.pictures.decoding import decode
from tests.fixtures.drawn_pictures import encoded, noise
from tests.fixtures.phone_pictures import xmp

MEGAPIXELS = 50
BOTH_FORMS = {
    "attribute": xmp('tiff:Orientation="6"'),
    "element": xmp(inside="<tiff:Orientation>6</tiff:Orientation>"),
}


XMP_TAG = 700  # of TIFF
ANOTHER_NAME = b"tiff:orientation"  # by the right one, encoders of HEIC would turn the picture


def with_xmp(kind: str, packet: bytes, **options: Any) -> bytes:
    """A picture that is stored as it is, with this XMP."""
    if kind == "PNG":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", packet.decode())
        options["pnginfo"] = text
    elif kind == "TIFF":
        options["tiffinfo"] = {XMP_TAG: packet, **options.pop("exif", {})}
    else:
        options["xmp"] = packet.replace(b"tiff:Orientation", ANOTHER_NAME)
    data = encoded(noise(2, (96, 64)), kind, **options)
    data = data.replace(ANOTHER_NAME, b"tiff:Orientation")
    assert b"tiff:Orientation" in data
    return data


@pytest.mark.parametrize("form", BOTH_FORMS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "MPO"])
def test_xmp_turns_no_picture(kind: str, form: str) -> None:
    picture = decode(with_xmp(kind, BOTH_FORMS[form]), MEGAPIXELS)
    plain = decode(encoded(noise(2, (96, 64)), kind), MEGAPIXELS)
    assert (picture.width, picture.height) == (96, 64)
    assert np.array_equal(np.asarray(picture.image), np.asarray(plain.image))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_turns_it_whatever_xmp_says(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    picture = decode(with_xmp(kind, BOTH_FORMS["attribute"], exif=exif), MEGAPIXELS)
    plain = decode(encoded(noise(2, (96, 64)), kind), MEGAPIXELS)
    assert picture.image == plain.image.transpose(Image.Transpose.ROTATE_90)
