"""A cheap test whether a picture may hold text: some part of it is dense with strong edges.

Letters are strokes beside their ground, many to a small area. So is grass; the test only spares
pictures that are smooth everywhere the slow reading.
"""

import numpy as np
from PIL import Image as Pillow

SIDE = 1024  # pixels: larger pictures are reduced to it, their longer side
CONTRAST = 60  # of 255: between neighbouring pixels, from which there is an edge
PART = 24  # pixels: the sides of the parts that are judged
DENSE = 0.12  # the share of edges in a part, from which it may be text
LEAST_PARTS = 3  # so many are a short word


def looks_like_text(image: Pillow.Image) -> bool:
    """Whether reading the RGB picture is worth the time; 5 ms a picture."""
    return dense_parts(image) >= LEAST_PARTS


def dense_parts(image: Pillow.Image) -> int:
    """How many parts of the picture are dense with edges."""
    gray = image.convert("L")
    gray.thumbnail((SIDE, SIDE), Pillow.Resampling.BOX, reducing_gap=None)
    levels = np.asarray(gray, np.int16)
    height, width = (side // PART * PART for side in levels.shape)
    if not height or not width:
        return LEAST_PARTS  # too narrow to judge
    across = np.abs(np.diff(levels, axis=1, append=levels[:, -1:])) >= CONTRAST
    down = np.abs(np.diff(levels, axis=0, append=levels[-1:])) >= CONTRAST
    parts = (across | down)[:height, :width].reshape(height // PART, PART, width // PART, PART)
    return int((parts.mean(axis=(1, 3)) >= DENSE).sum())
