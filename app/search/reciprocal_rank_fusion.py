"""Reciprocal rank fusion of two or three rankings, in blocks so that pages neither repeat nor skip.

G. V. Cormack, C. L. A. Clarke, S. Büttcher: "Reciprocal Rank Fusion outperforms Condorcet and
individual Rank Learning Methods", SIGIR 2009.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Fused(NamedTuple):
    """An id with its fused score and its rank in each ranking."""

    id: int
    score: float
    first_rank: int | None
    second_rank: int | None
    third_rank: int | None = None


@dataclass(frozen=True)
class Fusion:
    """Weights of the fusion.

    `alpha` is the weight of the first ranking, 1 − `alpha` that of the second, and `third` that of
    the third, beside them. A larger `k` reduces the advantage of the top ranks.
    """

    alpha: float = 0.5
    k: float = 60.0
    third: float = 0.0

    @property
    def weights(self) -> tuple[float, float, float]:
        """Of each ranking."""
        return self.alpha, 1 - self.alpha, self.third

    def score(self, first: int | None, second: int | None, third: int | None = None) -> float:
        """The fused score of ranks that start at 1; None if a ranking does not contain the item."""
        ranks = zip(self.weights, (first, second, third), strict=True)
        return sum(weight / (self.k + rank) for weight, rank in ranks if rank)

    def fuse(
        self, first: Sequence[int], second: Sequence[int], block: int, third: Sequence[int] = ()
    ) -> list[Fused]:
        """Fuse rankings of ids, best first, `block` ranks of each at a time.

        Items of later blocks always follow those of earlier ones, so that reading further down the
        rankings never changes the beginning. A ranking of weight 0 contributes no items. Of an item
        that a ranking has several times, for its pages, the first counts.
        """
        given = zip(self.weights, (first, second, third), strict=True)
        rankings = [ranking if weight > 0 else () for weight, ranking in given]
        ranks: list[dict[int, int]] = [{}, {}, {}]
        order: list[Fused] = []
        seen: set[int] = set()
        for start in range(0, max(map(len, rankings)), block):
            new_ids: set[int] = set()
            for ranking, known_ranks in zip(rankings, ranks, strict=True):
                block_ids = ranking[start : start + block]
                for rank, item_id in enumerate(block_ids, start + 1):
                    known_ranks.setdefault(item_id, rank)
                new_ids.update(block_ids)
            new_ids -= seen
            found = [
                self._fused(item_id, *(known.get(item_id) for known in ranks))
                for item_id in new_ids
            ]
            order += sorted(found, key=lambda item: (-item.score, item.id))
            seen |= new_ids
        return order

    def _fused(self, item_id: int, *ranks: int | None) -> Fused:
        first, second, third = ranks
        return Fused(item_id, self.score(first, second, third), first, second, third)
