"""How judgements move a query, and the measure of a ranking."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.feedback.rocchio import NEUTRAL, NearbyJudgement, Pull, RocchioWeights, adjust_query, ndcg
from app.vectors import Vectors, unit_rows

DIMENSIONS = 8
WEIGHTS = RocchioWeights(liked=0.5, disliked=0.25, cap=0.5, similarity=0.85, half_life_days=180)
EXACT = 1e-6


def vector(seed: int) -> Vectors:
    rows = np.random.default_rng(seed).standard_normal((1, DIMENSIONS)).astype(np.float32)
    return unit_rows(rows).reshape(-1)


QUERY = vector(0)


def judged(seed: int = 1, **changed: Any) -> NearbyJudgement:
    liked = NearbyJudgement(
        seed, "a tree", 1.0, rating=9.0, votes=3, age_days=0.0, vector=vector(seed)
    )
    return replace(liked, **changed)


many = st.lists(
    st.builds(
        NearbyJudgement,
        image_id=st.integers(1, 50),
        query=st.just("a tree"),
        similarity=st.floats(-1, 1),
        rating=st.floats(1, 10),
        votes=st.integers(1, 1_000),
        age_days=st.floats(0, 3_650),
        vector=st.integers(1, 50).map(vector),
    ),
    max_size=30,
)
weights = st.builds(
    RocchioWeights,
    liked=st.floats(0, 1),
    disliked=st.floats(0, 1),
    cap=st.floats(0, 0.99),
    similarity=st.floats(0.01, 0.99),
    half_life_days=st.floats(0.1, 1_000),
)


def added(pulls: list[Pull]) -> Vectors:
    total = np.zeros(DIMENSIONS)
    for pull in pulls:
        total += pull.weight * pull.vector
    return total.astype(np.float32)


@given(many, weights)
def test_a_moved_query_is_the_sum_of_its_pulls_and_no_longer_than_the_cap(
    some: list[NearbyJudgement], weights: RocchioWeights
) -> None:
    found, pulls = adjust_query(QUERY, some, weights)
    move = added(pulls)
    assert np.linalg.norm(move) <= weights.cap + EXACT
    if pulls:
        expected = (QUERY + move) / np.linalg.norm(QUERY + move)
        assert found == pytest.approx(expected, abs=1e-5)
        assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
    else:
        assert found is QUERY


@given(many, weights)
def test_no_picture_pulls_more_than_its_side_may(
    some: list[NearbyJudgement], weights: RocchioWeights
) -> None:
    _, pulls = adjust_query(QUERY, some, weights)
    assert sum(pull.weight for pull in pulls if pull.weight > 0) <= weights.liked + EXACT
    assert sum(-pull.weight for pull in pulls if pull.weight < 0) <= weights.disliked + EXACT
    assert all(pull.weight * (pull.rating - NEUTRAL) >= 0 for pull in pulls)


@given(st.integers(1, 1_000), st.floats(6, 10), st.integers(1, 20))
def test_a_liked_picture_rises_and_a_disliked_one_falls(
    seed: int, rating: float, votes: int
) -> None:
    before = float(QUERY @ vector(seed))
    liked, _ = adjust_query(QUERY, [judged(seed, rating=rating, votes=votes)], WEIGHTS)
    worst, _ = adjust_query(QUERY, [judged(seed, rating=11 - rating, votes=votes)], WEIGHTS)
    assert float(liked @ vector(seed)) > before
    assert float(worst @ vector(seed)) < before


@pytest.mark.parametrize(
    "changed",
    [{"similarity": WEIGHTS.similarity}, {"similarity": 0.2}, {"rating": NEUTRAL}],
    ids=["at the bound", "of another query", "neutral"],
)
def test_what_says_nothing_leaves_the_very_same_array(changed: dict[str, Any]) -> None:
    assert adjust_query(QUERY, [judged(**changed)], WEIGHTS) == (QUERY, [])
    assert adjust_query(QUERY, [judged(**changed)], WEIGHTS)[0] is QUERY
    assert adjust_query(QUERY, [], WEIGHTS)[0] is QUERY


def test_a_cap_of_nothing_switches_it_off() -> None:
    found, pulls = adjust_query(QUERY, [judged()], replace(WEIGHTS, cap=0.0))
    assert found is QUERY
    assert pulls == []


def share(of: NearbyJudgement, *others: NearbyJudgement) -> float:
    """How much of the pull on its side is one picture's."""
    _, pulls = adjust_query(QUERY, [of, *others], WEIGHTS)
    mine = next(pull.weight for pull in pulls if pull.image_id == of.image_id)
    return mine / sum(pull.weight for pull in pulls if pull.weight * mine > 0)


def test_a_judgement_weighs_half_after_its_half_life() -> None:
    old = judged(1, age_days=WEIGHTS.half_life_days)
    assert share(old, judged(2)) == pytest.approx(1 / 3)


def test_a_judgement_of_a_query_half_way_to_the_bound_weighs_half() -> None:
    far = judged(1, similarity=(1 + WEIGHTS.similarity) / 2)
    assert share(far, judged(2)) == pytest.approx(1 / 3)


def test_one_vote_weighs_less_than_many_that_say_the_same() -> None:
    one, many = judged(1, votes=1), judged(2, votes=10)
    assert share(one, many) < 0.5 * share(many, one)


def test_one_hostile_vote_changes_little_where_many_were_honest() -> None:
    honest = judged(1, rating=9.0, votes=10)
    hit = judged(1, rating=(9.0 * 10 + 1) / 11, votes=11)
    before, after = (adjust_query(QUERY, [one], WEIGHTS)[0] for one in (honest, hit))
    assert float(before @ after) > 0.999
    lone = judged(3, rating=10.0, votes=1)
    assert share(lone, *(judged(n, votes=5) for n in (4, 5, 6, 7, 8))) < 0.15


def test_few_judgements_move_a_query_less_than_many() -> None:
    one = adjust_query(QUERY, [judged(1, votes=1)], WEIGHTS)[1]
    many = adjust_query(QUERY, [judged(1, votes=50)], WEIGHTS)[1]
    assert 0 < one[0].weight < many[0].weight <= WEIGHTS.liked


def test_ndcg_by_hand() -> None:
    assert ndcg([3, 0, 1], [1, 3]) == pytest.approx((3 + 1 / 2) / (3 + 1 / np.log2(3)))
    assert ndcg([3, 1], [1, 3]) == pytest.approx(1)
    assert ndcg([0] * 10 + [5], [5]) == 0
    assert ndcg([], [5]) == 0
    assert ndcg([1, 1], []) == 0
    assert ndcg([1] * 20, [1] * 20, k=5) == pytest.approx(1)


@given(st.lists(st.floats(0, 5), max_size=15), st.randoms())
def test_no_order_is_better_than_the_ideal(gains: list[float], random: object) -> None:
    shuffled = sorted(gains, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert 0 <= ndcg(shuffled, gains) <= 1 + EXACT
