"""Panoramas are encoded in square tiles: a model would see the middle only, or all of it squeezed.

Models take squares, or nearly so. Of a picture four times as wide as it is high, three quarters
would be cropped, or everything squeezed to a quarter of its width.
"""

import math

import numpy as np
from PIL import Image

LARGEST_PLAIN_ASPECT = 2.0  # longer side : shorter side of pictures that are encoded whole
MAX_TILES = 8  # of a picture; of longer panoramas the tiles leave gaps


def tiles(image: Image.Image) -> list[Image.Image]:
    """The squares of a panorama, evenly spread from one end to the other.

    Any other picture is returned as the only one.
    """
    side, length = min(image.size), max(image.size)
    if length <= LARGEST_PLAIN_ASPECT * side:
        return [image]
    count = min(math.ceil(length / side), MAX_TILES)
    starts = [int(start) for start in np.linspace(0, length - side, count).round()]
    if image.width > image.height:
        return [image.crop((start, 0, start + side, side)) for start in starts]
    return [image.crop((0, start, side, start + side)) for start in starts]
