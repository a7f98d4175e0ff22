"""Graphs that lose pictures are found and rebuilt (issue 21, lines 3 and 4)."""

import pytest

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.index import graph_health, graph_rebuild, vector_indexes
from app.index.graph_health import choose_novel, count_unreachable, find_lost, maintain
from app.vectors import Vectors
from tests.index.conftest import BEFORE

pytestmark = pytest.mark.usefixtures("search_by_graph")


def test_a_sample_by_novelty_holds_what_is_not_of_the_burst(burst: Vectors) -> None:
    pool = dict(enumerate(burst, 1))
    chosen = choose_novel(pool, BEFORE)
    assert len(chosen) == BEFORE
    assert sum(image_id <= BEFORE for image_id in chosen) >= 0.95 * BEFORE
    assert choose_novel({}, 5) == {}
    assert len(choose_novel(dict(list(pool.items())[:3]), 5)) == 3


def test_a_graph_that_loses_pictures_is_rebuilt_once(
    burst_index: tuple[Sessions, VectorIndex], burst: Vectors
) -> None:
    sessions, made = burst_index
    sample = choose_novel(dict(enumerate(burst, 1)), graph_health.SAMPLE)
    with sessions.begin() as session:
        assert len(find_lost(session, made, sample)) > graph_health.MAX_LOST * len(sample)
        assert graph_rebuild.vectors_at_rebuild(session, made) is None
    assert maintain(sessions, made)
    with sessions.begin() as session:
        assert find_lost(session, made, sample) == []
        assert count_unreachable(session, made) == 0
        assert graph_rebuild.vectors_at_rebuild(session, made) == len(burst)
    assert not maintain(sessions, made)


def test_a_walk_that_takes_too_long_is_given_up(
    burst_index: tuple[Sessions, VectorIndex],
) -> None:
    sessions, made = burst_index
    with sessions.begin() as session:
        assert count_unreachable(session, made, 0.001) is None
        assert vector_indexes.count_vectors(session, made) > 0  # the transaction goes on


def test_a_small_index_needs_none(
    burst_index: tuple[Sessions, VectorIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_indexes, "EXACT_ROWS", 10_000)
    assert not maintain(*burst_index)
