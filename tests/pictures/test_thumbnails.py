import io

import pytest
from PIL import Image

from app.pictures.thumbnails import make_thumbnail, thumbnail_side
from tests.fixtures.drawn_pictures import png

MEGAPIXELS = 50


@pytest.mark.parametrize(("asked", "kept"), [(1, 64), (64, 64), (65, 128), (999, 1024)])
def test_thumbnails_come_in_few_sizes(asked: int, kept: int) -> None:
    assert thumbnail_side(asked) == kept


def test_a_thumbnail_fits_its_square_and_keeps_its_shape() -> None:
    small = Image.open(io.BytesIO(make_thumbnail(png(4, (400, 200)), 128, MEGAPIXELS)))
    assert (small.format, small.size) == ("WEBP", (128, 64))


def test_a_picture_smaller_than_its_thumbnail_is_not_enlarged() -> None:
    small = Image.open(io.BytesIO(make_thumbnail(png(4, (40, 20)), 128, MEGAPIXELS)))
    assert small.size == (40, 20)
