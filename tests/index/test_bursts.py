"""Bursts of similar pictures hide nothing that was stored before them (issue 21, line 1)."""

from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy.orm import Session

from app.database import connections
from app.database.query_plans import explain
from app.database.tables import VectorIndex
from app.index.hnsw_search import find_nearest, nearest_query
from app.index.paged_scans import IndexReader
from app.index.scan_plans import plan_scan
from app.vectors import Vectors
from tests.fixtures.generated_vectors import burst_vectors, generated_index

DIMENSIONS = 512
BEFORE = 200  # unlike pictures that were stored before the burst
BURST = 3_000  # pictures of one scene


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return burst_vectors(BEFORE, BURST, DIMENSIONS)


@pytest.fixture(scope="module")
def burst(
    database_url: str, vectors: Vectors
) -> Iterator[tuple[connections.Sessions, VectorIndex]]:
    """An index with unlike pictures and then a burst, in this order, and its graph."""
    with generated_index(database_url, vectors) as opened:
        yield opened


def lost(session: Session, index: VectorIndex, vectors: Vectors) -> list[int]:
    """The ids of those stored before the burst whose own vector does not find them."""
    found = [[hit.image.id for hit in find_nearest(session, index, one, 10)] for one in vectors]
    return [place for place, ids in enumerate(found, 1) if place not in ids]


def test_a_burst_hides_nothing_in_a_small_index(
    burst: tuple[connections.Sessions, VectorIndex], vectors: Vectors
) -> None:
    sessions, index = burst
    with sessions.begin() as session:
        assert lost(session, index, vectors[:BEFORE]) == []
        for vector in vectors[:20]:
            scan = plan_scan(session, index, None, 10)
            assert scan.method == "exact"
            near, _ = IndexReader(session, index, vector, None).window(scan, 0, 10)
            distances = [distance for _, distance in near]
            assert near[0][0] == 1 + int(np.argmax(vectors @ vector))
            assert distances == sorted(distances)


@pytest.mark.usefixtures("search_by_graph")
def test_above_the_exact_bound_the_plan_is_an_hnsw_index_scan(
    burst: tuple[connections.Sessions, VectorIndex], vectors: Vectors
) -> None:
    sessions, index = burst
    with sessions.begin() as session:
        assert plan_scan(session, index, None, 10).method == "hnsw"
        find_nearest(session, index, vectors[0], 10)  # leaves its settings for the transaction
        plan = "\n".join(session.execute(explain(nearest_query(index, vectors[0], 10))).scalars())
    assert f"Index Scan using {index.partition}_hnsw_idx" in plan
    assert "Sort" not in plan
