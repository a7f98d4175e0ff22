"""A picture that a gate holds is in no answer of any documented route but those of the review."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.runtime.services import Services
from tests.conftest import TEST_IMAGES
from tests.fixtures.folder_jobs import sql

COLLECTION = "/api/v1/collections/default"
MARK = "nowhere-to-be-read"
PICTURE = (TEST_IMAGES / "cat.jpg").read_bytes()
GATE = {"labels": [{"name": "animal", "phrases": ["a cat", "a dog"]}, {"name": "tree"}]}
OF_REVIEW = {"list_review", "decide_review", "decide_reviews", "get_review_thumbnail"}
NAMES_NO_PICTURE = {
    *("activate_generation", "cancel_job", "create_collection", "create_feedback", "create_key"),
    *("create_legacy_feedback", "delete_collection", "delete_generation", "delete_golden_query"),
    *("delete_label_set", "evaluate_collection", "get_evaluation", "get_job", "get_label_set"),
    *(
        "get_metrics",
        "get_release_notes",
        "get_status",
        "healthz",
        "import_golden_queries",
        "import_images",
    ),
    *("list_collection_generations", "list_keys", "list_label_sets", "measure_recall"),
    *("put_label_set", "readyz", "reindex_collection", "retry_job", "revoke_key"),
    *("roll_back_collection", "stream_job_events", "tune_collection", "update_collection"),
    *("upload", "upload_images", "withdraw_feedback", "flag_labelled", "list_jobs"),
    *("list_job_items", "put_external_image", "export_feedback", "get_feedback_summary"),
    *("list_golden_queries", "get_golden_query", "list_annotators"),
    *("backfill_annotator", "get_coverage"),
    *("create_standing_search", "list_standing_searches", "get_standing_search"),
    *("delete_standing_search", "stream_standing_matches"),
}
COUNTS = {"get_collection", "list_collections", "list_months", "map_positions", "list_duplicates"}
CHANGES = {
    *("delete_image", "flat_delete_image", "delete_external_image", "delete_collection_images"),
    *("update_image", "update_collection_images", "move_collection_images"),
    *("restore_collection_images", "add_golden_query", "replace_golden_query"),
}
SHOWS = {
    *("flat_get_image", "flat_get_image_file", "flat_get_image_thumbnail", "get_image"),
    *("get_image_file", "get_image_thumbnail", "get_image_labels", "get_external_image"),
    *("list_images", "list_collection_images", "search", "search_batch", "search_by_text"),
    *("search_by_words", "search_by_image", "find_similar_images", "legacy_search", "classify"),
    *("download_collection_images", "list_suggestions", "propose_golden_queries", "explain"),
    *("get_image_texts", "list_standing_matches", "read_standing_feed"),
}
"""Whatever shows pictures; each new route must be named here or above."""


@pytest.fixture(scope="module")
def before(client: TestClient) -> dict[str, Any]:
    """What the routes that count say of another picture alone."""
    other = client.post(
        "/upload", files={"file": ("a.jpg", (TEST_IMAGES / "dog.jpg").read_bytes())}
    )
    assert other.status_code == 201
    assert client.post("/api/v1/collections", json={"name": "elsewhere"}).status_code == 201
    standing = client.post("/api/v1/standing-searches", json={"query": "a", "min_confidence": 0})
    assert standing.status_code == 201
    put = client.put(f"{COLLECTION}/label-sets/pets", json={**GATE, "gate": "flag"})
    assert put.status_code == 201
    return {name: asked(client, name, 0).json() for name in COUNTS}


@pytest.fixture(scope="module")
def held(client: TestClient, services: Services, before: dict[str, Any]) -> int:
    """The id of a picture that waits for review."""
    sent = client.post(
        "/upload",
        files={"file": (f"{MARK}.jpg", PICTURE)},
        data={
            "caption": MARK,
            "metadata": json.dumps(
                {"mark": MARK, "tags": [MARK], "gps": {"latitude": 1, "longitude": 2}}
            ),
        },
    )
    assert sent.json()[0]["status"] == "held", sent.text
    image_id: int = sent.json()[0]["id"]
    sql(
        services,
        "WITH a AS (INSERT INTO image_annotations (image_id, annotator, state) "
        "VALUES (:id, 'text', 'read') RETURNING image_id) INSERT INTO image_texts "
        "SELECT image_id, 'text', 0, :mark, '{0,0,1,1}', 1 FROM a",
        id=image_id,
        mark=MARK,
    )
    known = "external_id = 'e-1', taken_at = now()"
    sql(services, f"UPDATE images SET {known} WHERE id = :id", id=image_id)
    return image_id


def operations(client: TestClient) -> dict[str, tuple[str, str]]:
    paths = client.get("/openapi.json").json()["paths"]
    return {
        told["operationId"]: (method.upper(), path)
        for path, methods in paths.items()
        for method, told in methods.items()
        if method in {"get", "post", "put", "patch", "delete"}
    }


def asked(client: TestClient, name: str, image_id: int) -> Any:
    """The answer to a request that would find the picture, count it, or change it."""
    ids = {"ids": [image_id]}
    found = {"json": {"filter": {"metadata.mark": MARK}, "facets": ["labels.pets"]}}
    requests: dict[str, dict[str, Any]] = {
        "search": found,
        "search_batch": {"json": {"searches": [{"query": MARK, "mode": "hybrid", "limit": 100}]}},
        "search_by_text": {"params": {"query": "a cat", "limit": 100}},
        "search_by_words": {"params": {"q": "a cat", "limit": 100, "mode": "hybrid"}},
        "search_by_image": {"content": PICTURE},
        "legacy_search": {"json": {"text": "a cat"}},
        "classify": {"json": {"id": image_id, "labels": ["a", "b"]}},
        "download_collection_images": {"params": ids},
        "list_suggestions": {"params": {"prefix": MARK[:7]}},
        "explain": {"params": {"q": "a cat", "id": image_id}},
        "propose_golden_queries": {"params": {"source": "captions"}},
        "add_golden_query": {"json": {"image_id": image_id}},
        "replace_golden_query": {"json": {"image_id": image_id}},
        "update_image": {"json": {"caption": "seen"}},
        "update_collection_images": {"json": {**ids, "caption": "seen"}},
        "move_collection_images": {"json": {**ids, "collection": "elsewhere"}},
        "restore_collection_images": {"json": ids},
        "delete_collection_images": {"json": ids},
    }
    method, path = operations(client)[name]
    ids_of = {"external_id": "e-1", "golden_query_id": 1, "search_id": 1}
    filled = path.format(name="default", image_id=image_id, **ids_of)
    return client.request(method, filled, **requests.get(name, {}))


def shows(name: str, answer: Any, image_id: int) -> bool:
    """Whether an answer tells anything of the picture."""
    if not answer.is_success:
        return False
    if name == "find_similar_images":  # of which it is no part
        return bool(answer.json()["hits"])
    if answer.headers["content-type"] in {"image/webp", "image/jpeg", "application/zip"}:
        return True
    parts = answer.json() if answer.headers["content-type"] == "application/json" else None
    if isinstance(parts, dict) and parts.get("labels"):  # of classify, and of a picture's labels
        return True
    return MARK in answer.text or f'"id":{image_id},' in answer.text


def test_every_route_is_named(client: TestClient) -> None:
    named = [OF_REVIEW, NAMES_NO_PICTURE, COUNTS, CHANGES, SHOWS]
    assert sorted(one for names in named for one in names) == sorted(operations(client))


def test_a_held_picture_is_in_no_answer(
    client: TestClient, services: Services, held: int, before: dict[str, Any]
) -> None:
    """Then it is approved, and the same requests show it: they would have found it."""
    services.worker.standing_work.tell_of_new()
    for name in SHOWS:
        answer = asked(client, name, held)
        assert answer.status_code < 500
        assert not shows(name, answer, held), (name, answer.text)
    for name in CHANGES:
        assert MARK not in asked(client, name, held).text, name
    for name in COUNTS:
        assert asked(client, name, 0).json() == before[name]
    similar = client.post("/api/v1/search", json={"query": [{"id": held}]})
    assert similar.status_code == 422
    is_as_it_was = "caption = :mark AND removed_at = 'infinity' AND external_id = 'e-1'"
    query = f"SELECT {is_as_it_was} FROM images WHERE id = :id"
    assert sql(services, query, id=held, mark=MARK) == [(True,)]
    waiting = client.get(f"{COLLECTION}/review").json()
    assert [one["id"] for one in waiting["data"]] == [held]
    approved = client.post(f"{COLLECTION}/review/{held}", json={"decision": "approve"})
    assert approved.status_code == 200
    services.worker.standing_work.tell_of_new()
    assert {name for name in SHOWS if shows(name, asked(client, name, held), held)} == SHOWS
    now = {name: asked(client, name, 0).json() for name in COUNTS}
    assert {name for name in COUNTS if now[name] != before[name]} == COUNTS - {"list_duplicates"}
