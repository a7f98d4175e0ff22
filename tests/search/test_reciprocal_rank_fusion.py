"""Reciprocal rank fusion: known values, and a beginning that longer rankings leave as it is."""

import random

import pytest

from app.search.reciprocal_rank_fusion import Fused, Fusion

WHOLE = 1_000  # a block that all of a ranking fits into


def ids(fused: list[Fused]) -> list[int]:
    return [one.id for one in fused]


def test_the_values_are_those_of_the_paper() -> None:
    """1 / (60 + rank), summed over both rankings, each of half the weight."""
    fused = Fusion().fuse([1, 2, 3], [3, 1, 4], WHOLE)
    assert [(one.id, one.first_rank, one.second_rank) for one in fused] == [
        (1, 1, 2),
        (3, 3, 1),
        (2, 2, None),
        (4, None, 3),
    ]
    expected = [0.5 / 61 + 0.5 / 62, 0.5 / 63 + 0.5 / 61, 0.5 / 62, 0.5 / 63]
    assert [one.score for one in fused] == pytest.approx(expected)


def test_a_weight_and_a_k_are_kept_to() -> None:
    (one,) = Fusion(alpha=0.25, k=1).fuse([7], [7], WHOLE)
    assert one == Fused(7, 0.25 / 2 + 0.75 / 2, 1, 1)
    assert Fusion(0.25, 1).score(3, None) == 0.25 / 4
    assert Fusion(0.25, 1).score(None, 3) == 0.75 / 4
    assert Fusion().score(None, None) == 0


def test_equal_scores_come_by_id() -> None:
    assert ids(Fusion().fuse([9, 5], [5, 9], WHOLE)) == [5, 9]
    assert ids(Fusion().fuse([9], [5], WHOLE)) == [5, 9]


@pytest.mark.parametrize("block", [1, 2, 5, WHOLE])
def test_a_ranking_of_all_the_weight_is_alone(block: int) -> None:
    first, second = [4, 2, 9, 1], [7, 2, 8, 4, 3]
    assert ids(Fusion(1).fuse(first, second, block)) == first
    assert ids(Fusion(0).fuse(first, second, block)) == second


def test_nothing_fused_is_nothing() -> None:
    assert Fusion().fuse([], [], 10) == []
    assert ids(Fusion().fuse([], [3, 1], 1)) == [3, 1]


@pytest.mark.parametrize("block", [1, 3, 50])
def test_longer_rankings_leave_the_beginning_as_it_is(block: int) -> None:
    chance = random.Random(block)
    for _ in range(20):
        first, second = (chance.sample(range(200), 150) for _ in range(2))
        whole = Fusion(0.3).fuse(first, second, block)
        assert sorted(ids(whole)) == sorted({*first, *second})
        for blocks in range(1, 150 // block):
            stop = blocks * block
            some = Fusion(0.3).fuse(first[:stop], second[:stop], block)
            assert whole[: len(some)] == some


def test_nothing_later_exceeds_the_bound() -> None:
    chance = random.Random(1)
    fusion, block = Fusion(0.7, 10), 20
    first, second = (chance.sample(range(300), 200) for _ in range(2))
    for stop in range(block, 200, block):
        begun = set(ids(fusion.fuse(first[:stop], second[:stop], block)))
        later = [one for one in fusion.fuse(first, second, block) if one.id not in begun]
        assert all(one.score <= fusion.score(stop + 1, stop + 1) for one in later)
