"""Generations compared by golden queries, end to end (issue 18, line 16)."""

import re
import threading
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.errors import Interrupted
from app.runtime.services import Services
from app.settings import Settings
from scripts import compare_models
from tests.conftest import TEST_IMAGES
from tests.fixtures.http_jobs import accepted, done, working
from tests.fixtures.tiny_models import tiny_model

COLLECTION = "/api/v1/collections/seen"
NAMES = ("tree.jpg", "palm.jpg", "red-car.png", "banana.jpg", "cat.jpg", "zebra.jpg")
COSTS = ("ms/picture", "ms/text", "bytes")
WORDS = {"a tree": "tree.jpg", "a red car": "red-car.png", "a cat": "cat.jpg"}


@pytest.fixture(scope="module")
def settings(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two tiny models of random weights may be used beside the demo model."""
    folder = tmp_path_factory.mktemp("models")
    models = tuple(tiny_model(folder / f"tiny{seed}", seed) for seed in (1, 2))
    return settings.model_copy(update={"collection_models": models})


@pytest.fixture(scope="module")
def ids(client: TestClient) -> dict[str, int]:
    """Bundled pictures in a collection of the module's own, and golden queries for them."""
    assert client.post("/api/v1/collections", json={"name": "seen"}).status_code == 201
    files = [("file", (name, (TEST_IMAGES / name).read_bytes())) for name in NAMES]
    stored = client.post(f"{COLLECTION}/images", files=files)
    assert stored.status_code == 201, stored.text
    found = {one["original_filename"]: one["image"]["id"] for one in stored.json()["data"]}
    for text, name in WORDS.items():
        add(client, text=text, relevant=[found[name]], irrelevant=[found["zebra.jpg"]])
    add(client, image_id=found["tree.jpg"], relevant=[found["palm.jpg"]])
    add(client, text="nobody has said what is right", irrelevant=[found["zebra.jpg"]])
    return found


def add(client: TestClient, **body: Any) -> None:
    answer = client.post(f"{COLLECTION}/golden-queries", json=body)
    assert answer.status_code == 201, answer.text


@pytest.fixture(scope="module")
def other(client: TestClient, services: Services, settings: Settings, ids: dict[str, int]) -> int:
    """A generation of the tiny model's, ready beside the active one of the demo model."""
    model = settings.collection_models[0]
    with working(services):
        job = done(client, client.post(f"{COLLECTION}/reindex", json={"model": model}))
    assert job["status"] == "succeeded", job
    ready = client.get(f"{COLLECTION}/generations").json()["data"][0]
    assert (ready["status"], ready["model"]) == ("ready", model)
    found: int = ready["id"]
    return found


def evaluated(client: TestClient, services: Services, **body: Any) -> dict[str, Any]:
    with working(services):
        job = done(client, client.post(f"{COLLECTION}/evaluate", json=body))
    assert job["status"] == "succeeded", job
    assert job["done"] == job["total"]
    answer = client.get(f"{COLLECTION}/evaluations/{job['id']}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_two_generations(
    client: TestClient, services: Services, ids: dict[str, int], other: int
) -> None:
    told = evaluated(client, services, generations=[other])
    baseline, tiny = told["systems"]
    assert (told["queries"], told["left_out"], told["sample"]) == (4, 0, None)
    assert (baseline["model"], tiny["generation"]) == ("demo model", other)
    assert baseline["recall_at_1"]["mean"] == 1.0  # it knows its own drawings
    assert tiny["ndcg_at_10"]["mean"] < baseline["ndcg_at_10"]["mean"] == 1.0
    for metric in ("ndcg_at_10", "mrr"):
        assert tiny[metric]["low"] <= tiny[metric]["mean"] <= tiny[metric]["high"]
    assert baseline["vectors"] == tiny["vectors"] == len(NAMES)
    for told_ms in ("search_ms", "encode_ms", "picture_ms"):
        assert baseline[told_ms] > 0 < tiny[told_ms]
    (compared,) = told["comparisons"]
    assert compared["won"] + compared["lost"] + compared["tied"] == 4
    assert (compared["won"], compared["verdict"]) == (0, "undecided")  # of so few
    lost = compared["lost"]
    assert compared["sentence"].startswith(f"Better on 0 of 4 queries, worse on {lost}, p = ")
    assert compared["p"] == pytest.approx(2 / 2**lost)
    worst = compared["lost_queries"][0]
    assert worst["ndcg"] < worst["baseline_ndcg"] == 1.0
    assert client.get(worst["url"]).json()["id"] == worst["golden_query_id"]
    outcomes = [*compared["lost_queries"], *compared["tied_queries"]]
    assert len(outcomes) == 4
    for one in outcomes:
        assert one["baseline_hits"] == searched(client, one)


def searched(client: TestClient, outcome: dict[str, Any]) -> list[int]:
    """What a search of the active generation answers, without the picture searched with."""
    text, image_id = outcome["text"], outcome["image_id"]
    query = [{"text": text}] if text else [{"id": image_id}]
    body = {"collection": "seen", "query": query, "mode": "vector"}
    hits = client.post("/api/v1/search", json=body).json()["hits"]
    return [hit["id"] for hit in hits if hit["id"] != image_id]


def test_the_active_generation_alone(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    """It is the baseline whether it is named or not."""
    told = evaluated(client, services)
    assert (len(told["systems"]), told["comparisons"]) == (1, [])
    active = client.get(f"{COLLECTION}/generations").json()["data"][-1]["id"]
    with_itself = evaluated(client, services, generations=[active])
    assert len(with_itself["systems"]) == 1


def test_a_model_without_a_generation(
    client: TestClient, services: Services, settings: Settings, ids: dict[str, int], other: int
) -> None:
    """All rank the pictures that golden queries name, and random others; it is said so."""
    models = [{"model": name} for name in settings.collection_models]
    told = evaluated(client, services, models=models, sample=1)
    assert told["sample"] == {"pictures": 5, "named": 4, "random": 1, "unreadable": 0}
    baseline, known, new = told["systems"]
    assert [one["generation"] for one in told["systems"][1:]] == [other, None]
    assert (new["vectors"], new["bytes"], new["storage"]) == (5, 5 * 32 * 2, None)
    assert baseline["ndcg_at_10"]["mean"] == 1.0 > new["ndcg_at_10"]["mean"]
    for one in told["systems"]:
        assert (one["search_ms"], one["picture_ms"] > 0, one["encode_ms"] > 0) == (None, True, True)
    assert [one["system"] for one in told["comparisons"]] == [1, 2]
    assert known["fingerprint"] != new["fingerprint"]


def test_make_compare(
    settings: Settings,
    ids: dict[str, int],
    other: int,
    kept_signals: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A table with what a picture costs on this machine; the models need not be in the settings."""
    name = settings.collection_models[1]
    closed = settings.model_copy(update={"collection_models": ()})
    monkeypatch.setattr(Settings, "load", lambda: closed)
    compare_models.main(name, collection="seen", sample=1)
    header, demo, tiny, _, sentence, sample, _ = capsys.readouterr().out.splitlines()
    assert header.split() == ["nDCG@10", "95", "%", "R@1", "R@5", "R@10", "MRR", *COSTS]
    assert re.match(r"demo model \(generation \d+\) +1\.000 +1\.00–1\.00( +1\.000){4}", demo)
    assert re.search(r"( +[\d.]+){2} +64$", tiny)  # ms/picture, ms/text, 2 bytes × 32
    assert sentence.startswith(f"{name}: Better on 0 of 4 queries, worse on ")
    assert sample.endswith("on a sample of 5 pictures: 4 that they name, 1 random others.")


def test_originals_that_are_gone(
    client: TestClient, services: Services, settings: Settings, ids: dict[str, int]
) -> None:
    """What one system cannot see is expected of none."""
    palm = (TEST_IMAGES / "palm.jpg").read_bytes()
    (stored,) = [
        path
        for path in settings.storage_dir.rglob("*")
        if path.is_file() and path.read_bytes() == palm
    ]
    stored.rename(hidden := stored.with_name("hidden"))
    try:
        models = [{"model": settings.collection_models[1]}]
        told = evaluated(client, services, models=models, sample=0)
    finally:
        hidden.rename(stored)
    assert told["sample"] == {"pictures": 3, "named": 3, "random": 0, "unreadable": 1}
    assert (told["queries"], told["left_out"]) == (3, 1)


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("seen", {"generations": [1_000_000]}, 404, "generation_not_found"),
        ("seen", {"generations": list(range(90, 96))}, 422, "evaluation_invalid"),
        ("seen", {"models": [{"model": "ViT-B-16"}]}, 422, "collection_invalid"),
        ("default", {}, 422, "evaluation_invalid"),  # it has no golden query
    ],
)
def test_what_cannot_be_evaluated(
    client: TestClient, ids: dict[str, int], name: str, body: dict[str, Any], status: int, code: str
) -> None:
    answer = client.post(f"/api/v1/collections/{name}/evaluate", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_cancelled_one(client: TestClient, services: Services, ids: dict[str, int]) -> None:
    url = accepted(client.post(f"{COLLECTION}/evaluate", json={}))
    assert client.post(f"{url}/cancel").status_code == 200
    with working(services):
        job = done(client, client.post(f"{COLLECTION}/evaluate", json={}))
    assert job["status"] == "succeeded"
    cancelled = client.get(url).json()
    assert cancelled["status"] == "cancelled"
    missing = client.get(f"{COLLECTION}/evaluations/{cancelled['id']}")
    assert (missing.status_code, missing.json()["code"]) == (404, "evaluation_not_found")


def test_one_that_was_interrupted_begins_anew(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    """As when the service stops while it is at work."""
    url = accepted(client.post(f"{COLLECTION}/evaluate", json={}))
    job_id = int(url.rpartition("/")[2])
    work, stop = services.worker.evaluation_work, threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        replace(work, fill=replace(work.fill, stop=stop)).run(job_id, attempt=1)
    assert client.get(url).json()["status"] == "running"
    work.run(job_id, attempt=2)
    job = client.get(url).json()
    assert (job["status"], job["done"]) == ("succeeded", job["total"])
    assert client.get(f"{COLLECTION}/evaluations/{job_id}").json()["queries"] == len(WORDS) + 1
