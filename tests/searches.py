"""Searches over HTTP, in a small library of drawings that people have said something of."""

import json
from typing import Any

from fastapi.testclient import TestClient

from app import indexes
from app.assembly import Services
from tests.conftest import TEST_IMAGES
from tests.runs import sql

PROBLEM = "application/problem+json"
PICTURES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "tree.jpg": ("A tall tree", {"place": "Lisbon", "stars": 5, "tags": ["green", "plant"]}),
    "palm.jpg": ("Palm trees by the sea", {"place": "Faro", "stars": 3, "tags": ["green"]}),
    "red-car.png": ("My first car", {"place": "Lisbon", "stars": 4, "sold": True}),
    "taxi.jpg": ("A car that waits, red no more", {"place": "Porto", "stars": 2}),
    "red-apple.jpg": ("The apple", {"stars": 1}),
    "banana.jpg": (None, {"place": "Faro"}),
    "red-apple-and-banana.webp": (None, {}),
    "cat.jpg": ("Nobody's cat", {"place": "Łódź"}),
    "zebra.jpg": (None, {"note": "seen on safari"}),
    "sun.webp": ("the", {}),
}
FIELDS = {"place": "text", "stars": "number", "sold": "boolean", "tags": "tags"}


def upload_pictures(client: TestClient, services: Services) -> dict[str, int]:
    """The pictures in the default collection, its fields declared: their ids by their names."""
    declared = "UPDATE collections SET fields = CAST(:fields AS jsonb)"
    sql(services, declared, fields=json.dumps(FIELDS))
    found = {}
    for name, (caption, metadata) in PICTURES.items():
        files = {"file": (name, (TEST_IMAGES / name).read_bytes())}
        data = {"metadata": json.dumps(metadata)} | ({"caption": caption} if caption else {})
        (stored,) = client.post("/upload", files=files, data=data).json()
        found[name] = stored["id"]
    with services.search.sessions.begin() as session:
        indexes.build_hnsw(session, services.search.index)
    return found


def asked(client: TestClient, **body: Any) -> Any:
    return client.post("/api/v1/search", json=body)


def answer(client: TestClient, **body: Any) -> dict[str, Any]:
    found = asked(client, **body)
    assert found.status_code == 200, found.text
    shown: dict[str, Any] = found.json()
    return shown


def names(client: TestClient, ids: dict[str, int], **body: Any) -> list[str]:
    """The names of the hits, best first."""
    known = {image_id: name for name, image_id in ids.items()}
    return [known[hit["id"]] for hit in answer(client, **body)["hits"]]


def refused(found: Any, status: int = 422) -> str:
    """The sentence that a problem says."""
    assert found.status_code == status, found.text
    assert found.headers["content-type"] == PROBLEM
    detail: str = found.json()["detail"]
    return detail


def pages(client: TestClient, **body: Any) -> list[list[dict[str, Any]]]:
    """The hits of each page, to the end: the cursor alone leads to the next."""
    found = [answer(client, **body)]
    while cursor := found[-1]["next_cursor"]:
        found.append(answer(client, cursor=cursor))
    return [page["hits"] for page in found]


def shown_ids(found: list[list[dict[str, Any]]]) -> list[int]:
    """The ids of all pages' hits, in their order."""
    return [hit["id"] for page in found for hit in page]
