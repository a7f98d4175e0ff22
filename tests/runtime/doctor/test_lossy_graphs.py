"""The doctor finds graphs that lose pictures, and rebuilds them (issue 21, line 3)."""

import pytest
from sqlalchemy import text

from app.database.tables import VectorIndex
from app.index import graph_health, graph_rebuild, vector_indexes
from app.index.graph_health import GraphHealth
from app.runtime.doctor.findings import Finding
from app.runtime.services import Services
from tests.fixtures.generated_vectors import burst_vectors, copy_vectors, insert_images

pytestmark = pytest.mark.usefixtures("search_by_graph")

BEFORE, BURST = 150, 1_850
OPEN_JOB = """
INSERT INTO jobs (collection_id, source, mode, dry_run, queue)
VALUES (:collection, '{}', 'add', false, 'none')
"""


def look(services: Services) -> tuple[Finding, list[str]]:
    report = services.doctor.examine()
    (found,) = (one for one in report.findings if one.name == "graphs that lose pictures")
    return found, [note for note in report.notes if "embeddings_" in note]


@pytest.fixture(scope="module")
def pictures(services: Services) -> None:
    """Rows without files."""
    with services.sessions.begin() as session:
        collection_id = services.search.index.collection_id
        insert_images(session, collection_id, ["{}"] * (BEFORE + BURST))


@pytest.fixture
def index(services: Services, pictures: None) -> VectorIndex:
    """A burst came after other pictures, and the graph was never rebuilt."""
    index = services.search.index
    in_order_of_arrival(services, index)
    return index


def in_order_of_arrival(services: Services, index: VectorIndex) -> None:
    with services.sessions.begin() as session:
        session.execute(text(f"DROP INDEX IF EXISTS {vector_indexes.hnsw_name(index)}"))
        session.execute(text(f"TRUNCATE {index.partition}"))  # rows just deleted get links too
        session.execute(text("UPDATE vector_indexes SET graph_vectors = NULL"))
        copy_vectors(session, index, burst_vectors(BEFORE, BURST, index.dimensions))
        vector_indexes.build_hnsw(session, index)


def is_rebuilt(services: Services, index: VectorIndex) -> bool:
    with services.sessions.begin() as session:
        return graph_rebuild.vectors_at_rebuild(session, index) is not None


def test_a_graph_that_a_burst_was_added_to_is_rebuilt(
    services: Services, index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = look(services)
    (line,) = found.found
    assert line.startswith(f"{index.partition}: ")
    assert "of 200 unusual pictures are not found by their own vectors" in line
    monkeypatch.setattr(vector_indexes, "MOST_EXACT_ROWS", BEFORE + BURST)
    assert found.mend() == 1
    with services.sessions.begin() as session:
        assert vector_indexes.get_graph_recall(session, index) is not None  # measured at once
    monkeypatch.setattr(vector_indexes, "MOST_EXACT_ROWS", -1)
    found, notes = look(services)
    assert (list(found.found), notes) == ([], [])
    monkeypatch.setattr(vector_indexes, "EXACT_ROWS", 10_000)  # nothing is lost without a graph
    assert graph_health.examine(services.sessions, index) is None


def test_the_worker_rebuilds_what_uploads_have_spoiled(
    services: Services, index: VectorIndex
) -> None:
    """Issue 21, line 4: graphs were looked at after jobs alone."""
    services.worker.upkeep.maintain_graphs()
    assert is_rebuilt(services, index)
    in_order_of_arrival(services, index)
    services.worker.upkeep.maintain_graphs()
    assert not is_rebuilt(services, index)  # as many vectors as at the last check
    with services.sessions.begin() as session:
        session.execute(text("DELETE FROM embeddings WHERE image_id = :id"), {"id": BEFORE + 1})
        session.execute(text(OPEN_JOB), {"collection": index.collection_id})
    services.worker.upkeep.maintain_graphs()
    assert not is_rebuilt(services, index)  # the job's end looks at it
    with services.sessions.begin() as session:
        session.execute(text("DELETE FROM jobs"))
    services.worker.upkeep.maintain_graphs()
    assert is_rebuilt(services, index)


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
