"""A hash that near-duplicates share almost all bits of, and groups of such hashes."""

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from app.components import gathered, root

Hashes = NDArray[np.int64]
"""int64, shape (n,): a row for each picture, as `perceptual_hash` gives it."""

ALIKE = 6  # bits: a variant differs in fewer, no two of the bundled pictures do
MAX_THRESHOLD = 16  # bits: beyond it, unrelated pictures begin to meet
BITS = 64
GREY_SIDE = 32  # pixels
BLOCK_SIDE = 8  # the lowest frequencies along each axis
REDUCED_SIDE = 128  # pixels: above it, cheap averaging comes before the filter
MARGIN = 2.0  # grey levels, of an orthonormal transform
SPARSE = 4  # near pairs for each hash of a bucket: more are too many to go through
CELLS = 1 << 18  # of a comparison at a time: 2 MB, which a core's cache holds


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


def groups(hashes: Hashes, threshold: int) -> list[list[int]]:
    """Positions of pictures alike, in groups of two or more.

    Two hashes that differ in at most `threshold` bits are in one group, and so is all that a
    chain of such pairs connects. Positions ascend, and so do the groups' first positions.
    Raises ValueError unless `threshold` is 0 to MAX_THRESHOLD.
    """
    if not 0 <= threshold <= MAX_THRESHOLD:
        raise ValueError(f"threshold {threshold}, expected 0 to {MAX_THRESHOLD}")
    distinct, inverse = np.unique(hashes.view(np.uint64), return_inverse=True)
    return gathered(_components(distinct, threshold)[inverse])


def _components(distinct: NDArray[np.uint64], threshold: int) -> NDArray[np.intp]:
    """For each of the hashes, shape (n,), none twice, the position that stands for its group."""
    parents = list(range(len(distinct)))
    for bucket in _buckets(distinct, threshold):
        for one, near in _links(distinct[bucket], threshold):
            top = root(parents, int(bucket[one]))
            for other in bucket[near].tolist():
                parents[root(parents, other)] = top
    return np.array([root(parents, one) for one in range(len(parents))], np.intp)


def _buckets(distinct: NDArray[np.uint64], threshold: int) -> Iterator[NDArray[np.intp]]:
    """Positions that may be near: each near pair is in one bucket or more.

    Of threshold + 1 bands of bits, `threshold` differing bits leave one band equal. A band takes
    every (threshold + 1)-th bit, so that a run of bits that many hashes share fills none.
    """
    for first in range(threshold + 1):
        bits = sum(1 << bit for bit in range(first, BITS, threshold + 1))
        band = distinct & np.uint64(bits)
        order = np.argsort(band, kind="stable")
        cuts = np.flatnonzero(np.diff(band[order])) + 1
        starts, ends = np.r_[0, cuts], np.r_[cuts, len(band)]
        for start, end in np.c_[starts, ends][ends - starts > 1].tolist():
            yield order[start:end]


def _links(bucket: NDArray[np.uint64], threshold: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Pairs of a position in the bucket and others of its group: enough to connect the group."""
    pairs = _pairs(bucket, threshold)
    if pairs is None:
        yield from _grown(bucket, threshold)
    else:
        yield from zip(pairs[:, 0].tolist(), pairs[:, 1:], strict=True)


def _pairs(bucket: NDArray[np.uint64], threshold: int) -> NDArray[np.intp] | None:
    """All near pairs of positions, shape (pairs, 2), or None where they are too many."""
    rows = max(1, CELLS // len(bucket))
    found, count = [], 0
    for start in range(0, len(bucket), rows):
        near = _near(bucket[start : start + rows], bucket[start:], threshold)
        pairs = np.argwhere(near)
        found.append(pairs[pairs[:, 0] < pairs[:, 1]] + start)
        count += len(found[-1])
        if count > SPARSE * len(bucket):
            return None
    return np.concatenate(found)


def _grown(bucket: NDArray[np.uint64], threshold: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """As `_links`, where pairs are too many: what has joined is compared with only what has not.

    So 50,000 hashes near one another cost a few passes, not 50,000² comparisons.
    """
    rest = np.arange(len(bucket))
    while len(rest) > 1:
        one, waiting, rest = int(rest[0]), rest[:1], rest[1:]
        while len(waiting) and len(rest):
            rows = max(1, CELLS // len(rest))
            chunk, waiting = waiting[:rows], waiting[rows:]
            joined = _near(bucket[chunk], bucket[rest], threshold).any(axis=0)
            if joined.any():
                yield one, rest[joined]
                waiting, rest = np.r_[waiting, rest[joined]], rest[~joined]


def _near(
    some: NDArray[np.uint64], others: NDArray[np.uint64], threshold: int
) -> NDArray[np.bool_]:
    """Which of `some`, shape (m,), are near which of `others`, shape (n,): shape (m, n)."""
    near: NDArray[np.bool_] = np.bitwise_count(some[:, None] ^ others) <= threshold
    return near
