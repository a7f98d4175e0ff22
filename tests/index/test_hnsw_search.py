"""The hot query: its plan, its recall, its settings."""

from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import text

from app.catalog.images import image_deletion
from app.database import connections
from app.database.query_plans import explain
from app.database.tables import VectorIndex
from app.index import vector_indexes
from app.index.hnsw_search import find_nearest, find_nearest_distance, nearest_query
from app.vectors import Vectors
from tests.fixtures.generated_vectors import clip_like, copy_vectors, generated_index

pytestmark = pytest.mark.usefixtures("search_by_graph")

COUNT = 8_000
DIMENSIONS = 512
QUERIES = 50
BITS = 3_000  # vectors


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return clip_like(COUNT, DIMENSIONS, seed=1)


@pytest.fixture(scope="module")
def queries() -> Vectors:
    return clip_like(QUERIES, DIMENSIONS, seed=2)


@pytest.fixture(scope="module")
def loaded(
    database_url: str, vectors: Vectors
) -> Iterator[tuple[connections.Sessions, VectorIndex]]:
    """An index with `vectors`, its HNSW graph built after the load; ids start at 1."""
    with generated_index(database_url, vectors) as opened:
        yield opened


def exact_ids(vectors: Vectors, query: Vectors, limit: int) -> list[int]:
    ids: list[int] = (np.argsort(-(vectors @ query))[:limit] + 1).tolist()
    return ids


def test_the_plan_is_an_hnsw_index_scan(
    loaded: tuple[connections.Sessions, VectorIndex], queries: Vectors
) -> None:
    sessions, index = loaded
    query = nearest_query(index, queries[0], 10)
    with sessions.begin() as session:
        lines = session.execute(explain(query)).scalars()
        plan = "\n".join(lines)
    assert f"Index Scan using {index.partition}_hnsw_idx" in plan
    assert "Sort" not in plan


def test_recall_at_the_default_settings(
    loaded: tuple[connections.Sessions, VectorIndex], vectors: Vectors, queries: Vectors
) -> None:
    sessions, index = loaded
    found = 0
    for query in queries:
        with sessions.begin() as session:
            ids = [hit.image.id for hit in find_nearest(session, index, query, 10)]
        found += len(set(ids) & set(exact_ids(vectors, query, 10)))
    recall = found / (10 * QUERIES)
    assert recall >= 0.97


@pytest.mark.parametrize("limit", [1, 10, 100])
def test_the_answer_is_full_sorted_and_exact_in_its_distances(
    loaded: tuple[connections.Sessions, VectorIndex], vectors: Vectors, queries: Vectors, limit: int
) -> None:
    sessions, index = loaded
    with sessions.begin() as session:
        hits = find_nearest(session, index, queries[0], limit)
    distances = [hit.distance for hit in hits]
    assert len(hits) == len({hit.image.id for hit in hits}) == limit
    assert distances == sorted(distances)
    expected = [1 - float(vectors[hit.image.id - 1] @ queries[0]) for hit in hits]
    assert distances == pytest.approx(expected, abs=2e-3)


def test_settings_end_with_the_transaction(
    loaded: tuple[connections.Sessions, VectorIndex], queries: Vectors
) -> None:
    sessions, index = loaded
    with sessions() as session:
        with session.begin():
            find_nearest(session, index, queries[0], 100)
            inside = session.execute(text("SHOW hnsw.ef_search")).scalar_one()
        after = session.execute(text("SHOW hnsw.ef_search")).scalar_one()
        timeout = session.execute(text("SHOW statement_timeout")).scalar_one()
    assert (inside, after, timeout) == ("400", "40", "0")


def test_a_full_answer_despite_deleted_neighbours(
    loaded: tuple[connections.Sessions, VectorIndex], vectors: Vectors, queries: Vectors
) -> None:
    sessions, index = loaded
    query = queries[1]
    nearest = exact_ids(vectors, query, 400)
    with sessions() as session:
        image_deletion.remove(session, nearest)
        hits = find_nearest(session, index, query, 100)
        session.rollback()
    assert len(hits) == 100
    assert not {hit.image.id for hit in hits} & set(nearest)


def test_a_graph_of_bits_is_put_in_order_by_vectors(
    loaded: tuple[connections.Sessions, VectorIndex], vectors: Vectors, queries: Vectors
) -> None:
    sessions, index = loaded
    with sessions() as session:
        vector_indexes.drop_index(session, index)
        shape = vector_indexes.Shape("bit")
        bits = vector_indexes.create_index(session, index.collection_id, index.space, shape)
        copy_vectors(session, bits, vectors[:BITS])
        vector_indexes.build_hnsw(session, bits)
        found = 0
        for query in queries:
            best = exact_ids(vectors[:BITS], query, 10)
            hits = find_nearest(session, bits, query, 10)
            assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)
            assert find_nearest_distance(session, bits, query) == hits[0].distance
            found += len({hit.image.id for hit in hits} & set(best))
        session.rollback()
    assert found / (10 * QUERIES) >= 0.97
