"""Adjusts the queries of one index by feedback, if an evaluation has shown that it helps."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.feedback.rated_queries import get_evaluation, judgements_near
from app.feedback.rocchio import Pull, RocchioWeights, adjust_query
from app.vectors import Vectors

State = Literal["on", "off", "not_enough_data"]
"""Whether feedback adjusts queries; `not_enough_data`: too little feedback to evaluate."""

STATE_CACHE_SECONDS = 5.0  # so long after an evaluation, searches follow it


@dataclass(frozen=True, eq=False)
class AdjustedQuery:
    """A query, shape (dimensions,), and its pulls; without pulls it is the original array."""

    vector: Vectors
    pulls: Sequence[Pull]


@dataclass
class _CachedState:
    """The state as last read, and when by the monotonic clock."""

    state: State = "not_enough_data"
    read_at: float = float("-inf")


@dataclass(frozen=True)
class QueryAdjustment:
    """Adjusts the queries of one index. It reads judgements only while its state is on."""

    sessions: Sessions
    index: VectorIndex
    weights: RocchioWeights
    _cached: _CachedState = field(default_factory=_CachedState, repr=False, compare=False)

    def state(self) -> State:
        """The state, at most STATE_CACHE_SECONDS old; `not_enough_data` before the first one."""
        if time.monotonic() - self._cached.read_at > STATE_CACHE_SECONDS:
            self._cached.state = self._read()
            self._cached.read_at = time.monotonic()
        return self._cached.state

    def _read(self) -> State:
        with self.sessions.begin() as session:
            stored = get_evaluation(session, self.index)
        return parse_state(stored.get("state") if stored else None)

    def adjust(self, vector: Vectors) -> AdjustedQuery:
        """Adjust the query by the judgements of nearby queries: see `rocchio.adjust_query`."""
        if self.state() != "on":
            return AdjustedQuery(vector, ())
        with self.sessions.begin() as session:
            judgements = judgements_near(session, self.index, vector, self.weights.similarity)
        return AdjustedQuery(*adjust_query(vector, judgements, self.weights))


def parse_state(name: object) -> State:
    """The state of that name, or `not_enough_data`."""
    states: tuple[State, ...] = get_args(State)
    return next((state for state in states if state == name), "not_enough_data")
