"""Conversion of every Pillow mode to 8-bit RGB."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

PillowImage = Pillow.Image

WHITE_LEVELS = (1.0, *(float(2**bits - 1) for bits in (8, 10, 12, 14, 16)))  # by bit depth
WHITE = (255, 255, 255)


def to_rgb(image: PillowImage) -> PillowImage:
    """Convert to RGB: deep channels are scaled to 8 bits, transparency is composited on white."""
    if image.mode.startswith("I") or image.mode == "F":
        return _to_eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        background = Pillow.new("RGB", layer.size, WHITE)
        background.paste(layer, mask=layer.getchannel("A"))
        return background
    return image.convert("RGB")


def _to_eight_bits(image: PillowImage) -> PillowImage:
    """A 16-bit, 32-bit or floating-point greyscale picture as 8-bit greyscale."""
    values = np.nan_to_num(np.asarray(image).astype(np.float32))
    black, white = _black_and_white(values)
    scaled = (values - black) * (255 / (white - black))
    return Pillow.fromarray(scaled.round().clip(0, 255).astype(np.uint8))


def _black_and_white(values: NDArray[np.float32]) -> tuple[float, float]:
    """The values that stand for black and white.

    Cameras and scanners store 10, 12 or 14 bits in 16 without shifting them up. White is
    therefore the largest value of the smallest bit depth that holds all values. Values beyond
    16 bits, or below zero, are stretched from their minimum to their maximum.
    """
    low, high = float(values.min()), float(values.max())
    levels = (level for level in WHITE_LEVELS if high <= level)
    return (0.0, next(levels, high)) if low >= 0 else (low, max(high, low + 1))
