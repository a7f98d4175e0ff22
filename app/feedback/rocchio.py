"""Relevance feedback by Rocchio's method, and nDCG.

J. J. Rocchio, "Relevance feedback in information retrieval", in The SMART Retrieval System, ed.
G. Salton, 1971, pages 313 to 323.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.vectors import Vectors

NEUTRAL = 5.5  # the middle of the scale from 1 to 10
HALF_RANGE = 4.5  # from there to either end of the scale
PRIOR_VOTES = 2  # neutral votes added to every picture, so that one vote alone says little
PRIOR_WEIGHT = 0.3  # pictures added to both means, so that few pictures pull less
DCG_PLACES = 10


@dataclass(frozen=True)
class RocchioWeights:
    """How strongly feedback adjusts a query.

    `liked` and `disliked` are the norms of the two pulls given ample evidence; `cap` bounds the
    norm of their sum, below 1, the norm of the query. Judgements of queries with a cosine to the
    query below `similarity` are ignored; all lose half of their weight every `half_life_days`.
    """

    liked: float
    disliked: float
    cap: float
    similarity: float
    half_life_days: float


@dataclass(frozen=True, eq=False)
class NearbyJudgement:
    """A picture's ratings for one nearby query.

    `similarity` is the cosine of the two queries, `rating` the mean of `votes` ratings, `age_days`
    their mean age, and `vector`, shape (dimensions,), the picture's.
    """

    image_id: int
    query: str
    similarity: float
    rating: float
    votes: int
    age_days: float
    vector: Vectors


@dataclass(frozen=True, eq=False)
class Pull:
    """A contribution to an adjusted query: `weight` times the picture's `vector` was added.

    Negative weights push away. `rating` and `similarity` as in NearbyJudgement.
    """

    image_id: int
    query: str
    rating: float
    similarity: float
    weight: float
    vector: Vectors


def adjust_query(
    query: Vectors, judged: Sequence[NearbyJudgement], weights: RocchioWeights
) -> tuple[Vectors, list[Pull]]:
    """Move the query, shape (dimensions,), towards liked and away from disliked pictures.

    Returns query + Σ weight · vector, normalised, and the pulls. Without pulls, the very same array
    is returned.
    """
    pull_weights = _pull_weights(np.array([_evidence(one, weights) for one in judged]), weights)
    positions = np.flatnonzero(pull_weights).tolist()
    if not positions:
        return query, []
    vectors = np.stack([judged[position].vector for position in positions]).astype(np.float64)
    length = float(np.linalg.norm(pull_weights[positions] @ vectors))
    capped = pull_weights[positions] * (min(1.0, weights.cap / length) if length else 1.0)
    if not capped.any():  # if the cap is 0
        return query, []
    total = query.astype(np.float64) + capped @ vectors
    pulls = [
        _pull(judged[position], float(weight))
        for position, weight in zip(positions, capped, strict=True)
    ]
    return (total / np.linalg.norm(total)).astype(np.float32), pulls


def _evidence(judgement: NearbyJudgement, weights: RocchioWeights) -> float:
    """The evidence of one rated picture, from −1 (bad) to 1 (good).

    The mean rating is shrunk as if PRIOR_VOTES neutral votes had been cast. Its weight decreases
    linearly from 1 for the same query to 0 for one at the similarity bound, and decays with age.
    """
    opinion = (
        (judgement.rating - NEUTRAL)
        / HALF_RANGE
        * judgement.votes
        / (judgement.votes + PRIOR_VOTES)
    )
    width = 1 - weights.similarity
    closeness = (judgement.similarity - weights.similarity) / width if width > 0 else 0.0
    decay = 0.5 ** (max(judgement.age_days, 0.0) / weights.half_life_days)
    return float(opinion * min(max(closeness, 0.0), 1.0) * decay)


def _pull_weights(evidence: NDArray[np.float64], weights: RocchioWeights) -> NDArray[np.float64]:
    """The weight of each picture: its share of its side's mean, times that side's weight."""
    liked, disliked = evidence.clip(min=0), evidence.clip(max=0)
    good = weights.liked * liked / (PRIOR_WEIGHT + liked.sum())
    bad = weights.disliked * disliked / (PRIOR_WEIGHT - disliked.sum())
    pull_weights: NDArray[np.float64] = good + bad
    return pull_weights


def _pull(judgement: NearbyJudgement, weight: float) -> Pull:
    return Pull(
        judgement.image_id,
        judgement.query,
        judgement.rating,
        judgement.similarity,
        weight,
        judgement.vector,
    )


def ndcg(
    gains_in_order: Sequence[float], ideal_gains: Sequence[float], k: int = DCG_PLACES
) -> float:
    """Normalised discounted cumulative gain of the first `k` ranks, 0 to 1.

    `gains_in_order` are those of the ranking, `ideal_gains` those of all items; 0 if none
    has a gain. K. Järvelin and J. Kekäläinen, "Cumulated gain-based evaluation of IR
    techniques", 2002; the discount is 1 / log2(1 + rank), as usual since.
    """
    ideal = _dcg(sorted(ideal_gains, reverse=True)[:k])
    return _dcg(gains_in_order[:k]) / ideal if ideal > 0 else 0.0


def _dcg(gains: Sequence[float]) -> float:
    discounts = np.log2(np.arange(2, len(gains) + 2))
    return float((np.array(gains, np.float64) / discounts).sum())
