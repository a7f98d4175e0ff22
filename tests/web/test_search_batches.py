"""Issue 19, line 8: up to 50 searches in one request, with one call of the model."""

import base64
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import metrics
from app.main import create_app
from app.runtime.services import Services
from app.search import batch_search
from app.settings import Settings
from tests.conftest import TEST_IMAGES, local_client
from tests.fixtures.drawn_pictures import png
from tests.fixtures.search_library import PROBLEM, answer, asked, refused, upload_pictures

BATCH = "/api/v1/search/batch"


@pytest.fixture(scope="module", autouse=True)
def ids(client: TestClient, services: Services) -> dict[str, int]:
    """The pictures, once it is measured what chance is."""
    ids = upload_pictures(client, services)
    while answer(client, query="a zebra")["no_match"] is None:
        time.sleep(0.02)
    return ids


def batch(client: TestClient, *searches: Any) -> list[dict[str, Any]]:
    found = client.post(BATCH, json={"searches": searches})
    assert found.status_code == 200, found.text
    results: list[dict[str, Any]] = found.json()["results"]
    assert len(results) == len(searches)
    return results


def stable(found: dict[str, Any]) -> dict[str, Any]:
    """An answer without its times, and without tokens and cursors, which hold a time too."""
    return {**found, "timings_ms": 0, "token": 0, "next_cursor": bool(found["next_cursor"])}


def calls(kind: str) -> float:
    """How often the model was called."""
    return (
        metrics.REGISTRY.get_sample_value("image_search_encode_seconds_count", {"kind": kind}) or 0
    )


def test_each_answer_is_that_of_a_search_alone(client: TestClient, ids: dict[str, int]) -> None:
    picture = base64.b64encode((TEST_IMAGES / "cat.jpg").read_bytes()).decode()
    searches: list[dict[str, Any]] = [
        {"query": "a zebra", "limit": 3},
        {"query": [{"image": picture}], "limit": 1, "include": ["path", "vector"]},
        {"query": [{"id": ids["taxi.jpg"]}, {"text": "red", "weight": -0.5}], "limit": 2},
        {"query": "tall", "mode": "lexical", "limit": 2},
        {"filter": {"place": "Lisbon"}, "order_by": "-stars"},
        {"query": "a zebra", "mode": "auto", "facets": ["place"], "explain": True, "limit": 2},
    ]
    for search, result in zip(searches, batch(client, *searches), strict=True):
        assert (result["status"], result["error"]) == (200, None)
        assert stable(result["response"]) == stable(answer(client, **search))
        assert result["response"]["token"] or not search.get("query")


def test_the_model_is_called_once_for_texts_and_once_for_pictures(client: TestClient) -> None:
    texts, pictures = calls("text"), calls("image")
    searches: list[dict[str, Any]] = [
        {"query": [{"text": f"batch {n}"}, {"text": f"thing {n}"}], "limit": 1}
        for n in range(batch_search.MAX_SEARCHES - 3)
    ]
    images = [base64.b64encode(png(seed)).decode() for seed in (1, 2, 3)]
    searches += [{"query": [{"image": image}], "limit": 1} for image in images]
    assert {one["status"] for one in batch(client, *searches)} == {200}
    assert (calls("text") - texts, calls("image") - pictures) == (1, 1)


def test_an_error_is_of_its_search_alone(client: TestClient, ids: dict[str, int]) -> None:
    searches: list[Any] = [
        {"query": "a zebra", "limit": 1},
        {"query": "  "},
        {"query": "x", "limt": 1},
        {"query": "x", "limit": 0},
        "x",
        {"query": "x", "collection": "absent"},
        {"query": [{"id": 10**9}]},
        {"query": [{"image": base64.b64encode(b"x").decode()}]},
        {"filter": {"colour": "red"}},
        {"query": "x", "cursor": "x"},
        {"query": [{"text": "x"}, {"text": "x", "weight": -1}]},
        {"query": "a zebra", "limit": 1},
    ]
    results = batch(client, *searches)
    assert [one["status"] for one in results] == [
        *(200, 422, 422, 422, 422, 404, 422, 415, 422, 422, 422, 200)
    ]
    for search, result in list(zip(searches, results, strict=True))[1:-1]:
        assert result["response"] is None
        alone = client.post("/api/v1/search", json=search)
        assert alone.headers["content-type"] == PROBLEM
        if "errors" not in result["error"] and "cursor" not in search:
            assert result["error"] == alone.json()
        else:
            assert result["error"]["code"] in {"request_invalid", "cursor_invalid"}
    assert results[2]["error"]["errors"] == [
        {
            "loc": ["body", "searches", 2, "limt"],
            "code": "field_unknown",
            "message": "there is no field of this name; did you mean limit?",
        }
    ]
    for result in (results[0], results[-1]):
        assert result["response"]["hits"][0]["id"] == ids["zebra.jpg"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"searches": []}, "searches"),
        ({"searches": [{"query": "x"}] * (batch_search.MAX_SEARCHES + 1)}, "searches"),
        ({"queries": [{"query": "x"}]}, "queries"),
        ({"searches": [{"query": [{"url": "http://a.example/b"}]}] * 3}, "may be URLs"),
        ({"searches": [{"query": [{"image": "eA=="}] * 3}] * 20}, "60 pictures in all; 50"),
    ],
)
def test_too_much_at_once_is_refused(client: TestClient, body: Any, message: str) -> None:
    assert message in refused(client.post(BATCH, json=body), 422)


def test_searches_that_would_begin_too_late_are_to_be_sent_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_search, "BATCH_SECONDS", -1.0)
    (result,) = batch(client, {"query": "a zebra"})
    assert (result["status"], result["error"]["code"]) == (503, "busy")


def test_each_search_counts_for_the_rate_limit(services: Services, settings: Settings) -> None:
    limited = settings.model_copy(update={"search_rate": "5/hour"})
    with local_client(create_app(limited, services)) as client:
        found = client.post(BATCH, json={"searches": [{"query": "a tree"}] * 3})
        assert found.status_code == 200
        assert ";r=2;" in found.headers["ratelimit"]
        refused(client.post(BATCH, json={"searches": [{"query": "a tree"}] * 4}), 429)
        assert asked(client, query="a tree").status_code == 200


def test_batches_are_counted(client: TestClient) -> None:
    name = "image_search_batch_searches_sum"
    before = metrics.REGISTRY.get_sample_value(name) or 0
    batch(client, {"query": "a tree", "limit": 1}, {"query": "a car", "limit": 1})
    assert metrics.REGISTRY.get_sample_value(name) == before + 2
