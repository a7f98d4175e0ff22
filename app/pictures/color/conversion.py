"""Conversion of every Pillow mode to 8-bit sRGB."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

PillowImage = Pillow.Image

WHITE_LEVELS = (1.0, *(float(2**bits - 1) for bits in (8, 10, 12, 14, 16)))  # by bit depth
WHITE = (255, 255, 255)
BAND_PIXELS = 1_000_000  # converted at a time


class ColorConversion(Protocol):
    """Converts pictures of a Pillow mode, 8 bits a channel and without transparency, to sRGB."""

    @property
    def mode(self) -> str:
        """The mode of the pictures that it converts."""
        ...

    def apply(self, image: PillowImage) -> PillowImage:
        """The picture in sRGB; its own pixels may be replaced."""
        ...


def to_rgb(
    image: PillowImage, factor: int = 1, conversion: ColorConversion | None = None
) -> PillowImage:
    """Convert to sRGB, reduced by an integer factor; the result is a new image.

    Deep channels are scaled to 8 bits, transparency is composited on white, and colors converted
    after the reduction; without a conversion they are taken for sRGB. All runs in bands: whole
    copies of a large picture in several modes would take a multiple of its memory.
    """
    levels = _black_and_white(image) if _is_deep(image) else None

    def converted(band: PillowImage) -> PillowImage:
        flat = _flattened(band, levels, conversion.mode if conversion else "RGB")
        small = flat.reduce(factor) if factor > 1 else flat
        return conversion.apply(small) if conversion else small

    rows = max(1, BAND_PIXELS // (image.width * factor)) * factor
    if image.height <= rows:  # most pictures: a copy less for each step
        result = converted(image)
        result.info = {}  # of the file: Pillow would write it, positions too, into thumbnails
        return result
    size = (-(-image.width // factor), -(-image.height // factor))
    result = Pillow.new("RGB", size)
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        result.paste(converted(band), (0, top // factor))
    return result


def _is_deep(image: PillowImage) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _flattened(image: PillowImage, levels: tuple[float, float] | None, mode: str) -> PillowImage:
    """The picture in `mode`, 8 bits a channel, without transparency."""
    if levels is not None:
        return _to_eight_bits(image, *levels).convert(mode)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        background = Pillow.new("RGB", layer.size, WHITE)
        background.paste(layer, mask=layer.getchannel("A"))
        return background.convert(mode)
    return image.convert(mode)


def _to_eight_bits(image: PillowImage, black: float, white: float) -> PillowImage:
    """A 16-bit, 32-bit or floating-point greyscale picture as 8-bit greyscale."""
    scaled = (_values(image) - black) * (255 / (white - black))
    return Pillow.fromarray(scaled.round().clip(0, 255).astype(np.uint8))


def _values(image: PillowImage) -> NDArray[np.float32]:
    return np.nan_to_num(np.asarray(image).astype(np.float32))


def _black_and_white(image: PillowImage) -> tuple[float, float]:
    """The values that stand for black and white.

    Cameras and scanners store 10, 12 or 14 bits in 16 without shifting them up. White is
    therefore the largest value of the smallest bit depth that holds all values. Values beyond
    16 bits, or below zero, are stretched from their minimum to their maximum.
    """
    rows = max(1, BAND_PIXELS // image.width)
    tops = range(0, image.height, rows)
    bands = (
        _values(image.crop((0, top, image.width, min(top + rows, image.height)))) for top in tops
    )
    extrema = [(float(band.min()), float(band.max())) for band in bands]
    low, high = min(low for low, _ in extrema), max(high for _, high in extrema)
    levels = (level for level in WHITE_LEVELS if high <= level)
    return (0.0, next(levels, high)) if low >= 0 else (low, max(high, low + 1))
