"""IMAGE_SEARCH_REINDEX=auto: it changes the model by itself, and gives up where people decide."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.database import connections
from app.database.outages import OUTAGES
from app.encoders.model_pool import ModelName
from app.runtime.reindexing import automatic
from app.runtime.reindexing.automatic import AutomaticReindexing
from app.runtime.reindexing.changes import Changes
from app.runtime.services import Services
from app.settings import Settings
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import sql
from tests.fixtures.http_jobs import IMAGES, Details, done, working
from tests.fixtures.tiny_models import tiny_model
from tests.runtime.test_worker import wait_until

DEFAULT = "/api/v1/collections/default"
REINDEXINGS = "SELECT id, state FROM jobs WHERE source ? 'reindex' ORDER BY id"
DEAD = "postgresql://127.0.0.1:1/none"
SECONDS = 300.0  # that anything of these tests may take: a hang is a failure, slowness is not


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model, which may be used beside the demo model."""
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny@256", 256, 256)


@pytest.fixture(scope="module")
def settings(settings: Settings, model: str) -> Settings:
    return settings.model_copy(update={"collection_models": (model,)})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(automatic, "MODEL_PAUSE_SECONDS", 0.1)


@pytest.fixture
def by_itself(client: TestClient, services: Services, model: str) -> AutomaticReindexing:
    """What changes the default collection, which has a picture, to the tiny model."""
    with working(services):
        done(client, client.post(IMAGES, files=[("files", ("1.png", png(1)))]))
    return AutomaticReindexing(
        services.sessions, services.registry, services.reindexing, ModelName(model, "")
    )


@contextmanager
def changing(by_itself: AutomaticReindexing) -> Iterator[threading.Thread]:
    """It is at it; at the end it has settled by itself."""
    stop = threading.Event()
    thread = threading.Thread(target=by_itself.change_model, args=(stop,))
    thread.start()
    try:
        yield thread
        thread.join(SECONDS)
        assert not thread.is_alive(), "it goes on for ever"
    finally:
        stop.set()
        thread.join()


def active(client: TestClient) -> Details:
    (found,) = [one for one in client.get(f"{DEFAULT}/generations").json()["data"]
                if one["status"] == "active"]  # fmt: skip
    return dict(found)


def test_a_job_that_was_cancelled_is_not_begun_again(
    client: TestClient,
    services: Services,
    by_itself: AutomaticReindexing,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with changing(by_itself):
        wait_until(lambda: sql(services, REINDEXINGS) != [])
        ((job_id, _),) = sql(services, REINDEXINGS)
        assert client.post(f"/api/v1/jobs/{job_id}/cancel").status_code < 300
        with working(services):
            wait_until(lambda: sql(services, REINDEXINGS) == [(job_id, "cancelled")])
    assert sql(services, REINDEXINGS) == [(job_id, "cancelled")]
    assert f"IMAGE_SEARCH_REINDEX=auto gives up: job {job_id} has left no generation" in caplog.text


def test_a_job_that_fails_is_not_begun_again(
    client: TestClient,
    services: Services,
    by_itself: AutomaticReindexing,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = sql(services, REINDEXINGS)
    sql(services, "UPDATE images SET path = path || '.away'")
    with changing(by_itself), working(services):
        wait_until(lambda: len(sql(services, REINDEXINGS)) > len(before))
        wait_until(lambda: sql(services, REINDEXINGS)[-1].state == "failed")
    sql(services, "DELETE FROM images")
    assert len(sql(services, REINDEXINGS)) == len(before) + 1
    assert "No picture's original could be read. `make reindex` tries it again." in caplog.text


def another(by_itself: AutomaticReindexing) -> AutomaticReindexing:
    """That of another server."""
    return replace(by_itself)


def look(*servers: AutomaticReindexing) -> None:
    """Each looks once."""
    ended = threading.Event()
    ended.set()
    for one in servers:
        one.change_model(ended)


def cancel(client: TestClient, services: Services) -> None:
    """Cancel the last reindexing."""
    job_id = sql(services, REINDEXINGS)[-1].id
    assert client.post(f"/api/v1/jobs/{job_id}/cancel").status_code < 300
    with working(services):
        wait_until(lambda: sql(services, REINDEXINGS)[-1].state == "cancelled")


def test_a_job_of_another_server_that_was_cancelled_is_not_begun_again(
    client: TestClient,
    services: Services,
    by_itself: AutomaticReindexing,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before, other = len(sql(services, REINDEXINGS)), another(by_itself)
    look(by_itself, other)
    cancel(client, services)
    look(by_itself, other)
    assert len(sql(services, REINDEXINGS)) == before + 1
    assert caplog.text.count("IMAGE_SEARCH_REINDEX=auto gives up: ") == 2
    look(another(by_itself))  # that of a server that starts now
    assert len(sql(services, REINDEXINGS)) == before + 2
    cancel(client, services)


def test_what_somebody_else_cancels_does_not_end_it(
    client: TestClient, services: Services, by_itself: AutomaticReindexing
) -> None:
    services.reindexing.submit(services.registry.default, Changes(storage="bit"))
    before = len(sql(services, REINDEXINGS))
    look(by_itself)
    cancel(client, services)
    assert len(sql(services, REINDEXINGS)) == before
    look(by_itself)
    assert len(sql(services, REINDEXINGS)) == before + 1
    cancel(client, services)


def test_what_passes_is_waited_for(
    client: TestClient,
    services: Services,
    by_itself: AutomaticReindexing,
    model: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The database is away, and the model is: both come back."""
    by_itself.sessions = connections.open_sessions(connections.make_engine(DEAD))
    with working(services), changing(by_itself):
        wait_until(lambda: "The database is away" in caplog.text)
        by_itself.model = ModelName(str(tmp_path / "none"), "")
        wait_until(lambda: "IMAGE_SEARCH_REINDEX=auto waits: " in caplog.text)
        by_itself.model = ModelName(model, "")
        by_itself.sessions = services.sessions
        OUTAGES.end()
    assert caplog.text.count("IMAGE_SEARCH_REINDEX=auto waits: ") == 1
    assert active(client)["model"] == model


def test_it_is_changed_by_itself_and_stays_where_somebody_went_back(
    client: TestClient, services: Services, by_itself: AutomaticReindexing, model: str
) -> None:
    for is_changed in (True, False):
        with working(services):
            by_itself.change_model(threading.Event())
        assert (active(client)["model"] == model) == is_changed
        if is_changed:
            assert client.post(f"{DEFAULT}/rollback").status_code == 200
