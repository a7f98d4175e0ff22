"""Compares new pictures with all standing searches of a collection: one product of matrices.

A standing search finds what a search by vectors would show with at least its confidence. Ratings do
not adjust it: confidence is calculated for the query as asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.catalog.standing.match_rows import NewMatch
from app.catalog.standing.standing_search_rows import Comparable, StandingSearch
from app.index.calibration import NullDistribution
from app.vectors import Vectors


@dataclass(frozen=True, eq=False)
class NewPictures:
    """The vectors, float32 (n, dimensions), of new pictures, and the picture of each row.

    A picture has a row for each page; rows are ordered by `ids`. `added_at` are the pictures'
    times, in seconds since 1970, lowest id first.
    """

    ids: NDArray[np.int64]
    vectors: Vectors
    added_at: Mapping[int, float]

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """The first row of each picture."""
        return np.searchsorted(self.ids, list(self.added_at))


@dataclass(frozen=True, eq=False)
class StandingQueries:
    """The standing searches of a collection, all encoded for the same generation."""

    searches: Sequence[StandingSearch]
    vectors: Vectors
    picture_shares: NDArray[np.float64]
    min_confidences: NDArray[np.float64]
    created_at: NDArray[np.float64]

    @classmethod
    def of(cls, found: Sequence[Comparable]) -> "StandingQueries":
        """From rows; `found` has at least one."""
        searches = [one.search for one in found]
        return cls(
            searches,
            np.stack([one.query.vector for one in found]),
            np.array([one.query.picture_share for one in found]),
            np.array([one.min_confidence for one in searches]),
            np.array([one.created_at.timestamp() for one in searches]),
        )

    @cached_property
    def by_id(self) -> Mapping[int, StandingSearch]:
        """The searches by their ids."""
        return {search.id: search for search in self.searches}

    def matches(self, new: NewPictures, null: NullDistribution) -> list[NewMatch]:
        """The pictures that each search finds, whatever their filters, by search and picture.

        A picture that was added before the search was made is not new to it.
        """
        # On this thread alone: BLAS shares even a product of one picture among threads, and where
        # cores are busy with other work these are waited for longer than they compute.
        cosines = np.einsum("qd,nd->qn", self.vectors, new.vectors)
        scores = np.maximum.reduceat(cosines, new.starts, axis=1)
        confidences = null.confidences(self.vectors, scores, self.picture_shares)
        ids = list(new.added_at)
        added_at = np.array(list(new.added_at.values()))
        is_match = confidences >= self.min_confidences[:, None]
        is_match &= added_at >= self.created_at[:, None]
        return [
            NewMatch(
                self.searches[row].id,
                ids[column],
                float(scores[row, column]),
                float(confidences[row, column]),
            )
            for row, column in np.argwhere(is_match)
        ]
