"""Two models of different dimensions side by side, with room for one of them in memory."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.encoders.model_pool import ModelName
from app.main import create_app
from app.runtime.assembly import open_services
from app.runtime.models import check_further_models, further_models
from app.runtime.services import Services
from app.settings import Settings
from tests.conftest import local_client
from tests.fixtures.drawn_pictures import png
from tests.fixtures.http_jobs import IMAGES, Answer, counts, done, ended, working
from tests.fixtures.tiny_models import tiny_model

COLLECTIONS = "/api/v1/collections"
SEARCH = "/api/v1/search"
SEEDS = range(1, 7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny model lies."""
    return tmp_path_factory.mktemp("models") / "tiny@32"


@pytest.fixture(scope="module")
def settings(settings: Settings, folder: Path) -> Settings:
    """The tiny model may be used; one model fits into memory."""
    models = (tiny_model(folder, seed=1),)
    return settings.model_copy(update={"collection_models": models, "max_resident_models": 1})


@pytest.fixture(scope="module")
def both(settings: Settings) -> None:
    """The collections `demo` and `tiny` hold the same pictures, taken in at once by one worker.

    Both models fit into memory meanwhile: else they are loaded a hundred times.
    """
    (model,) = settings.collection_models
    roomy = settings.model_copy(update={"max_resident_models": 2})
    with (
        open_services(roomy) as services,
        local_client(create_app(roomy, services)) as client,
    ):
        take_in(client, services, model)


def take_in(client: TestClient, services: Services, model: str) -> None:
    make(client, "demo")
    told = make(client, "tiny", model=model).json()
    assert (told["model"], told["pretrained"], told["dimensions"]) == (model, "", 32)
    with working(services):
        jobs = [send(client, name).json()["url"] for name in ("demo", "tiny")]
        for url in jobs:
            assert counts(ended(client, url)) == {"total": len(SEEDS), "added": len(SEEDS)}


def make(client: TestClient, name: str, **options: object) -> Answer:
    answer = client.post(COLLECTIONS, json={"name": name, **options})
    assert answer.status_code == 201, answer.text
    return answer


def send(client: TestClient, name: str, seeds: range = SEEDS) -> Answer:
    files = [("files", (f"{seed}.png", png(seed))) for seed in seeds]
    return client.post(IMAGES, files=files, params={"collection": name})


def search(client: TestClient, name: str, **asked: object) -> Answer:
    return client.post(SEARCH, json={"collection": name, "query": "a car", **asked})


def in_memory(services: Services) -> list[bool]:
    return [one.is_loaded for one in services.registry.models.pool._made.values()]


@pytest.mark.usefixtures("both")
def test_each_collection_is_searched_by_its_own_model(
    client: TestClient, services: Services
) -> None:
    answers = {name: search(client, name).json() for name in ("demo", "tiny")}
    assert answers["demo"]["fingerprint"] != answers["tiny"]["fingerprint"]
    assert answers["demo"]["index_id"] != answers["tiny"]["index_id"]
    for name, answer in answers.items():
        assert len(answer["hits"]) == len(SEEDS)
        listed = client.get(f"{COLLECTIONS}/{name}/images").json()["data"]
        assert {hit["id"] for hit in answer["hits"]} == {one["id"] for one in listed}
        for one in listed:
            similar = search(client, name, query=[{"id": one["id"]}], limit=1).json()["hits"]
            assert [hit["id"] for hit in similar] == [one["id"]]
            assert similar[0]["distance"] == pytest.approx(0, abs=2e-3)
    assert sum(in_memory(services)) <= 1


@pytest.mark.usefixtures("both")
def test_searched_in_turns_and_at_once_the_answers_stay_right(
    client: TestClient, services: Services
) -> None:
    def scores(name: str, text: str) -> list[tuple[int, float]]:
        hits = search(client, name, query=text).json()["hits"]
        return [(hit["id"], hit["score"]) for hit in hits]

    words = [f"{number} cars" for number in range(6)]
    expected = {}
    for text in words:
        for name in ("demo", "tiny"):
            expected[name, text] = scores(name, text)
            assert sum(in_memory(services)) == 1
    assert expected["demo", words[0]] != expected["tiny", words[0]]
    for resident in services.registry.models.pool._made.values():
        resident._texts._rows.clear()  # else the models would not be asked again
    with ThreadPoolExecutor(6) as threads:
        asked = [(name, text) for text in words for name in ("demo", "tiny")]
        found = list(threads.map(lambda one: scores(*one), asked))
    for one, hits in zip(asked, found, strict=True):
        assert [hit[0] for hit in hits] == [hit[0] for hit in expected[one]]
        assert [hit[1] for hit in hits] == pytest.approx(
            [hit[1] for hit in expected[one]], abs=1e-3
        )
    assert sum(in_memory(services)) <= 1


@pytest.fixture(params=["vanished", "changed"])
def without_model(
    request: pytest.FixtureRequest, settings: Settings, folder: Path, both: None
) -> Iterator[tuple[TestClient, Services]]:
    """A service that was started after the tiny model's weights had vanished, or others came."""
    away = folder.with_name("away")
    folder.rename(away)
    if request.param == "changed":
        tiny_model(folder, seed=2)
    try:
        with open_services(settings) as services:
            yield local_client(create_app(settings, services)), services
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        away.rename(folder)


def test_a_model_that_is_gone_costs_its_own_collection_only(
    without_model: tuple[TestClient, Services],
) -> None:
    client, services = without_model
    for answer in (search(client, "tiny"), send(client, "tiny")):
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert "tiny@32" in answer.json()["detail"]
    assert len(search(client, "demo").json()["hits"]) == len(SEEDS)
    listed = client.get(COLLECTIONS).json()["data"]
    assert {one["name"]: one["image_count"] for one in listed} == {
        "default": 0,
        "demo": 6,
        "tiny": 6,
    }
    changed = client.patch(f"{COLLECTIONS}/tiny", json={"fields": {"a": "text"}})
    assert changed.json()["fields"] == {"a": "text"}
    assert client.get(f"{COLLECTIONS}/tiny").json()["fields"] == {"a": "text"}
    assert [one.name for one in services.doctor.examine().findings if one.found] == []
    with working(services):
        assert counts(done(client, send(client, "demo", range(20, 21)))) == {"total": 1, "added": 1}
    (image_id,) = find(client, "demo", "20.png")
    assert client.delete(f"/images/{image_id}").status_code == 204


def find(client: TestClient, name: str, origin: str) -> list[int]:
    page = client.get(f"{COLLECTIONS}/{name}/images").json()
    return [one["id"] for one in page["data"] if one["origin"] == origin]


@pytest.mark.usefixtures("both")
def test_a_collection_is_deleted_without_its_model(
    client: TestClient, settings: Settings, folder: Path
) -> None:
    make(client, "old", model=settings.collection_models[0])
    folder.rename(folder.with_name("away"))
    try:
        with open_services(settings) as services:
            check_further_models(settings, services.sessions)  # a start is not refused
            other = local_client(create_app(settings, services))
            assert search(other, "old").status_code == 503
            assert other.delete(f"{COLLECTIONS}/old").status_code == 204
            assert other.delete(f"{COLLECTIONS}/old").status_code == 404
    finally:
        folder.with_name("away").rename(folder)


def test_names_of_models(settings: Settings) -> None:
    names = ("ViT-B-32@laion2b", "local-dir:/a@b/c", "hf-hub:timm/x", "ViT-B-32@/path/to@x.pt")
    found = further_models(settings.model_copy(update={"collection_models": names}))
    assert found == [
        ModelName("ViT-B-32", "laion2b"),
        ModelName("local-dir:/a@b/c", ""),
        ModelName("hf-hub:timm/x", ""),
        ModelName("ViT-B-32", "/path/to@x.pt"),
    ]
