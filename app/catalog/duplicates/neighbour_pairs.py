"""Pairs of pictures that are near each other, found once and cached."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from psycopg.errors import QueryCanceled
from sqlalchemy.exc import OperationalError

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.index.near_pairs import find_neighbour_pairs

MAX_DISTANCE = 0.5  # cosine; beyond it nearly everything is connected
NEIGHBOURS = 20  # found for each picture, including itself
QUERY_BATCH = 250  # pictures per statement: a fifth of a second
MAX_QUERY_SECONDS = 20  # that one request spends on finding neighbours

PAIR = np.dtype([("one", np.int64), ("other", np.int64), ("distance", np.float64)])
"""Two picture ids and their cosine distance."""


@dataclass(frozen=True)
class FoundNeighbours:
    """Pictures whose neighbours are known, with their content hash then, and the pairs found."""

    contents: Mapping[int, bytes]
    edges: NDArray[np.void]  # of dtype PAIR

    def within(self, max_distance: float) -> Iterator[tuple[int, int]]:
        """Pairs up to that distance; one of the two ids may be unknown."""
        near = self.edges[self.edges["distance"] <= max_distance]
        return zip(near["one"].tolist(), near["other"].tolist(), strict=True)


class NeighbourPairs:
    """Finds pairs of near pictures of `index`.

    Finding the neighbours of a picture takes about a millisecond. They are therefore cached until
    its content changes, and a request that runs out of time leaves the rest to the next one.
    """

    def __init__(self, sessions: Sessions, index: VectorIndex) -> None:
        self._sessions = sessions
        self._index = index
        self._lock = threading.Lock()
        self._found_before = FoundNeighbours({}, np.empty(0, PAIR))

    def find(self, present: Mapping[int, bytes]) -> FoundNeighbours:
        """The neighbours of `present`, which maps ids to content hashes, as far as they are known.

        One thread at a time finds more; the others wait, or return what is known after a while.
        """
        if not self._lock.acquire(timeout=MAX_QUERY_SECONDS):
            return _still_valid(self._found_before, present)
        try:
            self._found_before = self._find_missing(present)
            return self._found_before
        finally:
            self._lock.release()

    def _find_missing(self, present: Mapping[int, bytes]) -> FoundNeighbours:
        known = _still_valid(self._found_before, present)
        contents, edges = dict(known.contents), [known.edges]
        missing = [image_id for image_id in present if image_id not in contents]
        deadline = time.monotonic() + MAX_QUERY_SECONDS
        for start in range(0, len(missing), QUERY_BATCH):
            batch = missing[start : start + QUERY_BATCH]
            found = self._query(batch) if time.monotonic() < deadline else None
            if found is None:
                break
            edges.append(found)
            contents.update((image_id, present[image_id]) for image_id in batch)
        return FoundNeighbours(contents, np.concatenate(edges))

    def _query(self, image_ids: Sequence[int]) -> NDArray[np.void] | None:
        """The neighbours of these pictures; None if the statement times out."""
        try:
            with self._sessions.begin() as session:
                found = find_neighbour_pairs(
                    session, self._index, image_ids, NEIGHBOURS, MAX_DISTANCE
                )
        except OperationalError as error:
            if isinstance(error.orig, QueryCanceled):  # without a graph every row is read
                return None
            raise
        return np.array(found, PAIR)


def _still_valid(found: FoundNeighbours, present: Mapping[int, bytes]) -> FoundNeighbours:
    """Remove pictures that are gone or have changed, and their pairs."""
    contents = {
        image_id: content
        for image_id, content in found.contents.items()
        if present.get(image_id) == content
    }
    ids, edges = np.fromiter(contents, np.int64, len(contents)), found.edges
    return FoundNeighbours(
        contents, edges[np.isin(edges["one"], ids) & np.isin(edges["other"], ids)]
    )
