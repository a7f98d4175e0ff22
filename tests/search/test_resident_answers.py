"""Searches by the codes that a process holds answer as those that compare all vectors."""

import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.runtime.services import Services
from tests.fixtures.search_library import PICTURES, answer, pages, shown_ids, upload_pictures


@pytest.fixture(scope="module", autouse=True)
def ids(client: TestClient, services: Services) -> Iterator[dict[str, int]]:
    """A library whose codes are held although it is small."""
    stored = upload_pictures(client, services)
    resident = services.search.resident_indexes
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(resident, "_min_vectors", 1)
        patched.setattr(resident, "_rested", {})
        while resident.of(services.search.index) is None:
            assert not resident._rested, "the codes were not loaded"
            time.sleep(0.01)
        yield stored


@pytest.mark.parametrize(
    "query",
    ["a green tree", [{"text": "red"}, {"text": "car", "weight": -0.5}]],
)
def test_pages_are_those_of_an_exact_search(client: TestClient, query: object) -> None:
    found = pages(client, query=query, mode="vector", limit=3)
    compared = pages(client, query=query, mode="vector", limit=3, exact=True)
    assert shown_ids(found) == shown_ids(compared)
    assert answer(client, query=query, mode="vector")["method"] == "resident"


def test_the_method_is_explained(client: TestClient, ids: dict[str, int]) -> None:
    found = answer(client, query="a tree", mode="vector", explain=True)
    assert found["explain"]["scan"] == {
        "method": "resident",
        "ef_search": None,
        "filter_passes_few": False,
    }
    told = client.get("/api/v1/explain", params={"q": "a tree", "id": ids["tree.jpg"]}).json()
    assert (told["cause"], told["approximate_rank"]) == ("found", told["exact_rank"])


@pytest.mark.parametrize(
    "body",
    [
        {"place": "Lisbon"},
        {"not": {"place": "Lisbon"}},
        {"width": {"gte": 1}},
        {"place": "Nowhere"},
    ],
)
def test_filtered_searches_compare_codes_of_what_passes(
    client: TestClient, body: dict[str, object]
) -> None:
    found = pages(client, query="red", mode="vector", filter=body, limit=2)
    compared = pages(client, query="red", mode="vector", filter=body, limit=2, exact=True)
    assert shown_ids(found) == shown_ids(compared)
    assert answer(client, query="red", mode="vector", filter=body)["method"] == "resident"


def test_the_recall_that_is_measured_is_that_of_codes(client: TestClient) -> None:
    told = client.get("/api/v1/collections/default/recall", params={"sample": 20}).json()
    assert (told["method"], told["ef_search"], told["recall"]) == ("resident", None, 1)
    assert told["queries"] == 10 + len(PICTURES)


def test_the_flat_endpoint_finds_an_upload_and_no_deleted_picture(
    client: TestClient, ids: dict[str, int]
) -> None:
    def found() -> list[int]:
        params = {"query": "a green tree", "limit": "100"}
        return [hit["id"] for hit in client.get("/search-by-text", params=params).json()]

    assert sorted(found()) == sorted(ids.values())
    assert client.delete(f"/api/v1/images/{ids['sun.webp']}").status_code == 204
    assert ids["sun.webp"] not in found()
    assert len(found()) == len(PICTURES) - 1
