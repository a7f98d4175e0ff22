"""Parts of pictures: where they are, and cutting them out."""

from app.pictures.decoding import PillowImage

Box = tuple[float, float, float, float]
"""Left edge, top edge, width and height, as fractions of the upright picture."""


def crop(image: PillowImage, box: Box) -> PillowImage:
    """The part of a picture in a box, at least one pixel wide and high."""
    x, y, width, height = box
    left, right = _pixels(x, width, image.width)
    top, bottom = _pixels(y, height, image.height)
    return image.crop((left, top, right, bottom))


def _pixels(start: float, extent: float, side: int) -> tuple[int, int]:
    """The first pixel, and the one after the last, along a side of so many pixels."""
    first = min(round(start * side), side - 1)
    return first, min(max(round((start + extent) * side), first + 1), side)
