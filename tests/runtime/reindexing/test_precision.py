"""A generation in int8 beside one in float, whatever the server's PRECISION (issue 18, line 7)."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.encoders.torch_models import int8, int8_quality
from app.main import create_app
from app.runtime.assembly import open_services
from app.runtime.models import default_model
from app.runtime.reindexing.changes import Changes
from app.runtime.services import Services
from app.settings import Settings
from tests.conftest import local_client
from tests.fixtures.drawn_pictures import png
from tests.fixtures.http_jobs import IMAGES, Details, done, working
from tests.fixtures.tiny_models import tiny_model

DEFAULT = "/api/v1/collections/default"
SEEDS = range(1, 7)


@pytest.fixture(scope="module")
def settings(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A tiny model is the server's own."""
    pytest.importorskip("nncf")
    folder = tmp_path_factory.mktemp("tiny")
    return settings.model_copy(
        update={
            "testing": False,
            "clip_model": tiny_model(folder / "model", seed=1),
            "images_dir": folder / "images",
            "upload_dir": folder / "uploads",
            "model_cache_dir": folder / "converted",
        }
    )


@pytest.fixture(scope="module")
def client(settings: Settings, services: Services) -> Iterator[TestClient]:
    """Pictures are there, and no worker is at work."""
    with local_client(create_app(settings, services)) as http:
        files = [("files", (f"{seed}.png", png(seed))) for seed in SEEDS]
        with working(services):
            done(http, http.post(IMAGES, files=files))
        yield http


@pytest.fixture(autouse=True)
def _no_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """int8 does no justice to random weights, and few pictures will do."""
    monkeypatch.setattr(int8, "SAMPLE", int8.FEWEST)
    monkeypatch.setattr(int8_quality, "MINIMUM_MEAN_COSINE", 0.5)
    monkeypatch.setattr(int8_quality, "MINIMUM_OVERLAP", 0.1)
    monkeypatch.setattr(int8_quality, "MOST_LOST_RECALL", 1.0)


def search(client: TestClient) -> Details:
    answer = client.post("/api/v1/search", json={"query": "a car"})
    assert answer.status_code == 200, answer.text
    told: Details = answer.json()
    return told


def generations(client: TestClient) -> list[Details]:
    told: list[Details] = client.get(f"{DEFAULT}/generations").json()["data"]
    return told


def change_precision(client: TestClient, precision: str) -> Details:
    """Build a generation in it and activate that."""
    job = done(client, client.post(f"{DEFAULT}/reindex", json={"precision": precision}))
    assert job["status"] == "succeeded", job
    (ready,) = [one for one in generations(client) if one["status"] == "ready"]
    answer = client.post(f"{DEFAULT}/generations/{ready['id']}/activate")
    assert answer.status_code == 200, answer.text
    return ready


def test_another_precision_and_back(
    client: TestClient, services: Services, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """And a start between, with the precision of before."""
    before = search(client)
    with working(services):
        ready = change_precision(client, "int8")
    assert (ready["precision"], ready["vectors"]) == ("int8", len(SEEDS))
    after = search(client)
    assert (after["index_id"], after["fingerprint"]) == (ready["id"], ready["fingerprint"])
    assert after["fingerprint"] != before["fingerprint"]
    same = client.post(f"{DEFAULT}/reindex", json={"precision": "int8"})
    assert (same.status_code, "nothing would change" in same.text) == (422, True)
    with open_services(settings) as again:  # which it refused: PRECISION is another
        default = again.registry.default
        assert default.encoder.space.precision == "int8"
        assert "in int8 and is served with that, not with local-dir:" in caplog.text
        changes = Changes(default_model(settings))  # as of `make reindex`
        assert again.reindexing.submit(default, changes, dry_run=True)
    assert client.post(f"{DEFAULT}/rollback").status_code == 200
    assert search(client)["fingerprint"] == before["fingerprint"]


def test_int8_that_is_not_faithful_is_refused(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8_quality, "MINIMUM_OVERLAP", 1.1)
    for record in settings.model_cache_dir.glob("start-*.json"):  # made with the other bound
        record.unlink()
    with open_services(settings) as again:
        changes = Changes(precision="int8")
        job_id = again.reindexing.submit(again.registry.default, changes)
        again.worker.reindex_work.run(job_id, attempt=1)
        job = again.job_submission.job(job_id)
    assert job.state == "failed"
    assert "in int8 the vectors of local-dir:" in str(job.reason)
