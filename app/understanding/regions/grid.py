"""Overlapping crops of a picture at two scales, without those that show nothing more.

A thing that covers a twentieth of a picture hardly shows in the picture's vector; of a crop half as
wide it covers a fifth.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from app.pictures.crops import Box, crop

SCALES = (2, 3)
"""Crops in each direction; neighbours overlap by half, so a crop's side is 2 / (n + 1)."""
THUMBNAIL = 32  # pixels: the side of the small pictures that crops are compared by
SAME_LEVELS = 12  # of 255: two crops are near-identical if no pixel of these differs by more

GRID_VERSION = "grid 1"  # change it when other crops would be made, so that pictures get them


def grid_boxes() -> Iterator[Box]:
    """The boxes of all crops, the larger ones first, each scale row by row."""
    for count in SCALES:
        side = 2 / (count + 1)
        for row in range(count):
            for column in range(count):
                yield column * side / 2, row * side / 2, side, side


def grid(image: Pillow.Image) -> list[tuple[Box, Pillow.Image]]:
    """The crops of an RGB picture with their boxes.

    Without those that look the same as the whole or as another crop: parts of a wall or sky.
    """
    seen = [_thumbnail(image)]
    found: list[tuple[Box, Pillow.Image]] = []
    for box in grid_boxes():
        part = crop(image, box)
        small = _thumbnail(part)
        if not any(np.abs(small - other).max() <= SAME_LEVELS for other in seen):
            seen.append(small)
            found.append((box, part))
    return found


def _thumbnail(image: Pillow.Image) -> NDArray[np.int16]:
    small = image.resize((THUMBNAIL, THUMBNAIL), Pillow.Resampling.BOX)
    return np.asarray(small, np.int16)
