"""Reciprocal rank fusion of two rankings, in blocks, so that pages neither repeat nor skip.

G. V. Cormack, C. L. A. Clarke, S. Büttcher: "Reciprocal Rank Fusion outperforms Condorcet and
individual Rank Learning Methods", SIGIR 2009.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fusion:
    """`alpha` is the weight of the first ranking, 1 − alpha that of the second; `k` flattens."""

    alpha: float = 0.5
    k: float = 60.0

    def score(self, first: int | None, second: int | None) -> float:
        """From ranks that begin at 1; None where a ranking lacks it."""
        return (self.alpha / (self.k + first) if first else 0.0) + (
            (1 - self.alpha) / (self.k + second) if second else 0.0
        )

    def fused(
        self, first: Sequence[int], second: Sequence[int], block: int
    ) -> list[tuple[int, float]]:
        """Ids and scores, the best first, `block` places of both rankings at a time.

        What a block of longer rankings would add comes after it: the beginning stays the same.
        """
        order: list[tuple[int, float]] = []
        seen: set[int] = set()
        for start in range(0, max(len(first), len(second)), block):
            stop = start + block
            ranks = [_ranks(ranking[:stop]) for ranking in (first, second)]
            fresh = {*first[start:stop], *second[start:stop]} - seen
            scored = [(one, self.score(ranks[0].get(one), ranks[1].get(one))) for one in fresh]
            order += sorted(scored, key=lambda pair: (-pair[1], pair[0]))
            seen |= fresh
        return order


def _ranks(ranking: Sequence[int]) -> dict[int, int]:
    return {one: place for place, one in enumerate(ranking, 1)}
