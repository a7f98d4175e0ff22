"""Relevance feedback: what people liked and disliked moves a query; and how a ranking is measured.

The move is Rocchio's: "Relevance feedback in information retrieval", in The SMART Retrieval System,
ed. G. Salton, 1971, pages 313 to 323.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.vectors import Vectors

NEUTRAL = 5.5  # the middle of 1 to 10: neither good nor bad
REACH = 4.5  # from there to the best and the worst rating
PRIOR_VOTES = 2  # neutral votes that each picture has from the start: one voice alone says little
PRIOR_WEIGHT = 0.3  # of pictures, in each of the two means: few of them move a query less
DCG_PLACES = 10


@dataclass(frozen=True)
class RocchioWeights:
    """How much judgements may do.

    `liked` and `disliked` are the lengths of the two pulls where there is much evidence, `cap` the
    most of both together, below 1: the query itself has length 1. Judgements of queries whose
    cosine `similarity` to the query is below that say nothing; all count half after
    `half_life_days`.
    """

    liked: float
    disliked: float
    cap: float
    similarity: float
    half_life_days: float


@dataclass(frozen=True, eq=False)
class NearbyJudgement:
    """One picture as it was judged under one near query.

    `similarity` is the cosine of the two queries, `rating` the mean of the `votes`, `age_days`
    theirs, `vector`, shape (dimensions,), the picture's.
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
    """What moved a query: `weight` times the picture's `vector` was added to it.

    Negative weights push away. `rating` and `similarity` as in Judged.
    """

    image_id: int
    query: str
    rating: float
    similarity: float
    weight: float
    vector: Vectors


def adjusted(
    query: Vectors, judged: Sequence[NearbyJudgement], weights: RocchioWeights
) -> tuple[Vectors, list[Pull]]:
    """The query, shape (dimensions,), towards what was liked and away from what was disliked.

    It is (query + sum of each pull's weight * vector), scaled to length 1. Where nothing pulls, it
    is the very same array.
    """
    shares = _shares(np.array([_telling(one, weights) for one in judged]), weights)
    places = np.flatnonzero(shares).tolist()
    if not places:
        return query, []
    vectors = np.stack([judged[place].vector for place in places]).astype(np.float64)
    length = float(np.linalg.norm(shares[places] @ vectors))
    kept = shares[places] * (min(1.0, weights.cap / length) if length else 1.0)
    if not kept.any():  # the cap is 0
        return query, []
    aim = query.astype(np.float64) + kept @ vectors
    pulls = [
        _pull(judged[place], float(weight)) for place, weight in zip(places, kept, strict=True)
    ]
    return (aim / np.linalg.norm(aim)).astype(np.float32), pulls


def _telling(one: NearbyJudgement, weights: RocchioWeights) -> float:
    """What a judged picture says, from −1, bad, to 1, good.

    The mean rating is drawn to neutral as if PRIOR_VOTES more had said so. It counts the less, the
    farther its query and the older it is: fully for the same query today, not at all for one at
    the bound.
    """
    opinion = (one.rating - NEUTRAL) / REACH * one.votes / (one.votes + PRIOR_VOTES)
    room = 1 - weights.similarity
    near = (one.similarity - weights.similarity) / room if room > 0 else 0.0
    fresh = 0.5 ** (max(one.age_days, 0.0) / weights.half_life_days)
    return float(opinion * min(max(near, 0.0), 1.0) * fresh)


def _shares(telling: NDArray[np.float64], weights: RocchioWeights) -> NDArray[np.float64]:
    """By picture: its share of the mean of its side, times that side's weight."""
    liked, disliked = telling.clip(min=0), telling.clip(max=0)
    good = weights.liked * liked / (PRIOR_WEIGHT + liked.sum())
    bad = weights.disliked * disliked / (PRIOR_WEIGHT - disliked.sum())
    shares: NDArray[np.float64] = good + bad
    return shares


def _pull(one: NearbyJudgement, weight: float) -> Pull:
    return Pull(one.image_id, one.query, one.rating, one.similarity, weight, one.vector)


def ndcg(
    gains_in_order: Sequence[float], ideal_gains: Sequence[float], k: int = DCG_PLACES
) -> float:
    """Normalised discounted cumulative gain of the first `k` places, 0 to 1.

    `gains_in_order` are those of the ranking, `ideal_gains` all that there were to gain; 0 where
    there was nothing. K. Järvelin and J. Kekäläinen, "Cumulated gain-based evaluation of IR
    techniques", 2002; the discount is 1 / log2(1 + place), as usual since.
    """
    ideal = _dcg(sorted(ideal_gains, reverse=True)[:k])
    return _dcg(gains_in_order[:k]) / ideal if ideal > 0 else 0.0


def _dcg(gains: Sequence[float]) -> float:
    discounts = np.log2(np.arange(2, len(gains) + 2))
    return float((np.array(gains, np.float64) / discounts).sum())
