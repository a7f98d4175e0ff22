"""Perceptual hash (pHash): near-duplicate pictures differ in few of its bits."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

DUPLICATE_BITS = 6  # Hamming distance of variants; no two of the bundled pictures are so close
BITS = 64
GREY_SIDE = 32  # pixels
BLOCK_SIDE = 8  # the lowest frequencies along each axis
REDUCED_SIDE = 128  # pixels: larger pictures are box-averaged before the slower Lanczos filter
MARGIN = 2.0  # in grey levels, since the transform is orthonormal


def perceptual_hash(image: Pillow.Image) -> int:
    """The DCT hash of an RGB picture: 63 bits, as an integer from 0 to 2⁶³ − 1.

    The picture is reduced to 32 × 32 grey levels. Of their two-dimensional DCT-II the 8 × 8
    lowest frequencies are kept, row by row from the highest bit; a bit is 1 where the coefficient
    is above their median. The bit of the first one, the mean brightness, is always 0.

    After C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010),
    and `ph_dct_imagehash` of its library. That one keeps rows and columns 1 to 8; we keep 0 to 7,
    because a striped picture has all its coefficients in row or column 0.

    A coefficient must exceed the median by MARGIN: in striped and symmetric pictures many are
    zero except for rounding. Every picture of a single colour has the hash 0 therefore, and one
    that is little more than a gradient has a hash near 0.
    """
    block = _dct_rows() @ _greys(image) @ _dct_rows().T
    coefficients = block.ravel()
    bits = coefficients > np.median(coefficients[1:]) + MARGIN
    bits[0] = False
    return int.from_bytes(np.packbits(bits).tobytes())


def _greys(image: Pillow.Image) -> NDArray[np.float64]:
    """Grey levels 0 to 255, shape (32, 32), as floats: rounding would flip bits."""
    factors = (max(1, image.width // REDUCED_SIDE), max(1, image.height // REDUCED_SIDE))
    grey = image.reduce(factors).convert("L").convert("F")
    small = grey.resize((GREY_SIDE, GREY_SIDE), Pillow.Resampling.LANCZOS)
    return np.asarray(small, np.float64)


@cache
def _dct_rows() -> NDArray[np.float64]:
    """The first 8 rows of the orthonormal DCT-II of 32 values, shape (8, 32).

    Row k is √(2/N) cos(π k (n + ½) / N), N = 32; row 0 is scaled by another √½.
    """
    frequency, position = np.arange(BLOCK_SIDE)[:, None], np.arange(GREY_SIDE)
    rows: NDArray[np.float64] = np.cos(np.pi / GREY_SIDE * frequency * (position + 0.5))
    rows *= np.sqrt(2 / GREY_SIDE)
    rows[0] *= np.sqrt(0.5)
    return rows
