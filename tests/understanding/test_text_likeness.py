"""The cheap test whether a picture may hold text."""

import io

import pytest
from PIL import Image, ImageDraw, ImageFont

from app.understanding.texts.text_likeness import looks_like_text
from tests.fixtures.pictures_with_text import with_text, without_text


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 30])
def test_words_look_like_text_whichever_way_they_lie(degrees: int) -> None:
    assert looks_like_text(opened(with_text("Open daily", rotated=degrees)))


def test_pale_words_in_a_corner_of_a_large_picture_look_like_text() -> None:
    image = Image.new("RGB", (3000, 2000), "white")
    font = ImageFont.load_default(60)
    ImageDraw.Draw(image).text((2200, 1800), "terms apply", fill="#999999", font=font)
    assert looks_like_text(image)


def test_what_is_smooth_does_not() -> None:
    assert not looks_like_text(opened(without_text()))
    assert not looks_like_text(Image.linear_gradient("L").resize((900, 600)).convert("RGB"))


@pytest.mark.parametrize("size", [(5, 900), (900, 5), (1, 1)])
def test_what_is_too_narrow_to_judge_is_read(size: tuple[int, int]) -> None:
    assert looks_like_text(Image.new("RGB", size))
