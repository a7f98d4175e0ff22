"""The last page of every search has hits and no cursor, also where it is full."""

import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.index import vector_indexes
from app.runtime.services import Services
from tests.fixtures.search_library import PICTURES, answer, pages, shown_ids, upload_pictures

METHODS = ("exact", "hnsw", "resident")
LIMITS = (1, 2, 3, 5, 10)
BODIES: list[dict[str, Any]] = [
    {"mode": "vector"},
    {"mode": "vector", "exact": True},
    {"mode": "lexical"},
    {"mode": "hybrid"},
    {"mode": "hybrid", "hybrid": {"alpha": 0.0}},
    {"mode": "hybrid", "hybrid": {"alpha": 1.0}},
    {"mode": "auto"},
    {"mode": "vector", "group_by": "duplicates"},
    {"mode": "vector", "order_by": "id"},
]
FILTERS: list[dict[str, Any]] = [
    {},
    {"place": "Lisbon"},
    {"stars": {"gte": 2}},
    {"not": {"place": "Faro"}},
    {"place": "Nowhere"},
]


@pytest.fixture(scope="module", autouse=True)
def library(client: TestClient, services: Services) -> None:
    upload_pictures(client, services)


@pytest.fixture(params=METHODS)
def method(
    request: pytest.FixtureRequest, services: Services, monkeypatch: pytest.MonkeyPatch
) -> str:
    """How vectors are searched: all compared, by the graph, or by codes in memory."""
    how: str = request.param
    if how == "hnsw":
        monkeypatch.setattr(vector_indexes, "EXACT_ROWS", -1)
        monkeypatch.setattr(vector_indexes, "MOST_EXACT_ROWS", -1)
        monkeypatch.setattr("app.index.scan_plans.EXACT_ROWS", -1)
    resident = services.search.resident_indexes
    if how == "resident":
        monkeypatch.setattr(resident, "_min_vectors", 1)
        monkeypatch.setattr(resident, "_rested", {})
        while resident.of(services.search.index) is None:
            assert not resident._rested, "the codes were not loaded"
            time.sleep(0.01)
    else:
        monkeypatch.setattr(resident, "of", lambda _: None)
    return how


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_only_the_last_page_has_no_cursor(
    client: TestClient, method: str, body: dict[str, Any]
) -> None:
    found = answer(client, query="a red car", **body)
    if body == {"mode": "vector"}:
        assert found["method"] == method
    for where in FILTERS:
        asked = {"query": "a red car", "filter": where, **body}
        whole = [hit["id"] for hit in answer(client, **asked, limit=100)["hits"]]
        for limit in LIMITS:
            shown = pages(client, **asked, limit=limit)
            full = -(-len(whole) // limit)
            assert [len(page) for page in shown[: full - 1]] == [limit] * (full - 1)
            assert len(shown) == max(full, 1), (where, limit)
            assert sorted(shown_ids(shown)) == sorted(whole)


def test_all_that_reach_min_score_fill_the_last_page(client: TestClient) -> None:
    """Whether the next one reaches it is looked up too."""
    body = {"query": "a red car", "mode": "vector", "exact": True}
    scores = [hit["score"] for hit in answer(client, **body, limit=100)["hits"]]
    assert len(scores) == len(PICTURES)
    for count in (2, 4, 6):
        least = (scores[count - 1] + scores[count]) / 2
        assert [len(page) for page in pages(client, **body, limit=2, min_score=least)] == [2] * (
            count // 2
        )
