"""What chains of pairs connect: union-find, and its trees as lists."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def connected(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Positions 0 to `count` − 1 in groups of two or more, as `gathered`, that `pairs` connect."""
    parents = list(range(count))
    for one, other in pairs:
        parents[root(parents, other)] = root(parents, one)
    return gathered(np.array([root(parents, one) for one in range(count)], np.intp))


def root(parents: list[int], one: int) -> int:
    """The end of the way up from `one`, which is halved for the next time."""
    while parents[one] != one:
        parents[one] = one = parents[parents[one]]
    return one


def gathered(members: NDArray[np.intp]) -> list[list[int]]:
    """Positions of equal values of `members`, shape (n,), in groups of two or more.

    Positions ascend, and so do the groups' first positions.
    """
    order = np.argsort(members, kind="stable")
    runs = np.split(order, np.flatnonzero(np.diff(members[order])) + 1)
    return sorted(run.tolist() for run in runs if len(run) > 1)
