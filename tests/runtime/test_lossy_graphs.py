"""The doctor finds graphs that lose pictures, and rebuilds them (issue 21, line 3)."""

import numpy as np
import pytest
from sqlalchemy import text

from app.index import graph_health, vector_indexes
from app.index.graph_health import GraphHealth
from app.runtime.findings import Finding
from app.runtime.services import Services
from tests.fixtures.generated_vectors import copy_vectors, insert_images, scene, unlike

pytestmark = pytest.mark.usefixtures("search_by_graph")

BEFORE, BURST = 60, 1_940


def look(services: Services) -> tuple[Finding, list[str]]:
    report = services.doctor.examine()
    (found,) = (one for one in report.findings if one.name == "graphs that lose pictures")
    return found, [note for note in report.notes if "embeddings_" in note]


def test_a_graph_that_a_burst_was_added_to_is_rebuilt(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, rng = services.search.index, np.random.default_rng(1)
    before, burst = (
        unlike(BEFORE, index.dimensions, rng),
        scene(BURST, 0.9, index.dimensions, rng),
    )
    with services.sessions.begin() as session:
        session.execute(text(f"DROP INDEX IF EXISTS {vector_indexes.hnsw_name(index)}"))
        insert_images(session, index.collection_id, ["{}"] * (BEFORE + BURST))
        copy_vectors(session, index, np.vstack([before, burst]))
        vector_indexes.build_hnsw(session, index)
    found, _ = look(services)
    (line,) = found.found
    assert line.startswith(f"{index.partition}: ")
    assert "of 200 unusual pictures are not found by their own vectors" in line
    assert found.mend() == 1
    found, notes = look(services)
    assert (list(found.found), notes) == ([], [])
    monkeypatch.setattr(vector_indexes, "EXACT_ROWS", 10_000)  # nothing is lost without a graph
    assert graph_health.examine(services.sessions, index) is None


@pytest.mark.parametrize(
    ("health", "is_ill"),
    [
        (GraphHealth(200, 4, 0, is_due=True), False),
        (GraphHealth(200, 5, 0, is_due=False), True),
        (GraphHealth(200, 0, 1, is_due=True), True),
        (GraphHealth(200, 0, 1, is_due=False), False),  # what a rebuild leaves
        (GraphHealth(200, 0, None, is_due=True), False),
    ],
)
def test_what_a_rebuild_would_mend(health: GraphHealth, is_ill: bool) -> None:
    assert health.is_ill == is_ill
