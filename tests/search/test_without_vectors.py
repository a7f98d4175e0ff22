"""Pictures that have no vector, as while they wait for a new model: words find them still."""

import pytest
from fastapi.testclient import TestClient

from app.runtime.services import Services
from tests.fixtures.folder_jobs import sql
from tests.fixtures.search_library import answer, upload_pictures


@pytest.fixture(scope="module")
def ids(client: TestClient, services: Services) -> dict[str, int]:
    """The pictures; the taxi has no vector, and confidences are known."""
    found = upload_pictures(client, services)
    sql(services, "DELETE FROM embeddings WHERE image_id = :id", id=found["taxi.jpg"])
    services.search.statistics.measure()
    return found


@pytest.mark.parametrize("hybrid", [{}, {"alpha": 0}])
def test_words_find_them_in_hybrid(
    client: TestClient, ids: dict[str, int], hybrid: dict[str, float]
) -> None:
    found = answer(client, query="waits", mode="hybrid", hybrid=hybrid)
    (hit,) = (one for one in found["hits"] if one["lexical_rank"])
    shown = {name: hit[name] for name in ("id", "distance", "confidence", "vector_rank")}
    assert shown == {
        "id": ids["taxi.jpg"],
        "distance": None,
        "confidence": None,
        "vector_rank": None,
    }
    assert found["no_match"] is False
    assert all((one["confidence"] is None) == (one is hit) for one in found["hits"])


def test_sorted_they_are_among_the_best(client: TestClient, ids: dict[str, int]) -> None:
    found = answer(client, query="car", mode="hybrid", order_by="-metadata.stars", limit=2)
    assert ids["taxi.jpg"] in [
        hit["id"]
        for page in [found, answer(client, cursor=found["next_cursor"])]
        for hit in page["hits"]
    ]
