"""Reciprocal rank fusion of two rankings, in blocks so that pages neither repeat nor skip.

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


@dataclass(frozen=True)
class Fusion:
    """Weights of the fusion.

    `alpha` is the weight of the first ranking, 1 − `alpha` that of the second. A larger `k` reduces
    the advantage of the top ranks.
    """

    alpha: float = 0.5
    k: float = 60.0

    def score(self, first: int | None, second: int | None) -> float:
        """The fused score of ranks that start at 1; None if a ranking does not contain the item."""
        return (self.alpha / (self.k + first) if first else 0.0) + (
            (1 - self.alpha) / (self.k + second) if second else 0.0
        )

    def fuse(self, first: Sequence[int], second: Sequence[int], block: int) -> list[Fused]:
        """Fuse two rankings of ids, best first, `block` ranks of both at a time.

        Items of later blocks always follow those of earlier ones, so that reading further down the
        rankings never changes the beginning. A ranking of weight 0 contributes no items. Of an item
        that a ranking has several times, for its pages, the first counts.
        """
        rankings = (first if self.alpha > 0 else (), second if self.alpha < 1 else ())
        ranks: tuple[dict[int, int], dict[int, int]] = {}, {}
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
                self._fused(item_id, ranks[0].get(item_id), ranks[1].get(item_id))
                for item_id in new_ids
            ]
            order += sorted(found, key=lambda item: (-item.score, item.id))
            seen |= new_ids
        return order

    def _fused(self, item_id: int, first: int | None, second: int | None) -> Fused:
        return Fused(item_id, self.score(first, second), first, second)
