"""What judgements do to the queries of one index, where a trial has proven that they help."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.feedback.rated_queries import get_trial, judged_near
from app.feedback.rocchio import Pull, RocchioWeights, adjusted
from app.vectors import Vectors

State = Literal["on", "off", "not enough"]
"""Whether judgements move queries; of too few of them nothing can be said yet."""

STATE_SECONDS = 5.0  # that a state is believed: so long after a trial, searches follow it


@dataclass(frozen=True, eq=False)
class AdjustedQuery:
    """A query, shape (dimensions,), and what moved it; where nothing did, the very same array."""

    vector: Vectors
    pulls: Sequence[Pull]


@dataclass
class _Known:
    """The state as it was read last, and when, by the monotonic clock."""

    state: State = "not enough"
    read_at: float = float("-inf")


@dataclass(frozen=True)
class QueryAdjustment:
    """Of one index. Only where its state is on does a query cost any work of the database."""

    sessions: Sessions
    index: VectorIndex
    weights: RocchioWeights
    _known: _Known = field(default_factory=_Known, repr=False, compare=False)

    def state(self) -> State:
        """As it is, or was at most STATE_SECONDS ago; not enough where no trial was held."""
        if time.monotonic() - self._known.read_at > STATE_SECONDS:
            self._known.state = self._read()
            self._known.read_at = time.monotonic()
        return self._known.state

    def _read(self) -> State:
        with self.sessions.begin() as session:
            kept = get_trial(session, self.index)
        return known_state(kept.get("state") if kept else None)

    def moved(self, vector: Vectors) -> AdjustedQuery:
        """The query as judgements of near queries move it: see `relevance.moved`."""
        if self.state() != "on":
            return AdjustedQuery(vector, ())
        with self.sessions.begin() as session:
            judged = judged_near(session, self.index, vector, self.weights.similarity)
        return AdjustedQuery(*adjusted(vector, judged, self.weights))


def known_state(name: object) -> State:
    """The state of that name; not enough where it is none."""
    states: tuple[State, ...] = get_args(State)
    return next((state for state in states if state == name), "not enough")
