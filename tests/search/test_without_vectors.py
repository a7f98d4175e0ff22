"""Pictures that have no vector, as while they wait for a new model: words find them still."""

import pytest
from fastapi.testclient import TestClient

from app.runtime.services import Services
from tests.fixtures.folder_jobs import sql
from tests.fixtures.search_library import answer, pages, shown_ids, upload_pictures


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
    found = pages(client, query="car", mode="hybrid", order_by="-metadata.stars", limit=2)
    assert sorted(shown_ids(found)) == sorted(ids.values())


def test_in_auto_they_come_after_the_other_matches(client: TestClient, ids: dict[str, int]) -> None:
    (alone, *_) = answer(client, query="waits", mode="auto")["hits"]
    assert (alone["id"], alone["lexical_rank"], alone["distance"]) == (ids["taxi.jpg"], 1, None)
    hits = answer(client, query="car", mode="auto")["hits"]
    assert [hit["id"] for hit in hits[:2]] == [ids["red-car.png"], ids["taxi.jpg"]]
    assert [hit["lexical_rank"] for hit in hits[:3]] == [1, 2, None]


def test_in_auto_the_filter_holds_for_them_too(client: TestClient, ids: dict[str, int]) -> None:
    for place, expected in (("Porto", [ids["taxi.jpg"]]), ("Lisbon", [ids["red-car.png"]])):
        found = answer(client, query="car", mode="auto", filter={"place": place})["hits"]
        assert [hit["id"] for hit in found if hit["lexical_rank"]] == expected


def test_in_auto_pages_hold_each_once(client: TestClient, ids: dict[str, int]) -> None:
    found = shown_ids(pages(client, query="car", mode="auto", limit=1))
    assert sorted(found) == sorted(ids.values())
    assert found[:2] == [ids["red-car.png"], ids["taxi.jpg"]]
