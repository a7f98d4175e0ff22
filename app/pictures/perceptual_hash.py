"""A hash that near-duplicates share almost all bits of."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

ALIKE = 6  # bits: a variant differs in fewer, no two of the bundled pictures do
BITS = 64
GREY_SIDE = 32  # pixels
BLOCK_SIDE = 8  # the lowest frequencies along each axis
REDUCED_SIDE = 128  # pixels: above it, cheap averaging comes before the filter
MARGIN = 2.0  # grey levels, of an orthonormal transform


def perceptual_hash(image: Pillow.Image) -> int:
    """The 63 bits of an RGB picture's DCT hash, as an integer from 0 to 2⁶³ − 1.

    The picture becomes 32 × 32 greys; of their two-dimensional DCT-II the 8 × 8 lowest
    frequencies are kept, row by row from the highest bit, and each gives a 1 where it is above
    their median. The first, the mean brightness, is left out: its bit is 0. After C. Zauner,
    "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), and its
    library's `ph_dct_imagehash`, which keeps rows and columns 1 to 8; ours are 0 to 7, since
    all of a striped picture is in row or column 0.

    A coefficient must be above the median by MARGIN, since those that a stripe or a symmetric
    picture lacks are zero but for rounding. So a picture of one colour, whichever it is, has
    the hash 0, and the hash of one that holds little else than a gradient is near it.
    """
    block = _dct_rows() @ _greys(image) @ _dct_rows().T
    coefficients = block.ravel()
    bits = coefficients > np.median(coefficients[1:]) + MARGIN
    bits[0] = False
    return int.from_bytes(np.packbits(bits).tobytes())


def _greys(image: Pillow.Image) -> NDArray[np.float64]:
    """Grey levels 0 to 255, shape (32, 32), not rounded: rounding would move bits."""
    factors = (max(1, image.width // REDUCED_SIDE), max(1, image.height // REDUCED_SIDE))
    grey = image.reduce(factors).convert("L").convert("F")
    small = grey.resize((GREY_SIDE, GREY_SIDE), Pillow.Resampling.LANCZOS)
    return np.asarray(small, np.float64)


@cache
def _dct_rows() -> NDArray[np.float64]:
    """The first 8 rows of the orthonormal DCT-II of 32 values, shape (8, 32).

    Row k is √(2/N) cos(π k (n + ½) / N), N = 32; row 0 is scaled by another √½.
    """
    frequency, place = np.arange(BLOCK_SIDE)[:, None], np.arange(GREY_SIDE)
    rows: NDArray[np.float64] = np.cos(np.pi / GREY_SIDE * frequency * (place + 0.5))
    rows *= np.sqrt(2 / GREY_SIDE)
    rows[0] *= np.sqrt(0.5)
    return rows
