"""The metrics and the test of golden queries by values computed by hand (issue 18, line 16)."""

from math import log2

import numpy as np
import pytest

from app.feedback.golden.paired_comparison import (
    Comparison,
    Interval,
    compare,
    interval,
    randomisation_p,
)
from app.feedback.golden.retrieval_metrics import QueryScores, score


def test_a_ranking_by_hand() -> None:
    """Right pictures at ranks 2 and 4, of three."""
    found = score([9, 1, 8, 2], {1, 2, 3}, {8})
    dcg = 1 / log2(3) + 1 / log2(5)  # 0.63093 + 0.43068
    ideal = 1 + 1 / log2(3) + 1 / log2(4)  # 2.13093
    assert found.ndcg_at_10 == pytest.approx(dcg / ideal)
    assert found == QueryScores(found.ndcg_at_10, 0.0, 1.0, 1.0, 0.5, 0.75)
    assert found.ndcg_at_10 == pytest.approx(0.49819, abs=1e-5)


@pytest.mark.parametrize(
    ("hits", "expected"),
    [
        ([7, 1], (1.0, 1, 1, 1, 1.0)),
        ([0, 0, 0, 0, 0, 7], (1 / log2(7), 0, 0, 1, 1 / 6)),
        ([0] * 10 + [7], (0.0, 0, 0, 0, 0.0)),
        ([], (0.0, 0, 0, 0, 0.0)),
    ],
    ids=["first", "sixth", "eleventh", "nothing"],
)
def test_one_right_picture(hits: list[int], expected: tuple[float, ...]) -> None:
    found = score(hits, {7})
    assert (
        found.ndcg_at_10,
        found.recall_at_1,
        found.recall_at_5,
        found.recall_at_10,
        found.mrr,
    ) == pytest.approx(expected)


def test_more_right_pictures_than_places() -> None:
    assert score(list(range(10)), set(range(30))).ndcg_at_10 == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("gains", "p"),
    [
        ([0.0, 0.0], 1.0),
        ([0.5], 1.0),  # both signs are as far from 0
        ([0.1] * 5, 2 / 32),  # all signs alike, of 2^5 assignments
        ([1.0, 1.0, -1.0], 1.0),  # |sum| is 1 or 3 in any assignment
        (
            [3.0, 1.0, 1.0, -1.0],
            8 / 16,
        ),  # |sum| ≥ 4: of 3 ± 1 ± 1 ± 1 at most one down; as often −3
    ],
)
def test_the_exact_randomisation_test(gains: list[float], p: float) -> None:
    assert randomisation_p(np.array(gains)) == pytest.approx(p)


def test_the_drawn_randomisation_test() -> None:
    """Near the exact value, which is the binomial's where all gains are alike; always the same."""
    gains = np.array([0.2] * 15 + [-0.2] * 5)
    exact = 2 * sum((1, 20, 190, 1140, 4845, 15504)) / 2**20  # 0 to 5 of 20, both tails
    assert randomisation_p(gains) == pytest.approx(exact, abs=0.005)
    assert randomisation_p(gains) == randomisation_p(gains)
    assert randomisation_p(np.full(100, 0.2)) == pytest.approx(1 / 20_001)


def test_won_lost_and_tied() -> None:
    baseline, candidate = np.array([0.0, 1.0, 0.5, 0.5]), np.array([1.0, 0.0, 0.5, 0.9])
    told = compare(baseline, candidate)
    assert (told.won, told.lost, told.tied) == (2, 1, 1)
    assert told.gain.mean == pytest.approx(0.1)
    assert (told.p, told.verdict) == (1.0, "undecided")
    assert told.sentence == "Better on 2 of 4 queries, worse on 1, p = 1.000."


def test_the_sentence() -> None:
    told = Comparison(61, 12, 127, Interval(0.1, 0.05, 0.15), 0.0014)
    assert told.sentence == "Better on 61 of 200 queries, worse on 12, p = 0.001."
    assert told.verdict == "better"
    few = Comparison(0, 20, 0, Interval(-0.1, -0.2, -0.05), 0.00005)
    assert (few.verdict, few.sentence.split(", ")[-1]) == ("worse", "p < 0.001.")


def test_intervals() -> None:
    assert interval(np.array([0.25])) == Interval(0.25, 0.25, 0.25)
    coin = interval(np.array([0.0, 1.0] * 50))
    assert coin.mean == 0.5  # ± 1.96 standard errors of 0.05
    assert coin.low == pytest.approx(0.4, abs=0.02)
    assert coin.high == pytest.approx(0.6, abs=0.02)
