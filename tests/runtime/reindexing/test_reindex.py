"""Another generation of a collection's vectors: built, activated, rolled back (issue 18)."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.encoders.model_pool import ModelName
from app.errors import CollectionRejected, ModelMismatch
from app.index import embeddings, recall
from app.index import generations as generation_rows
from app.index.tuning import Tuning
from app.ingest.jobs import jobs
from app.main import create_app
from app.runtime.assembly import open_services
from app.runtime.reindexing import reindex_jobs, reindex_work
from app.runtime.reindexing.changes import Changes
from app.runtime.services import Services
from app.settings import Settings
from tests.conftest import local_client
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import sql
from tests.fixtures.http_jobs import IMAGES, Answer, Details, counts, done, ended, items, working
from tests.fixtures.tiny_models import tiny_model

COLLECTIONS = "/api/v1/collections"
SEARCH = "/api/v1/search"
SEEDS = range(1, 7)
SECONDS = 300.0  # that anything of these tests may take: a hang is a failure, slowness is not


@pytest.fixture(scope="module")
def settings(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two tiny models may be used beside the demo model, of 256 and of 1,536 dimensions."""
    folder = tmp_path_factory.mktemp("models")
    models = tuple(tiny_model(folder / f"tiny@{one}", one, one) for one in (256, 1_536))
    return settings.model_copy(update={"collection_models": models})


class Workers:
    """The worker of these tests, which can be made to pause."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stack = ExitStack()

    def start(self) -> None:
        self._stack.enter_context(working(self._services))

    def stop(self) -> None:
        self._stack.close()

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()


@pytest.fixture(scope="module")
def workers(services: Services) -> Iterator[Workers]:
    """A worker is at work."""
    found = Workers(services)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def name(client: TestClient, workers: Workers, request: pytest.FixtureRequest) -> str:
    """A collection of the test's own, with pictures."""
    name = request.node.name.replace("[", "-").rstrip("]")[-60:]
    assert client.post(COLLECTIONS, json={"name": name}).status_code == 201
    assert counts(done(client, send(client, name)))["added"] == len(SEEDS)
    return str(name)


def send(client: TestClient, name: str, seeds: range = SEEDS) -> Answer:
    files = [("files", (f"{seed}.png", png(seed))) for seed in seeds]
    return client.post(IMAGES, files=files, params={"collection": name})


def reindexed(client: TestClient, name: str, **changes: object) -> Details:
    """The generation that a reindexing made."""
    answer = client.post(f"{COLLECTIONS}/{name}/reindex", json=changes)
    job = done(client, answer)
    assert job["status"] == "succeeded", job
    (ready,) = [one for one in generations(client, name) if one["status"] == "ready"]
    assert ready["job_id"] == job["id"]
    return ready


def generations(client: TestClient, name: str) -> list[Details]:
    answer = client.get(f"{COLLECTIONS}/{name}/generations")
    assert answer.status_code == 200, answer.text
    found: list[Details] = answer.json()["data"]
    return found


def activate(client: TestClient, name: str, generation: Details) -> Details:
    answer = client.post(f"{COLLECTIONS}/{name}/generations/{generation['id']}/activate")
    assert answer.status_code == 200, answer.text
    told: Details = answer.json()
    return told


def roll_back(client: TestClient, name: str) -> Details:
    answer = client.post(f"{COLLECTIONS}/{name}/rollback")
    assert answer.status_code == 200, answer.text
    told: Details = answer.json()
    return told


def search(client: TestClient, name: str, **asked: object) -> Details:
    answer = client.post(SEARCH, json={"collection": name, "query": "a car", **asked})
    assert answer.status_code == 200, answer.text
    told: Details = answer.json()
    return told


@pytest.mark.parametrize("storage", ["vector", "bit"])
def test_another_storage(client: TestClient, name: str, storage: str) -> None:
    before = search(client, name)
    ready = reindexed(client, name, storage=storage, m=8)
    assert (ready["storage"], ready["m"], ready["vectors"]) == (storage, 8, len(SEEDS))
    assert ready["recall"] == 1.0
    assert ready["bytes"] > 0
    assert search(client, name)["index_id"] == before["index_id"]
    told = activate(client, name, ready)
    assert (told["id"], told["missing"]) == (ready["id"], 0)
    after = search(client, name)
    assert after["index_id"] == ready["id"]
    assert [hit["id"] for hit in after["hits"]] == [hit["id"] for hit in before["hits"]]
    assert roll_back(client, name)["id"] == before["index_id"]
    assert search(client, name)["index_id"] == before["index_id"]


def test_another_model(client: TestClient, settings: Settings, name: str) -> None:
    model, _ = settings.collection_models
    before = search(client, name)
    ready = reindexed(client, name, model=model)
    assert (ready["model"], ready["dimensions"], ready["vectors"]) == (model, 256, len(SEEDS))
    done(client, send(client, name, range(20, 22)))
    assert activate(client, name, ready)["missing"] == 0
    after = search(client, name)
    assert (after["index_id"], after["fingerprint"]) == (ready["id"], ready["fingerprint"])
    assert len(after["hits"]) == len(SEEDS) + 2
    assert after["hits"][0]["confidence"] is not None  # by what was measured of the new vectors
    assert search(client, name, query=[{"id": after["hits"][0]["id"]}])["hits"]
    done(client, send(client, name, range(30, 31)))
    assert roll_back(client, name)["missing"] == 0
    back = search(client, name)
    assert back["fingerprint"] == before["fingerprint"]
    assert len(back["hits"]) == len(SEEDS) + 3


def test_another_storage_needs_no_model(
    client: TestClient, services: Services, settings: Settings, workers: Workers
) -> None:
    """Vectors are copied, the graph is measured by pictures: no encoder is made (issue 18).

    The model is no other test's, whose later pictures a worker may just be embedding.
    """
    _, model = settings.collection_models
    name = "without-model"
    assert client.post(COLLECTIONS, json={"name": name, "model": model}).status_code == 201
    done(client, send(client, name))
    resident = services.registry.models.of(ModelName(model, ""))
    resident.unload()
    ready = reindexed(client, name, storage="bit")
    told = {one: ready[one] for one in ("dimensions", "vectors", "recall")}
    assert told == {"dimensions": 1_536, "vectors": len(SEEDS), "recall": 1.0}
    activate(client, name, ready)
    assert not resident.is_loaded
    assert len(search(client, name)["hits"]) == len(SEEDS)
    assert resident.is_loaded


@pytest.mark.usefixtures("search_by_graph")
def test_a_tuned_graph_is_followed_by_one_tuned_to_the_same_recall(
    client: TestClient, services: Services, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "MIN_VECTORS_TO_TUNE", len(SEEDS))
    chosen = Tuning("admin", 10, 0.97, True, 0.97, "texts", 1.0, len(SEEDS))
    services.registry.tune(services.registry.open("default", name), 77, chosen)
    activate(client, name, reindexed(client, name, m=8))
    assert services.registry.find("default", name).index.ef_search in recall.EF_SEARCHES


def test_what_comes_later_is_in_every_generation(
    client: TestClient, settings: Settings, name: str
) -> None:
    model, _ = settings.collection_models
    activate(client, name, reindexed(client, name, model=model))
    third = reindexed(client, name, storage="bit")
    assert third["model"] == model
    done(client, send(client, name, range(40, 43)))
    wait_for(lambda: {one["vectors"] for one in generations(client, name)} == {len(SEEDS) + 3})
    (gone,) = search(client, name, limit=1)["hits"]
    assert client.delete(f"/images/{gone['id']}").status_code == 204
    assert {one["vectors"] for one in generations(client, name)} == {len(SEEDS) + 2}
    assert [one["status"] for one in generations(client, name)] == ["ready", "active", "retired"]


def test_a_generation_that_is_damaged_keeps_no_other_incomplete(
    client: TestClient,
    services: Services,
    workers: Workers,
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The newest is looked at first."""
    activate(client, name, reindexed(client, name, storage="vector"))
    damaged = reindexed(client, name, storage="bit")
    table = f"embeddings_{damaged['id']}"
    with workers.paused():
        sql(services, f"ALTER TABLE embeddings DETACH PARTITION {table}")
    done(client, send(client, name, range(40, 43)))
    complete = {len(SEEDS) + 3}
    wait_for(lambda: {one["vectors"] for one in generations(client, name)[1:]} == complete)
    wait_for(lambda: f"generation {damaged['id']} is not kept complete" in caplog.text)
    with workers.paused():
        sql(services, f"ALTER TABLE embeddings ATTACH PARTITION {table} "
                      f"FOR VALUES IN ({damaged['id']})")  # fmt: skip
    wait_for(lambda: {one["vectors"] for one in generations(client, name)} == complete)


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_at_a_time(client: TestClient, name: str) -> None:
    ready = reindexed(client, name, storage="vector")
    url = f"{COLLECTIONS}/{name}"
    again = client.post(f"{url}/reindex", json={"storage": "bit"})
    assert (again.status_code, again.json()["code"]) == (409, "generation_conflict")
    assert f"Generation {ready['id']} of this collection is ready" in again.json()["detail"]
    (active,) = [one for one in generations(client, name) if one["status"] == "active"]
    for refused in (
        client.delete(f"{url}/generations/{active['id']}"),
        client.post(f"{url}/generations/{active['id']}/activate"),
    ):
        assert refused.status_code == 409, refused.text
    assert client.post(f"{url}/rollback").status_code == 404
    assert client.delete(f"{url}/generations/{ready['id']}").status_code == 204
    assert client.delete(f"{url}/generations/{ready['id']}").status_code == 404
    same = client.post(f"{url}/reindex", json={"storage": "halfvec"})
    assert (same.status_code, "nothing would change" in same.text) == (422, True)
    unknown = client.post(f"{url}/reindex", json={"model": "ViT-B-16"})
    assert (unknown.status_code, "COLLECTION_MODELS" in unknown.text) == (422, True)


def test_cancelled_it_leaves_nothing(
    client: TestClient, services: Services, workers: Workers, name: str
) -> None:
    with workers.paused():
        answer = client.post(f"{COLLECTIONS}/{name}/reindex", json={"storage": "bit"})
        job_id = answer.json()["job_id"]
        again = client.post(f"{COLLECTIONS}/{name}/reindex", json={"m": 8})
        assert (again.status_code, "reindexes this collection already" in again.text) == (409, True)
        with services.sessions.begin() as session:
            job = jobs.start(session, job_id)
        growing = services.worker.reindex_work.begin(job)
        assert client.post(f"/api/v1/jobs/{job_id}/cancel").json()["status"] == "cancelling"
    assert ended(client, answer.json()["url"])["status"] == "cancelled"
    assert [one["status"] for one in generations(client, name)] == ["active"]
    with services.sessions.begin() as session:
        found = session.execute(text("SELECT to_regclass(:t)"), {"t": growing.partition})
        assert found.scalar_one() is None


def test_a_killed_worker_loses_one_batch(
    client: TestClient, services: Services, settings: Settings, workers: Workers, name: str
) -> None:
    """What is missing is found by a query: what was written before is not embedded again."""
    model, _ = settings.collection_models
    with workers.paused():
        answer = client.post(f"{COLLECTIONS}/{name}/reindex", json={"model": model})
        job_id = answer.json()["job_id"]
        with services.sessions.begin() as session:
            job = jobs.start(session, job_id)
        growing = services.worker.reindex_work.begin(job)
        written = list[int]()

        def record(session: Session, added: int, unreadable: object) -> None:
            if written:
                raise KeyboardInterrupt
            reindex_jobs.count(job_id, session, added, [])
            written.append(added)

        with pytest.raises(KeyboardInterrupt):
            replace(services.reindexing.fill, batch_size=2).run(growing, record)
        assert generations(client, name)[0]["vectors"] == 2
    assert counts(ended(client, answer.json()["url"])) == {"total": 6, "processed": 6}
    assert generations(client, name)[0]["vectors"] == 6


def test_a_dry_run_says_what_it_would_take(
    client: TestClient, services: Services, settings: Settings, name: str
) -> None:
    model, _ = settings.collection_models
    hit = search(client, name, limit=1)["hits"][0]
    path = services.gallery.sources.location(services.gallery.get(hit["id"]).stored_path)
    away = path.rename(path.with_name("away"))
    url = f"{COLLECTIONS}/{name}/reindex"
    job = done(client, client.post(url, json={"model": model, "dry_run": True}))
    away.rename(path)
    assert (job["status"], job["dry_run"], counts(job)["failed"]) == ("succeeded", True, 1)
    told = job["source"]["reindex"]["estimate"]
    assert (told["pictures"], told["embedded"], told["sampled"]) == (6, 6, 5)
    assert told["seconds"] > 0
    assert [item["image_id"] for item in items(client, job, status="failed")] == [hit["id"]]
    copied = done(client, client.post(url, json={"storage": "bit", "dry_run": True}))
    told = copied["source"]["reindex"]["estimate"]
    assert (told["embedded"], told["seconds"], counts(copied)) == (
        0,
        None,
        {"total": 6, "processed": 6},
    )
    assert [one["status"] for one in generations(client, name)] == ["active"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"regions": True}, "regions: send one of: off, grid, detector"),
        ({"precision": "bf16"}, "precision: send one of: float, int8"),
        ({"precision": "float"}, "nothing would change"),
    ],
)
def test_what_is_not_here_is_refused_with_the_reason(
    client: TestClient, asked: Details, told: str
) -> None:
    refused = client.post(f"{COLLECTIONS}/default/reindex", json=asked)
    assert (refused.status_code, told in refused.text) == (422, True), refused.text


def test_two_models_must_fit_into_memory(services: Services, settings: Settings) -> None:
    model, _ = settings.collection_models
    cramped = replace(services.reindexing, max_resident_models=1)
    with pytest.raises(CollectionRejected, match="MAX_RESIDENT_MODELS=2"):
        cramped.submit(services.registry.default, Changes(ModelName(model, "")))


def test_unreadable_originals_are_listed_and_tried_again(
    client: TestClient, services: Services, settings: Settings, name: str
) -> None:
    model, _ = settings.collection_models
    first = search(client, name, limit=1)["hits"][0]
    path = services.gallery.sources.location(services.gallery.get(first["id"]).stored_path)
    away = path.rename(path.with_name("away"))
    job = done(client, client.post(f"{COLLECTIONS}/{name}/reindex", json={"model": model}))
    assert (job["status"], counts(job)) == ("succeeded", {"total": 6, "processed": 5, "failed": 1})
    (item,) = items(client, job, status="failed")
    assert (item["image_id"], item["path"]) == (first["id"], first["original_filename"])
    assert item["reason"]
    (ready, _) = generations(client, name)
    assert (ready["vectors"], ready["missing"]) == (5, 0)
    activate(client, name, ready)
    assert len(search(client, name)["hits"]) == 5
    away.rename(path)
    again = client.post(f"/api/v1/jobs/{job['id']}/retry")
    assert again.status_code == 200, again.text
    assert counts(ended(client, f"/api/v1/jobs/{job['id']}")) == {"total": 6, "processed": 6}
    assert len(search(client, name)["hits"]) == 6
    assert [one["status"] for one in generations(client, name)] == ["active", "retired"]


def test_a_changed_picture_is_embedded_anew_in_each(
    client: TestClient, services: Services, settings: Settings, workers: Workers
) -> None:
    model, _ = settings.collection_models
    name, folder = "changing", settings.test_images_dir
    assert client.post(COLLECTIONS, json={"name": name}).status_code == 201
    folder.mkdir(exist_ok=True)

    def index(seed: int) -> None:
        (folder / "one.png").write_bytes(png(seed))
        asked = {"source": {"folder": str(folder)}}
        done(client, client.post(IMAGES, json=asked, params={"collection": name}))

    index(1)
    ready = reindexed(client, name, model=model)
    with services.sessions.begin() as session:
        known = services.registry.find("default", name)
        generation = generation_rows.get(session, known.collection.id, ready["id"])
        (before,) = embeddings.sample(session, generation.index, 1).values()
    index(2)

    def is_embedded_anew() -> bool:
        with services.sessions.begin() as session:
            now = list(embeddings.sample(session, generation.index, 1).values())
        return bool(now) and float(now[0] @ before) < 0.9999

    wait_for(is_embedded_anew)


def test_ratings_go_along(client: TestClient, settings: Settings, name: str) -> None:
    model, _ = settings.collection_models
    answers = [
        search(client, name, query="a red car"),
        search(client, name, query=[{"id": search(client, name)["hits"][0]["id"]}]),
    ]
    for answer in answers:
        rated = client.post("/api/v1/feedback", json={"token": answer["token"], "rating": 9})
        assert rated.status_code == 201, rated.text
    ready = reindexed(client, name, model=model)
    assert activate(client, name, ready)["ratings_left"] == 1
    summary = client.get("/api/v1/feedback/summary", params={"collection": name}).json()
    (change,) = summary["model_changes"]
    assert (change["former_model"], change["model"]) == ("demo model", model)
    assert [change[side]["ratings"] for side in ("before", "after")] == [2, 0]
    assert (change["before"]["mean"], change["fell"]) == (9.0, None)
    again = [
        client.post("/api/v1/feedback", json={"token": answer["token"], "rating": 2})
        for answer in answers
    ]
    assert [one.status_code for one in again] == [200, 409]
    assert "another model" in again[1].json()["detail"]
    assert models_rated(client, name) == {ready["fingerprint"]: 1, answers[0]["fingerprint"]: 1}
    assert roll_back(client, name)["ratings_left"] == 0
    assert models_rated(client, name) == {answers[0]["fingerprint"]: 2}


def models_rated(client: TestClient, name: str) -> dict[str, int]:
    told = client.get("/api/v1/feedback/summary", params={"collection": name}).json()
    return {one["fingerprint"]: one["ratings"] for one in told["by_model"]}


def test_a_cursor_of_the_former_generation_says_so(client: TestClient, name: str) -> None:
    page = search(client, name, limit=2)
    ready = reindexed(client, name, storage="bit")
    activate(client, name, ready)
    old = client.post(SEARCH, json={"cursor": page["next_cursor"]})
    assert "made or indexed anew" in old.json()["detail"]
    roll_back(client, name)
    again = client.post(SEARCH, json={"cursor": page["next_cursor"]})
    assert len(again.json()["hits"]) == 2


def test_searches_meanwhile_never_mix(client: TestClient, settings: Settings, name: str) -> None:
    """A query of one model never meets the other's index, and none fails (issue 18).

    Nor in a second process on the same database, which follows each swap.
    """
    model, _ = settings.collection_models
    expected = {}

    def note() -> None:
        told = search(client, name)
        expected[told["index_id"]] = seen(told)

    note()
    ready = reindexed(client, name, model=model)
    activate(client, name, ready)
    note()
    stop, answers = threading.Event(), list[Details]()

    def ask(client: TestClient) -> None:
        while not stop.is_set():
            answers.append(search(client, name))

    with (
        open_services(settings) as again,
        local_client(create_app(settings, again)) as other,  # one event loop for all its threads
        ThreadPoolExecutor(4) as threads,
    ):
        asking = [threads.submit(ask, one) for one in (client, client, other)]
        try:
            for _ in range(6):
                index_id = roll_back(client, name)["id"]
                wait_for(partial(has_more, answers, len(answers) + 6))
                wait_for(lambda: search(other, name)["index_id"] == index_id)  # noqa: B023
        finally:
            stop.set()
        for one in asking:
            one.result()
    assert {told["index_id"] for told in answers} == set(expected)
    for told in answers:
        assert seen(told) == pytest.approx(expected[told["index_id"]], abs=1e-3)


def has_more(answers: list[Details], count: int) -> bool:
    return len(answers) > count


def seen(told: Details) -> dict[int, float]:
    return {hit["id"]: hit["score"] for hit in told["hits"]}


def test_former_generations_are_dropped(
    client: TestClient, services: Services, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = services.worker.reindex_work
    for storage in ("bit", "vector"):
        activate(client, name, reindexed(client, name, storage=storage))
    work.keep_complete()
    assert len(generations(client, name)) == 3  # the first was active a moment ago
    monkeypatch.setattr(reindex_work, "GRACE", timedelta(0))
    work.keep_complete()
    assert [one["storage"] for one in generations(client, name)] == ["vector", "bit"]
    replace(work, keep_generations=0).keep_complete()
    assert [one["storage"] for one in generations(client, name)] == ["vector"]


def test_a_start_with_another_model_serves_with_the_former(
    settings: Settings, client: TestClient, services: Services, workers: Workers
) -> None:
    """The default collection was changed to the tiny model; CLIP_MODEL still names the other."""
    model, _ = settings.collection_models
    done(client, client.post(IMAGES, files=[("files", ("1.png", png(1)))]))
    ready = reindexed(client, "default", model=model)
    activate(client, "default", ready)
    with open_services(settings) as again:
        assert again.registry.default.index.id == ready["id"]
        assert len(again.search.by_text("a car", 5).hits) == 1
    with (
        pytest.raises(ModelMismatch, match="make reindex"),
        open_services(settings.model_copy(update={"collection_models": ()})),
    ):
        pass
    roll_back(client, "default")
    assert search(client, "default")["fingerprint"] != ready["fingerprint"]
