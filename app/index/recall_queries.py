"""The queries by which recall is measured, and how well they were answered."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.index.exact_search import Ids
from app.index.recall_results import Kind
from app.vectors import Vectors

NO_PICTURE = 0  # in `own_ids`: the query is a text


@dataclass(frozen=True, eq=False)
class Queries:
    """`vectors` has the shape (n, d); `own_ids`, (n,), the pictures' ids, NO_PICTURE for texts."""

    vectors: Vectors
    own_ids: Ids

    def __len__(self) -> int:
        return len(self.own_ids)

    @property
    def is_text(self) -> NDArray[np.bool_]:
        """Shape (n,)."""
        texts: NDArray[np.bool_] = self.own_ids == NO_PICTURE
        return texts

    def part(self, some: slice) -> "Queries":
        """Some of them."""
        return Queries(self.vectors[some], self.own_ids[some])


@dataclass(frozen=True, eq=False)
class Answers:
    """By query, shape (n,): the number of true neighbours, how many were found, and the time."""

    expected: NDArray[np.int64]
    hits: NDArray[np.int64]
    ms: NDArray[np.float64]

    def recall(self, some: NDArray[np.bool_] | None = None) -> float:
        """Of all or some of the queries; 1 where there was nothing to find."""
        which = slice(None) if some is None else some
        expected = int(self.expected[which].sum())
        return float(self.hits[which].sum()) / expected if expected else 1.0

    def worse(self, is_text: NDArray[np.bool_]) -> tuple[float, Kind]:
        """The recall of texts or of pictures, whichever is lower, and which of them that is."""
        kinds: dict[Kind, NDArray[np.bool_]] = {"texts": is_text, "pictures": ~is_text}
        asked = {kind: some for kind, some in kinds.items() if some.any()}
        return min((self.recall(some), kind) for kind, some in asked.items())

    def worst_decile(self) -> float:
        """The mean recall of the worst tenth of the queries, one at least; 1 without queries."""
        shares = np.divide(
            self.hits, self.expected, out=np.ones(len(self.hits)), where=self.expected > 0
        )
        return worst_decile(shares)

    def percentile(self, share: float) -> float:
        """Of the milliseconds."""
        return float(np.percentile(self.ms, share))


def worst_decile(recalls: NDArray[np.float64]) -> float:
    """The mean of the worst tenth, of one at least; 1 where there are none."""
    return float(np.sort(recalls)[: max(1, len(recalls) // 10)].mean()) if len(recalls) else 1.0
