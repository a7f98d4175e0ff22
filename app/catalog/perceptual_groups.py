"""Groups of perceptual hashes that are near one another."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from app.catalog.union_find import gathered, root
from app.pictures.perceptual_hash import BITS

Hashes = NDArray[np.int64]
"""int64, shape (n,): a row for each picture, as `perceptual_hash` gives it."""

MAX_THRESHOLD = 16  # bits: beyond it, unrelated pictures begin to meet
SPARSE = 4  # near pairs for each hash of a bucket: more are too many to go through
CELLS = 1 << 18  # of a comparison at a time: 2 MB, which a core's cache holds


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
