"""Recall and tuning over HTTP."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.catalog.images import image_rows
from app.catalog.images.new_images import NewImage
from app.index import vector_indexes
from app.runtime.services import Services
from tests.fixtures.drawn_pictures import png
from tests.fixtures.generated_vectors import clip_like

pytestmark = pytest.mark.usefixtures("search_by_graph")

COUNT = 1_200
RECALL = "/api/v1/collections/default/recall"
TUNE = "/api/v1/collections/default/tune"


@pytest.fixture(scope="module")
def picture(client: TestClient) -> int:
    """One that was uploaded before all others."""
    sent = client.post("/upload", files={"file": ("noise.png", png(1))}).json()
    found: int = sent[0]["id"]
    return found


@pytest.fixture
def many(services: Services, picture: int) -> Iterator[None]:
    """So many that an index may be tuned by them, and its graph; gone after the test."""
    index = services.search.index
    vectors = clip_like(COUNT, index.dimensions, seed=5)
    new = [NewImage(f"made/{n}", n.to_bytes(32), str(n), 1, 1, 1, "PNG") for n in range(COUNT)]
    with services.search.sessions.begin() as session:
        image_rows.add_images(session, index, new, vectors)
        vector_indexes.build_hnsw(session, index)
    yield
    with services.search.sessions.begin() as session:
        session.execute(text("DELETE FROM images WHERE path LIKE 'made/%'"))
        session.execute(text("UPDATE vector_indexes SET ef_search = NULL"))


def test_recall_is_measured_on_the_index_as_it_is(client: TestClient, many: None) -> None:
    told = client.get(RECALL, params={"k": 5, "sample": 40}).json()
    assert told["graph"]
    assert told["vectors"] == COUNT + 1
    assert (told["queries"], told["texts"] + told["pictures"]) == (40, 40)
    assert told["recall"] >= 0.95
    assert 0 <= told["worst_decile"] <= told["recall"]
    assert told["unreachable"] == 0


def test_a_tuned_index_is_searched_as_it_was_tuned(client: TestClient, many: None) -> None:
    told = client.post(TUNE, json={"recall": 0.9, "k": 5, "sample": 60}).json()
    assert told["reached"]
    assert told["held_out"] >= 0.9
    collection = client.get("/api/v1/collections/default").json()
    assert collection["ef_search"] == told["ef_search"]
    search = client.post("/api/v1/search", json={"query": "noise", "limit": 1, "explain": True})
    assert search.json()["explain"]["scan"]["ef_search"] == told["ef_search"]


def test_so_few_vectors_cannot_be_tuned_by(client: TestClient, picture: int) -> None:
    answer = client.post(TUNE, json={"recall": 0.9})
    assert answer.status_code == 422
    assert (
        "the index has 1 vectors" in answer.json()["detail"]
        or "has no graph" in answer.json()["detail"]
    )


@pytest.mark.parametrize("wanted", [0.4, 1, "much", None])
def test_a_recall_that_cannot_be_asked_for_is_refused(client: TestClient, wanted: object) -> None:
    assert client.post(TUNE, json={"recall": wanted}).status_code == 422
