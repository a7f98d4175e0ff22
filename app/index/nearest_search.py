"""The nearest pictures of one index in one round trip to Postgres."""

from collections.abc import Sequence

from app.database.answer_cache import Found
from app.database.connections import Sessions
from app.database.pipelines import Row, Statement, fetch_together
from app.database.read_routing import engine_of
from app.database.tables import VectorIndex
from app.index.hnsw_search import Neighbour, distinct_nearest, nearest_statements
from app.index.search_method import SEARCHED_EXACTLY, bounds
from app.vectors import Vectors


class NearestSearch:
    """Answers as `hnsw_search.find_nearest`. Thread-safe.

    Whether an index is searched exactly or by its graph seldom changes. So the statement for the
    method that was right the last time is sent together with the question which it is, and again
    for the other method if that has changed.
    """

    def __init__(self, sessions: Sessions, index: VectorIndex) -> None:
        self._sessions = sessions
        self._index = index
        self._is_exact = True

    def find(self, vector: Vectors, limit: int) -> Found[Sequence[Neighbour]]:
        """The `limit` pictures nearest to `vector`, shape (dimensions,), nearest first."""
        snapshots: list[str] = []

        def read(depth: int) -> Sequence[Row]:
            snapshot, rows = self._read(vector, depth)
            snapshots.append(snapshot)
            return rows

        hits = distinct_nearest(read, limit)
        return Found(snapshots[0], hits)

    def _read(self, vector: Vectors, depth: int) -> tuple[str, Sequence[Row]]:
        while True:
            exact = self._is_exact
            (method,), _, rows = fetch_together(
                engine_of(self._sessions),
                [
                    Statement(SEARCHED_EXACTLY, bounds(self._index)),
                    *nearest_statements(self._index, vector, depth, exact=exact),
                ],
            )
            if method["exact"] == exact:
                return method["snapshot"], rows
            self._is_exact = method["exact"]
