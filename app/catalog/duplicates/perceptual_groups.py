"""Groups pictures by the Hamming distance of their perceptual hashes."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from app.catalog.duplicates.union_find import find_root, group_positions
from app.pictures.perceptual_hash import BITS

Hashes = NDArray[np.int64]
"""int64, shape (n,): the perceptual hash of each picture."""

MAX_THRESHOLD = 16  # bits; beyond it unrelated pictures are grouped
MAX_PAIRS_PER_HASH = 4  # in a bucket; if there are more, pairs are not enumerated
BLOCK_CELLS = 1 << 18  # of the distance matrix computed at a time: 2 MB, to fit into a cache


def group_hashes(hashes: Hashes, threshold: int) -> list[list[int]]:
    """Positions of similar hashes, in groups of two or more.

    Groups are the connected components of the pairs that differ in at most `threshold` bits. Both
    groups and positions ascend. Raises ValueError unless `threshold` is 0 to MAX_THRESHOLD.
    """
    if not 0 <= threshold <= MAX_THRESHOLD:
        raise ValueError(f"threshold {threshold}, expected 0 to {MAX_THRESHOLD}")
    distinct, inverse = np.unique(hashes.view(np.uint64), return_inverse=True)
    return group_positions(_components(distinct, threshold)[inverse])


def _components(distinct: NDArray[np.uint64], threshold: int) -> NDArray[np.intp]:
    """The component of each of the distinct hashes, shape (n,), as the position of its root."""
    parents = list(range(len(distinct)))
    for bucket in _buckets(distinct, threshold):
        for one, near in _connections(distinct[bucket], threshold):
            top = find_root(parents, int(bucket[one]))
            for other in bucket[near].tolist():
                parents[find_root(parents, other)] = top
    return np.array([find_root(parents, one) for one in range(len(parents))], np.intp)


def _buckets(distinct: NDArray[np.uint64], threshold: int) -> Iterator[NDArray[np.intp]]:
    """Buckets of positions; each pair within the threshold shares at least one.

    Of threshold + 1 bands of bits, `threshold` differing bits leave one equal. A band takes every
    (threshold + 1)-th bit, so that common runs of bits do not overfill a bucket.
    """
    for first in range(threshold + 1):
        bits = sum(1 << bit for bit in range(first, BITS, threshold + 1))
        band = distinct & np.uint64(bits)
        order = np.argsort(band, kind="stable")
        cuts = np.flatnonzero(np.diff(band[order])) + 1
        starts, ends = np.r_[0, cuts], np.r_[cuts, len(band)]
        for start, end in np.c_[starts, ends][ends - starts > 1].tolist():
            yield order[start:end]


def _connections(
    bucket: NDArray[np.uint64], threshold: int
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Edges from a position to others, sufficient to connect each component of the bucket."""
    pairs = _pairs(bucket, threshold)
    if pairs is None:
        yield from _grow_groups(bucket, threshold)
    else:
        yield from zip(pairs[:, 0].tolist(), pairs[:, 1:], strict=True)


def _pairs(bucket: NDArray[np.uint64], threshold: int) -> NDArray[np.intp] | None:
    """All pairs within the threshold, shape (pairs, 2); None if there are too many."""
    rows = max(1, BLOCK_CELLS // len(bucket))
    found, count = [], 0
    for start in range(0, len(bucket), rows):
        near = _near(bucket[start : start + rows], bucket[start:], threshold)
        pairs = np.argwhere(near)
        found.append(pairs[pairs[:, 0] < pairs[:, 1]] + start)
        count += len(found[-1])
        if count > MAX_PAIRS_PER_HASH * len(bucket):
            return None
    return np.concatenate(found)


def _grow_groups(
    bucket: NDArray[np.uint64], threshold: int
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Connect components without enumerating pairs: members are compared with non-members only.

    50,000 similar hashes then cost a few passes instead of 50,000² comparisons.
    """
    rest = np.arange(len(bucket))
    while len(rest) > 1:
        one, waiting, rest = int(rest[0]), rest[:1], rest[1:]
        while len(waiting) and len(rest):
            rows = max(1, BLOCK_CELLS // len(rest))
            chunk, waiting = waiting[:rows], waiting[rows:]
            joined = _near(bucket[chunk], bucket[rest], threshold).any(axis=0)
            if joined.any():
                yield one, rest[joined]
                waiting, rest = np.r_[waiting, rest[joined]], rest[~joined]


def _near(
    some: NDArray[np.uint64], others: NDArray[np.uint64], threshold: int
) -> NDArray[np.bool_]:
    """Which of `some`, shape (m,), and `others`, shape (n,), are near: shape (m, n)."""
    near: NDArray[np.bool_] = np.bitwise_count(some[:, None] ^ others) <= threshold
    return near
