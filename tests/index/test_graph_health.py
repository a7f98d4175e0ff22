"""Graphs that lose pictures are found and rebuilt (issue 21, lines 3 and 4)."""

from collections.abc import Iterator

import pytest

from app.database import connections
from app.database.tables import VectorIndex
from app.index import graph_health, graph_rebuild, vector_indexes
from app.index.graph_health import choose_novel, count_unreachable, find_lost, maintain
from app.vectors import Vectors
from tests.fixtures.generated_vectors import burst_vectors, generated_index

pytestmark = pytest.mark.usefixtures("search_by_graph")

DIMENSIONS = 128
BEFORE = 100  # unlike pictures that were stored before the burst
BURST = 1_900  # pictures of one scene


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return burst_vectors(BEFORE, BURST, DIMENSIONS)


@pytest.fixture(scope="module")
def index(
    database_url: str, vectors: Vectors
) -> Iterator[tuple[connections.Sessions, VectorIndex]]:
    """Its graph was built in the order in which the pictures came."""
    with generated_index(database_url, vectors) as opened:
        yield opened


def test_a_sample_by_novelty_holds_what_is_not_of_the_burst(vectors: Vectors) -> None:
    pool = dict(enumerate(vectors, 1))
    chosen = choose_novel(pool, BEFORE)
    assert len(chosen) == BEFORE
    assert sum(image_id <= BEFORE for image_id in chosen) >= 0.95 * BEFORE
    assert choose_novel({}, 5) == {}
    assert len(choose_novel(dict(list(pool.items())[:3]), 5)) == 3


def test_a_graph_that_loses_pictures_is_rebuilt_once(
    index: tuple[connections.Sessions, VectorIndex], vectors: Vectors
) -> None:
    sessions, made = index
    sample = choose_novel(dict(enumerate(vectors, 1)), graph_health.SAMPLE)
    with sessions.begin() as session:
        assert len(find_lost(session, made, sample)) > graph_health.MAX_LOST * len(sample)
        assert graph_rebuild.vectors_at_rebuild(session, made) is None
    assert maintain(sessions, made)
    with sessions.begin() as session:
        assert find_lost(session, made, sample) == []
        assert count_unreachable(session, made) == 0
        assert graph_rebuild.vectors_at_rebuild(session, made) == len(vectors)
    assert not maintain(sessions, made)


def test_a_walk_that_takes_too_long_is_given_up(
    index: tuple[connections.Sessions, VectorIndex],
) -> None:
    sessions, made = index
    with sessions.begin() as session:
        assert count_unreachable(session, made, 0.001) is None
        assert vector_indexes.count_vectors(session, made) > 0  # the transaction goes on


def test_a_small_index_needs_none(
    index: tuple[connections.Sessions, VectorIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_indexes, "EXACT_ROWS", 10_000)
    assert not maintain(*index)
