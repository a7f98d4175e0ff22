"""Connected components by union-find."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def connected_components(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The connected components of positions 0 to `count` − 1, as `group_positions` returns them."""
    parents = list(range(count))
    for one, other in pairs:
        parents[find_root(parents, other)] = find_root(parents, one)
    return group_positions(np.array([find_root(parents, one) for one in range(count)], np.intp))


def find_root(parents: list[int], one: int) -> int:
    """The root of an element, with path halving."""
    while parents[one] != one:
        parents[one] = one = parents[parents[one]]
    return one


def group_positions(members: NDArray[np.intp]) -> list[list[int]]:
    """Positions with equal values of `members`, shape (n,), in groups of two or more.

    Both groups and positions ascend.
    """
    order = np.argsort(members, kind="stable")
    runs = np.split(order, np.flatnonzero(np.diff(members[order])) + 1)
    return sorted(run.tolist() for run in runs if len(run) > 1)
