"""What lies near each picture: looked up once, and remembered."""

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
from app.index.hnsw_search import find_neighbour_pairs

MAX_DISTANCE = 0.5  # cosine: beyond it, all is connected with all
NEIGHBOURS = 20  # looked up for each picture, itself among them
LOOKED_UP_AT_ONCE = 250  # pictures in one statement: a fifth of a second
LOOK_SECONDS = 20  # that one request spends on looking up neighbours

LINKS = np.dtype([("one", np.int64), ("other", np.int64), ("distance", np.float64)])
"""Two pictures' ids, and their cosine distance."""


@dataclass(frozen=True)
class FoundPairs:
    """Whose neighbours are known, each id with its content hash then, and the links found."""

    contents: Mapping[int, bytes]
    links: NDArray[np.void]  # rows of LINKS

    def pairs(self, most: float) -> Iterator[tuple[int, int]]:
        """The links of a distance of at most `most`; an end may be an id that is not known."""
        near = self.links[self.links["distance"] <= most]
        return zip(near["one"].tolist(), near["other"].tolist(), strict=True)


class NeighbourPairs:
    """Links between the pictures of `index`.

    A picture's neighbours take about a millisecond to look up. So they are remembered until its
    content changes, and a request that runs out of time leaves the rest to the next.
    """

    def __init__(self, sessions: Sessions, index: VectorIndex) -> None:
        self._sessions = sessions
        self._index = index
        self._looking = threading.Lock()
        self._looked = FoundPairs({}, np.empty(0, LINKS))

    def look(self, present: Mapping[int, bytes]) -> FoundPairs:
        """What is known of the neighbours of `present`, ids with their content hashes.

        One thread looks up more; who has waited in vain for it takes what there is.
        """
        if not self._looking.acquire(timeout=LOOK_SECONDS):
            return _still_true(self._looked, present)
        try:
            self._looked = self._looked_further(present)
            return self._looked
        finally:
            self._looking.release()

    def _looked_further(self, present: Mapping[int, bytes]) -> FoundPairs:
        known = _still_true(self._looked, present)
        contents, links = dict(known.contents), [known.links]
        todo = [image_id for image_id in present if image_id not in contents]
        until = time.monotonic() + LOOK_SECONDS
        for start in range(0, len(todo), LOOKED_UP_AT_ONCE):
            page = todo[start : start + LOOKED_UP_AT_ONCE]
            found = self._found(page) if time.monotonic() < until else None
            if found is None:
                break
            links.append(found)
            contents.update((image_id, present[image_id]) for image_id in page)
        return FoundPairs(contents, np.concatenate(links))

    def _found(self, image_ids: Sequence[int]) -> NDArray[np.void] | None:
        """From these pictures to their neighbours; None where it takes the database too long."""
        try:
            with self._sessions.begin() as session:
                found = find_neighbour_pairs(
                    session, self._index, image_ids, NEIGHBOURS, MAX_DISTANCE
                )
        except OperationalError as error:
            if isinstance(error.orig, QueryCanceled):  # before there is a graph, every row is read
                return None
            raise
        return np.array(found, LINKS)


def _still_true(looked: FoundPairs, present: Mapping[int, bytes]) -> FoundPairs:
    """Without the pictures that are gone or have other content now, and without their links."""
    contents = {
        image_id: content
        for image_id, content in looked.contents.items()
        if present.get(image_id) == content
    }
    ids, links = np.fromiter(contents, np.int64, len(contents)), looked.links
    return FoundPairs(contents, links[np.isin(links["one"], ids) & np.isin(links["other"], ids)])
