"""Where a graph answers badly, searches compare all vectors (issue 21, "a bar of its own")."""

import numpy as np
import pytest
from sqlalchemy import text

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.index import generations, graph_health, graph_rebuild, vector_indexes
from app.index.hnsw_search import find_nearest
from app.index.search_method import is_searched_exactly
from app.index.vector_indexes import get_graph_recall, keep_graph_recall
from app.vectors import Vectors, VectorSpace
from tests.fixtures.folder_jobs import statements
from tests.fixtures.generated_vectors import copy_vectors, scene, unlike
from tests.index.conftest import BEFORE, DIMENSIONS

pytestmark = pytest.mark.usefixtures("search_by_graph")


def test_a_poor_graph_is_not_used_while_the_index_is_small_enough(
    burst_index: tuple[Sessions, VectorIndex],
    burst: Vectors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions, made = burst_index
    sample = {place + 1: burst[place] for place in range(0, BEFORE, 4)}
    monkeypatch.setattr(vector_indexes, "MOST_EXACT_ROWS", len(burst))
    monkeypatch.setattr(vector_indexes, "MIN_GRAPH_RECALL", 1.0)  # levels are random: it varies
    graph_health.measure(sessions, made, sample)
    with sessions.begin() as session:
        recall = get_graph_recall(session, made)
        assert recall is not None
        assert recall < vector_indexes.MIN_GRAPH_RECALL
        assert is_searched_exactly(session, made)
        for vector in sample.values():
            found = [hit.distance for hit in find_nearest(session, made, vector, 10)]
            nearest = 1 - np.sort(burst @ vector)[::-1][:10]
            assert found == pytest.approx(nearest, abs=5e-4)  # halves round
    monkeypatch.setattr(vector_indexes, "MOST_EXACT_ROWS", len(burst) - 1)
    with sessions.begin() as session:
        assert not is_searched_exactly(session, made)
        keep_graph_recall(session, made, None)
    graph_health.measure(sessions, made, sample)
    with sessions.begin() as session:
        assert get_graph_recall(session, made) is None  # too large for anything else


def test_a_good_graph_is_used_and_measured_once(
    burst_index: tuple[Sessions, VectorIndex],
    burst: Vectors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions, made = burst_index
    monkeypatch.setattr(vector_indexes, "MOST_EXACT_ROWS", len(burst))
    monkeypatch.setattr(vector_indexes, "MIN_GRAPH_RECALL", 0.0)
    graph_rebuild.rebuild(sessions, made)
    with sessions.begin() as session:
        assert get_graph_recall(session, made) is None
    assert not graph_health.maintain(sessions, made)  # as large as at the last rebuild
    with sessions.begin() as session:
        assert get_graph_recall(session, made) is not None
        assert not is_searched_exactly(session, made)
        keep_graph_recall(session, made, 0.5)
    assert not graph_health.maintain(sessions, made)
    with sessions.begin() as session:
        assert get_graph_recall(session, made) == 0.5


def test_a_graph_that_nothing_can_replace_is_not_sampled_again(
    burst_index: tuple[Sessions, VectorIndex], burst: Vectors
) -> None:
    """A large index has no recall of its graph: it would be looked for at each check."""
    sessions, made = burst_index
    graph_rebuild.rebuild(sessions, made)
    with statements(sessions) as asked:
        assert not graph_health.maintain(sessions, made)
    assert asked
    assert [one for one in asked if "halfvec_send" in one] == []  # no vector was read


def test_among_near_duplicates_any_of_the_nearest_counts(
    burst_index: tuple[Sessions, VectorIndex],
) -> None:
    """Which ten of them are the exact answer is chance: they differ by rounding."""
    sessions, made = burst_index
    rows = scene(200, 0.999999, DIMENSIONS, np.random.default_rng(3))
    with sessions.begin() as session:
        session.execute(text(f"TRUNCATE {made.partition}"))
        copy_vectors(session, made, rows)
        recalls = graph_health.graph_recalls(session, made, dict(enumerate(rows[:20], 1)))
        assert recalls.tolist() == [1.0] * 20
        assert graph_health.graph_recalls(session, made, {}).tolist() == []
        session.rollback()


def test_vectors_above_2_kb_stay_in_their_rows(
    burst_index: tuple[Sessions, VectorIndex],
) -> None:
    """Comparing all takes four times as long if Postgres moves them out of line."""
    sessions, made = burst_index
    options = text("SELECT reloptions FROM pg_class WHERE oid = to_regclass(:partition)")
    moved = text(
        "SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = to_regclass(:partition)"
    )
    graph_rebuild.rebuild(sessions, made)
    with sessions.begin() as session:
        kept = session.execute(options, {"partition": made.partition}).scalar_one()
        assert kept == [vector_indexes.VECTORS_IN_ROWS.replace(" ", "")]
        generations.drop_all(session, made.collection_id)
        space = VectorSpace("generated", "wide", "0" * 64, 1_152)
        wide = vector_indexes.create_index(session, made.collection_id, space)
        copy_vectors(session, wide, unlike(20, 1_152, np.random.default_rng(4)))
        assert session.execute(moved, {"partition": wide.partition}).scalar_one() == 0
        session.rollback()
