"""The trial that judgements must pass before they move queries: they must tell what was held out.

Judgements are held out a fifth at a time. Each judged query ranks the collection plainly, and moved
by the other fifths alone; what people said of the pictures that are held out decides which order is
better. It is the residual collection method of G. Salton and C. Buckley, "Improving retrieval
performance by relevance feedback", 1990: pictures whose ratings the query has learnt from are taken
out of both rankings, so that nothing is gained by showing again what was liked.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import numpy as np
from sqlalchemy.orm import Session

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.errors import Interrupted
from app.feedback import rated_queries
from app.feedback.query_adjustment import State, known_state
from app.feedback.rated_queries import JudgedQuery, RatedImage
from app.feedback.ratings import FOLDS
from app.feedback.rocchio import DCG_PLACES, RocchioWeights, adjusted, ndcg
from app.index.hnsw_search import get_distances
from app.index.paged_scans import IndexReader, plan_scan
from app.vectors import Vectors, unit_rows

LEAST_QUERIES = 20  # with something good held out: of fewer the mean says little
LEAST_JUDGEMENTS = 100
LEAST_GAIN = 0.005  # of nDCG@10, in the mean
SURE_ERRORS = 2.0  # standard errors that the gain must be above
LEAST_AGREEMENT = 0.5  # as chance would: who judges against the model in most cases is not believed
MOST_QUERIES = 2_000  # of one trial: a minute or two for every thousand
WORTHLESS = 5.0  # a rating up to here is worth nothing in a ranking
NIGHT_HOUR = 3  # UTC


@dataclass(frozen=True)
class Verdict:
    """What a trial found.

    `ndcg_without` and `ndcg_with` are mean nDCG@10, 0 to 1, of `queries`, and `standard_error` that
    of the mean difference. `agreement` is the mean share, 0 to 1, of pairs of judged pictures that
    the model had put in the order of their ratings. All four are None where nothing was measured.
    `judgements` is how many there were.
    """

    state: State
    ndcg_without: float | None
    ndcg_with: float | None
    standard_error: float | None
    queries: int
    judgements: int
    held_at: datetime
    agreement: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self) | {"held_at": self.held_at.isoformat()}

    @classmethod
    def known(cls, kept: Mapping[str, Any] | None) -> Self | None:
        """From what was kept; None where nothing was, or by an older version."""
        if kept is None:
            return None
        try:
            state, held_at = known_state(kept["state"]), datetime.fromisoformat(kept["held_at"])
            return cls(**{**kept, "state": state, "held_at": held_at})
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True)
class _Outcome:
    """Of one query; `agreement` is None where all its ratings are the same."""

    plain: float
    learnt: float
    agreement: float | None


@dataclass(frozen=True)
class FeedbackEvaluation:
    """Of one index, in transactions of one query each; `stop` ends a trial without a verdict."""

    sessions: Sessions
    index: VectorIndex
    weights: RocchioWeights
    stop: threading.Event

    def hold(self) -> Verdict:
        """Compare, and keep the verdict. Raises Interrupted."""
        with self.sessions.begin() as session:
            began = rated_queries.now(session)
            amount = rated_queries.amount(session, self.index)
            chosen = rated_queries.judged_queries(session, self.index, MOST_QUERIES)
        outcomes = []
        if amount.queries >= LEAST_QUERIES and amount.judgements >= LEAST_JUDGEMENTS:
            found = [self._outcome(query_id) for query_id in chosen]
            outcomes = [one for one in found if one is not None]
        verdict = _verdict(outcomes, amount.judgements, began)
        with self.sessions.begin() as session:
            rated_queries.keep_trial(session, self.index, verdict.to_json())
        return verdict

    def verdict(self) -> Verdict | None:
        """What the last trial found; None where none was held, or one of an older version."""
        with self.sessions.begin() as session:
            kept = rated_queries.get_trial(session, self.index)
        return Verdict.known(kept)

    def _outcome(self, query_id: int) -> _Outcome | None:
        if self.stop.is_set():
            raise Interrupted("The service stops.")
        with self.sessions.begin() as session:
            query = rated_queries.judged_query(session, self.index, query_id)
            if query is None:  # deleted meanwhile
                return None
            return _Trial(session, self.index, self.weights, query).outcome()


def last_night(now: datetime) -> datetime:
    """When NIGHT_HOUR, UTC, was last; `now` has a time zone."""
    night = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    return night if night <= now else night - timedelta(days=1)


@dataclass(frozen=True)
class _Trial:
    """Of one query."""

    session: Session
    index: VectorIndex
    weights: RocchioWeights
    query: JudgedQuery

    def outcome(self) -> _Outcome | None:
        """The mean of its fifths; None where nothing good is held out in any of them."""
        vector = unit_rows(self.query.embedding[np.newaxis])[0]
        ids = [one.image_id for one in self.query.rated]
        distances = get_distances(self.session, self.index, vector, ids)
        rated = [one for one in self.query.rated if one.image_id in distances]
        parts = [[one for one in rated if one.fold == fold] for fold in range(FOLDS)]
        telling = [fold for fold, part in enumerate(parts) if any(map(_gain, part))]
        if not telling:
            return None
        limit = DCG_PLACES + len(rated)  # so many are left when the known ones are taken out
        plain = self._ranked(vector, limit)
        pairs = []
        for fold in telling:
            known = {one.image_id for one in rated} - {one.image_id for one in parts[fold]}
            aim = self._moved(vector, fold)
            learnt = plain if aim is vector else self._ranked(aim, limit)
            pairs.append([_score(order, parts[fold], known) for order in (plain, learnt)])
        without, with_them = np.mean(pairs, axis=0)
        return _Outcome(float(without), float(with_them), _agreement(rated, distances))

    def _moved(self, vector: Vectors, fold: int) -> Vectors:
        """By all near queries, without the fold's judgements."""
        near = rated_queries.judged_near(
            self.session, self.index, vector, self.weights.similarity, without_fold=fold
        )
        return adjusted(vector, near, self.weights)[0]

    def _ranked(self, vector: Vectors, limit: int) -> list[int]:
        """The first pictures, as a search finds them."""
        scan = plan_scan(self.session, self.index, None, limit)
        near, _ = IndexReader(self.session, self.index, vector, None).window(scan, 0, limit)
        return [image_id for image_id, _ in near]


def _gain(one: RatedImage) -> float:
    return max(0.0, one.rating - WORTHLESS)


def _score(order: Sequence[int], held: Sequence[RatedImage], known: set[int]) -> float:
    """nDCG@10 of what is left of an order, by the pictures that are held out."""
    gains = {one.image_id: _gain(one) for one in held}
    left = [image_id for image_id in order if image_id not in known]
    return ndcg([gains.get(image_id, 0.0) for image_id in left], list(gains.values()))


def _agreement(rated: Sequence[RatedImage], distances: Mapping[int, float]) -> float | None:
    """The share of pairs of unequal ratings whose better one is nearer to the query."""
    ratings = np.array([one.rating for one in rated])
    far = np.array([distances[one.image_id] for one in rated])
    better = ratings[:, np.newaxis] > ratings
    if not better.any():
        return None
    return float((far[:, np.newaxis] < far)[better].mean())


def _verdict(outcomes: Sequence[_Outcome], judgements: int, began: datetime) -> Verdict:
    """Of the mean over queries: the fifths of one query are not independent of each other."""
    if len(outcomes) < LEAST_QUERIES:
        return Verdict("not enough", None, None, None, len(outcomes), judgements, began)
    plain = np.array([one.plain for one in outcomes])
    learnt = np.array([one.learnt for one in outcomes])
    gains = learnt - plain
    error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
    agreement = float(
        np.mean([one.agreement for one in outcomes if one.agreement is not None] or 0)
    )
    gain = float(gains.mean())
    proven = gain >= LEAST_GAIN and gain > SURE_ERRORS * error and agreement > LEAST_AGREEMENT
    return Verdict(
        "on" if proven else "off",
        float(plain.mean()),
        float(learnt.mean()),
        error,
        len(outcomes),
        judgements,
        began,
        agreement,
    )
