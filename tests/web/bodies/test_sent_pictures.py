"""Pictures in request bodies wait on disk for memory (issue 21, line 47)."""

import base64
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.pictures import memory_budget
from app.runtime.services import Services
from app.settings import Settings
from app.web.bodies import sent_pictures
from app.web.bodies.sent_pictures import SENT_MEMORY
from tests.conftest import local_client
from tests.fixtures.drawn_pictures import png

WAITING = 50  # more than FastAPI has threads


def test_searches_that_wait_for_memory_leave_all_others_free(
    settings: Settings, services: Services
) -> None:
    picture = png(1)
    roomy = settings.model_copy(update={"max_searches": 4 * WAITING})
    with (
        local_client(create_app(roomy, services)) as client,
        ThreadPoolExecutor(WAITING) as threads,
    ):
        with SENT_MEMORY.reserve(SENT_MEMORY.limit):
            sent = [
                threads.submit(client.post, "/search-by-image", content=picture)
                for _ in range(WAITING)
            ]
            while len(SENT_MEMORY._waiting) < WAITING:
                time.sleep(0.01)
            assert client.get("/search-by-text?query=tree").status_code == 200
            assert client.get("/images/1").status_code == 404
            assert not any(one.done() for one in sent)
        assert {one.result().status_code for one in sent} == {200}


def test_pictures_in_json_wait_too(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brief of issue 19: only files and whole bodies counted in the bound."""
    monkeypatch.setattr(sent_pictures, "SPOOL_BYTES", 1_000)
    picture = base64.b64encode(png(1)).decode()
    body = {"query": [{"image": picture + " " * 1_000}], "limit": 1}
    batch = {"searches": [body, body]}
    with ThreadPoolExecutor(2) as threads:
        with SENT_MEMORY.reserve(SENT_MEMORY.limit):
            sent = [
                threads.submit(client.post, path, json=json)
                for path, json in (("/api/v1/search", body), ("/api/v1/search/batch", batch))
            ]
            while len(SENT_MEMORY._waiting) < len(sent):
                time.sleep(0.01)
            small = client.post("/api/v1/search", json={"query": "tree"})
            assert small.status_code == 200, "a small body does not wait"
            assert not any(one.done() for one in sent)
        assert [one.result().status_code for one in sent] == [200, 200]
        monkeypatch.setattr(memory_budget, "WAIT_SECONDS", 0.05)
        with SENT_MEMORY.reserve(SENT_MEMORY.limit):
            busy = client.post("/api/v1/search", json=body)
        assert (busy.status_code, busy.json()["code"]) == (503, "busy")


def test_who_waits_for_too_long_is_told_to_come_back(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_budget, "WAIT_SECONDS", 0.05)
    with SENT_MEMORY.reserve(SENT_MEMORY.limit):
        for path in ("/search-by-image", "/upload"):
            answer = client.post(path, files={"file": ("x.png", png(1))})
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "5"
    assert client.post("/search-by-image", content=png(1)).status_code == 200


def test_what_is_larger_than_the_memory_is_taken_alone(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sent_pictures, "SENT_MEMORY", memory_budget.MemoryBudget(10))
    assert client.post("/search-by-image", content=png(1)).status_code == 200


@pytest.mark.parametrize("spooled", [1, 10**6])
def test_a_body_arrives_whole_from_disk_and_from_memory(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, spooled: int
) -> None:
    monkeypatch.setattr(sent_pictures, "SPOOL_BYTES", spooled)
    picture = png(3)
    (stored,) = client.post("/upload", files={"file": ("x.png", picture)}).json()
    (hit,) = client.post("/search-by-image?limit=1", content=picture).json()
    assert hit["id"] == stored["id"]
    assert hit["distance"] < 1e-3
