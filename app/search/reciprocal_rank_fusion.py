"""Reciprocal rank fusion of two rankings, in blocks, so that pages neither repeat nor skip.

G. V. Cormack, C. L. A. Clarke, S. Büttcher: "Reciprocal Rank Fusion outperforms Condorcet and
individual Rank Learning Methods", SIGIR 2009.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Fused(NamedTuple):
    """An id, its score, and the ranks in both rankings that the score is made of."""

    id: int
    score: float
    first: int | None
    second: int | None


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

    def fused(self, first: Sequence[int], second: Sequence[int], block: int) -> list[Fused]:
        """Both rankings as one, the best first, `block` places of both at a time.

        What a block of longer rankings would add comes after it: the beginning stays the same.
        A ranking without weight adds nothing, and what it alone holds is left out.
        """
        rankings = (first if self.alpha > 0 else (), second if self.alpha < 1 else ())
        ranks: tuple[dict[int, int], dict[int, int]] = {}, {}
        order: list[Fused] = []
        seen: set[int] = set()
        for start in range(0, max(map(len, rankings)), block):
            fresh: set[int] = set()
            for ranking, known in zip(rankings, ranks, strict=True):
                some = ranking[start : start + block]
                known.update((one, place) for place, one in enumerate(some, start + 1))
                fresh.update(some)
            fresh -= seen
            found = [self._of(one, ranks[0].get(one), ranks[1].get(one)) for one in fresh]
            order += sorted(found, key=lambda one: (-one.score, one.id))
            seen |= fresh
        return order

    def _of(self, one: int, first: int | None, second: int | None) -> Fused:
        return Fused(one, self.score(first, second), first, second)
