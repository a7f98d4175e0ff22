"""The nightly evaluation that feedback must pass before it adjusts queries.

Five-fold cross-validation: a fifth of the judgements is held out at a time. Each judged query ranks
the collection unadjusted, and adjusted by the other four fifths; the held-out ratings decide which
ranking is better. This is the residual collection method of G. Salton and C. Buckley, "Improving
retrieval performance by relevance feedback", 1990: pictures whose ratings the query has learnt from
are removed from both rankings, so that showing again what was liked gains nothing.
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
from app.feedback.query_adjustment import State, parse_state
from app.feedback.rated_queries import JudgedQuery, RatedImage
from app.feedback.ratings import FOLDS
from app.feedback.rocchio import DCG_PLACES, RocchioWeights, adjust_query, ndcg
from app.index.distances import get_distances
from app.index.paged_scans import IndexReader
from app.index.scan_plans import plan_scan
from app.vectors import Vectors, unit_rows

MIN_QUERIES = 20  # with a relevant picture held out; a mean over fewer says little
MIN_JUDGEMENTS = 100
MIN_GAIN = 0.005  # mean gain in nDCG@10
MIN_STANDARD_ERRORS = 2.0  # by which the gain must exceed 0
MIN_AGREEMENT = 0.5  # as by chance; ratings that mostly contradict the model are not trusted
MAX_QUERIES = 2_000  # per evaluation; 1,000 queries take a minute or two
ZERO_GAIN_RATING = 5.0  # ratings up to this have no gain in nDCG
NIGHT_HOUR = 3  # UTC


@dataclass(frozen=True)
class EvaluationResult:
    """The result of an evaluation.

    `ndcg_without` and `ndcg_with` are the mean nDCG@10, 0 to 1, over `queries` queries, and
    `standard_error` is that of the mean difference. `agreement` is the mean share, 0 to 1, of pairs
    of rated pictures that the model ranks in the order of their ratings. All four are None if
    there was too little feedback. `judgements` counts all judgements.
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
        """As stored in the database."""
        return asdict(self) | {"held_at": self.held_at.isoformat()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Self | None:
        """The inverse of `to_json`; None if nothing, or another version's result, is stored."""
        if stored is None:
            return None
        try:
            state, held_at = parse_state(stored["state"]), datetime.fromisoformat(stored["held_at"])
            return cls(**{**stored, "state": state, "held_at": held_at})
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True)
class _QueryOutcome:
    """nDCG@10 for one query; `agreement` is None if all its ratings are equal."""

    original: float
    adjusted: float
    agreement: float | None


@dataclass(frozen=True)
class FeedbackEvaluation:
    """Evaluates one index, one query per transaction; setting `stop` interrupts an evaluation."""

    sessions: Sessions
    index: VectorIndex
    weights: RocchioWeights
    stop: threading.Event

    def run(self) -> EvaluationResult:
        """Evaluate, and store the result. Raises Interrupted."""
        with self.sessions.begin() as session:
            began = rated_queries.now(session)
            amount = rated_queries.count_feedback(session, self.index)
            chosen = rated_queries.sample_judged_queries(session, self.index, MAX_QUERIES)
        outcomes = []
        if amount.queries >= MIN_QUERIES and amount.judgements >= MIN_JUDGEMENTS:
            found = [self._outcome(query_id) for query_id in chosen]
            outcomes = [one for one in found if one is not None]
        result = _result(outcomes, amount.judgements, began)
        with self.sessions.begin() as session:
            rated_queries.save_evaluation(session, self.index, result.to_json())
        return result

    def _outcome(self, query_id: int) -> _QueryOutcome | None:
        if self.stop.is_set():
            raise Interrupted("The service stops.")
        with self.sessions.begin() as session:
            query = rated_queries.get_judged_query(session, self.index, query_id)
            if query is None:  # deleted in the meantime
                return None
            return _QueryEvaluation(session, self.index, self.weights, query).outcome()


def last_night(now: datetime) -> datetime:
    """The latest NIGHT_HOUR, UTC, not after `now`, which has a time zone."""
    night = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    return night if night <= now else night - timedelta(days=1)


@dataclass(frozen=True)
class _QueryEvaluation:
    """The evaluation of one query."""

    session: Session
    index: VectorIndex
    weights: RocchioWeights
    query: JudgedQuery

    def outcome(self) -> _QueryOutcome | None:
        """The mean over its folds; None if no fold holds out a relevant picture."""
        vector = unit_rows(self.query.embedding[np.newaxis])[0]
        ids = [one.image_id for one in self.query.rated]
        distances = get_distances(self.session, self.index, vector, ids)
        rated = [one for one in self.query.rated if one.image_id in distances]
        folds = [[one for one in rated if one.fold == fold] for fold in range(FOLDS)]
        evaluated = [fold for fold, members in enumerate(folds) if any(map(_gain, members))]
        if not evaluated:
            return None
        limit = DCG_PLACES + len(rated)  # leaves DCG_PLACES after the known pictures are removed
        original_order = self._ranked(vector, limit)
        pairs = []
        for fold in evaluated:
            known = {one.image_id for one in rated} - {one.image_id for one in folds[fold]}
            adjusted = self._adjusted(vector, fold)
            adjusted_order = original_order if adjusted is vector else self._ranked(adjusted, limit)
            pairs.append(
                [_score(order, folds[fold], known) for order in (original_order, adjusted_order)]
            )
        ndcg_without, ndcg_with = np.mean(pairs, axis=0)
        return _QueryOutcome(float(ndcg_without), float(ndcg_with), _agreement(rated, distances))

    def _adjusted(self, vector: Vectors, fold: int) -> Vectors:
        """Adjusted by all nearby queries, without the judgements of `fold`."""
        near = rated_queries.judgements_near(
            self.session, self.index, vector, self.weights.similarity, without_fold=fold
        )
        return adjust_query(vector, near, self.weights)[0]

    def _ranked(self, vector: Vectors, limit: int) -> list[int]:
        """The first `limit` pictures, as found by a search."""
        scan = plan_scan(self.session, self.index, None, limit)
        near, _ = IndexReader(self.session, self.index, vector, None).window(scan, 0, limit)
        return [image_id for image_id, _ in near]


def _gain(one: RatedImage) -> float:
    return max(0.0, one.rating - ZERO_GAIN_RATING)


def _score(order: Sequence[int], held_out: Sequence[RatedImage], known: set[int]) -> float:
    """nDCG@10 of the residual ranking by the held-out ratings."""
    gains = {one.image_id: _gain(one) for one in held_out}
    residual = [image_id for image_id in order if image_id not in known]
    return ndcg([gains.get(image_id, 0.0) for image_id in residual], list(gains.values()))


def _agreement(rated: Sequence[RatedImage], distances: Mapping[int, float]) -> float | None:
    """The share of pairs with unequal ratings whose better picture is nearer to the query."""
    ratings = np.array([one.rating for one in rated])
    distance = np.array([distances[one.image_id] for one in rated])
    better = ratings[:, np.newaxis] > ratings
    if not better.any():
        return None
    return float((distance[:, np.newaxis] < distance)[better].mean())


def _result(
    outcomes: Sequence[_QueryOutcome], judgements: int, began: datetime
) -> EvaluationResult:
    """Statistics over queries, since the folds of one query are not independent."""
    if len(outcomes) < MIN_QUERIES:
        return EvaluationResult(
            "not_enough_data", None, None, None, len(outcomes), judgements, began
        )
    original = np.array([one.original for one in outcomes])
    adjusted = np.array([one.adjusted for one in outcomes])
    gains = adjusted - original
    error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
    agreement = float(
        np.mean([one.agreement for one in outcomes if one.agreement is not None] or 0)
    )
    gain = float(gains.mean())
    improves = gain >= MIN_GAIN and gain > MIN_STANDARD_ERRORS * error and agreement > MIN_AGREEMENT
    return EvaluationResult(
        "on" if improves else "off",
        float(original.mean()),
        float(adjusted.mean()),
        error,
        len(outcomes),
        judgements,
        began,
        agreement,
    )
