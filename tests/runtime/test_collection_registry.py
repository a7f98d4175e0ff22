"""Collections deleted, while nobody looks and while everybody does; and what is kept of them."""

import io
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.catalog import collection_deletion
from app.catalog.collections import NewCollection
from app.errors import CollectionNotFound
from app.index.vector_indexes import Shape
from app.ingest.jobs.job_submission import SentFile
from app.runtime import collection_registry
from app.runtime.assembly import open_services
from app.runtime.open_collection import OpenCollection
from app.runtime.services import Services
from app.settings import Settings
from app.sources.sidecars.annotations import Annotation
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import SYNC, sql
from tests.fixtures.http_jobs import IMAGES, SECONDS, Answer, counts, done, staged, working, zipped

COLLECTIONS = "/api/v1/collections"
SEARCH = "/api/v1/search"
MINE = {"collection": "mine"}
LEFT = """
SELECT 'relation ' || relname FROM pg_class
WHERE relname ~ '^embeddings_\\d+' AND split_part(relname, '_', 2)::int <> :default
    OR relname ~ '^images_\\d'
UNION ALL SELECT 'picture ' || id FROM images WHERE collection_id <> 1
UNION ALL SELECT 'job ' || id FROM jobs
UNION ALL SELECT 'item ' || id FROM job_items
UNION ALL SELECT 'index ' || id FROM vector_indexes WHERE collection_id <> 1
UNION ALL SELECT 'collection ' || name FROM collections WHERE id <> 1
UNION ALL SELECT 'vector ' || image_id FROM embeddings WHERE index_id <> :default
"""


@pytest.fixture
def mine(services: Services) -> OpenCollection:
    """A collection `mine` of the default namespace."""
    return made(services)


def made(services: Services, name: str = "mine") -> OpenCollection:
    new = NewCollection("default", name, fields={"Place-1": "text", "n": "number"})
    return services.registry.create(new, None, Shape())


def send(client: TestClient, *seeds: int) -> Answer:
    files = [("files", (f"{seed}.png", png(seed))) for seed in seeds]
    return client.post(IMAGES, files=files, params=MINE)


def delete(client: TestClient, name: str = "mine") -> Answer:
    return client.delete(f"{COLLECTIONS}/{name}")


def left(services: Services, settings: Settings) -> list[str]:
    """What tells of collections other than the default one, in the database and on disk."""
    rows = sql(services, LEFT, default=services.search.index.id)
    folders = [path.name for path in settings.storage_dir.glob("collection-*")]
    files = [path.name for path in services.doctor.stores.thumbnails.files()]
    return [*(told for (told,) in rows), *folders, *files, *staged(services)]


@pytest.fixture
def no_alarm(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing of the test is worth a warning."""
    with caplog.at_level(logging.WARNING):
        yield
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.usefixtures("no_alarm")
def test_a_deleted_collection_leaves_nothing(
    client: TestClient, services: Services, settings: Settings, mine: OpenCollection
) -> None:
    with working(services):
        job = done(client, send(client, 1, 2, 3))
        assert counts(job) == {"total": 3, "added": 3}
    for one in client.get(f"{COLLECTIONS}/mine/images").json()["data"]:
        assert client.get(one["thumbnail_url"]).status_code == 200
    archive = {"archive": ("a.zip", zipped({"4.png": png(4)}))}
    waiting = [send(client, 5), client.post(IMAGES, files=archive, params=MINE)]
    assert len(staged(services)) == 2
    assert len(left(services, settings)) > 20
    assert delete(client).status_code == 204
    assert left(services, settings) == []
    for gone in waiting:
        assert client.get(gone.json()["url"]).status_code == 404
    assert client.get(f"{COLLECTIONS}/mine").status_code == 404
    assert client.get(one["url"]).status_code == 404
    with working(services):  # tasks that are left in the queue end
        wait_for(lambda: sql(services, "SELECT count(*) FROM procrastinate_jobs") == [(0,)])
    assert left(services, settings) == []


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_name_can_be_made_anew_and_is_empty(
    client: TestClient, services: Services, mine: OpenCollection
) -> None:
    with working(services):
        done(client, send(client, 1))
        assert delete(client).status_code == 204
        again = made(services)
        assert again.collection.id > mine.collection.id
        assert client.get(f"{COLLECTIONS}/mine/images").json()["total"] == 0
        assert counts(done(client, send(client, 1))) == {"total": 1, "added": 1}
    assert delete(client).status_code == 204


def test_the_default_collection_stays(client: TestClient, services: Services) -> None:
    answer = delete(client, "default")
    assert answer.status_code == 422
    assert "The default collection cannot be deleted" in answer.json()["detail"]
    assert client.get(f"{COLLECTIONS}/default").status_code == 200


@pytest.mark.usefixtures("no_alarm", "mine")
def test_of_two_that_delete_at_once_one_does(
    client: TestClient, services: Services, settings: Settings
) -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(delete, [client] * 4))
    assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404]
    services.worker.collection_deletion.finish()  # the rest, where others waited for the row
    assert left(services, settings) == []


@pytest.mark.usefixtures("no_alarm")
@pytest.mark.parametrize("pause", [0.0, 0.15, 0.6])
def test_a_job_under_way_ends_with_its_collection(
    client: TestClient, services: Services, settings: Settings, tmp_path: Path, pause: float
) -> None:
    """Files that were sent, an archive that is being listed, and a folder, all at once."""
    opened = made(services)
    (tmp_path / "1.png").write_bytes(png(1))
    with working(services):
        for start in (0, 30):
            send(client, *range(start, start + 30))
        archive = zipped({f"{seed}.png": png(seed) for seed in range(60, 120)})
        client.post(IMAGES, files={"archive": ("a.zip", archive)}, params=MINE)
        opened.job_submission.folder(tmp_path, SYNC)
        time.sleep(pause)
        assert delete(client).status_code == 204
        empty = "SELECT count(*) FROM procrastinate_jobs"
        wait_for(lambda: sql(services, empty) == [(0,)])
    assert left(services, settings) == []


def test_searches_and_jobs_of_others_go_on_during_deletions(
    client: TestClient, services: Services, settings: Settings
) -> None:
    stop = threading.Event()
    statuses: list[tuple[str, int]] = []

    def ask(name: str) -> None:
        while not stop.is_set():
            asked = {"collection": name, "query": "a red car", "facets": ["n"] * (name == "mine")}
            answers = [
                client.post(SEARCH, json=asked),
                client.get(f"{COLLECTIONS}/{name}"),
                client.get(f"{COLLECTIONS}/{name}/images"),
                client.post(f"{COLLECTIONS}/{name}/images/delete", json={"filter": {"id": 1}}),
            ]
            statuses.extend((name, answer.status_code) for answer in answers)

    with working(services), ThreadPoolExecutor(6) as threads:
        asking = [threads.submit(ask, name) for name in ("mine", "mine", "default", "default")]
        for round_ in range(4):
            made(services)
            sent = send(client, *range(10 * round_, 10 * round_ + 10))
            assert sent.status_code == 202
            time.sleep(0.3)
            assert delete(client).status_code == 204
        stop.set()
        for one in asking:
            one.result()
    assert {status for name, status in statuses if name == "default"} == {200}
    assert {status for name, status in statuses if name == "mine"} <= {200, 404, 503}
    services.worker.collection_deletion.finish()
    assert left(services, settings) == []


@pytest.mark.usefixtures("mine")
def test_a_long_reader_holds_up_the_deletion_and_nobody_else(
    client: TestClient, services: Services, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """As a backup reads: of all tables, for hours."""
    with services.search.sessions.begin() as reader, ThreadPoolExecutor(1) as threads:
        reader.execute(text("SELECT count(*) FROM embeddings, images"))
        asked = time.monotonic()
        deleting = threads.submit(delete, client)
        slowest = 0.0
        while not deleting.done():
            began = time.monotonic()
            assert client.post(SEARCH, json={"query": "a car"}).status_code == 200
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < (time.monotonic() - asked) / 2
        assert deleting.result().status_code == 204
        assert client.get(f"{COLLECTIONS}/mine").status_code == 404
        assert made(services).collection.name == "mine"  # the name is free
        assert "will be deleted later" in caplog.text
    services.worker.upkeep.maintain_queue()
    assert delete(client).status_code == 204
    assert left(services, settings) == []


def test_what_a_crash_leaves_of_a_deletion_is_deleted(
    client: TestClient, services: Services, settings: Settings, mine: OpenCollection
) -> None:
    with working(services):
        done(client, send(client, 1))
    services.worker.collection_deletion.mark_deleted(mine.collection)
    assert client.get(f"{COLLECTIONS}/mine").status_code == 404
    found = client.get(COLLECTIONS).json()["data"]
    assert [one["name"] for one in found] == ["default"]
    assert left(services, settings) != []
    services.worker.upkeep.maintain_queue()
    assert left(services, settings) == []


def test_no_picture_of_a_buried_collection_is_served(
    client: TestClient, services: Services, settings: Settings, mine: OpenCollection
) -> None:
    with working(services):
        done(client, send(client, 1))
    (one,) = client.get(f"{COLLECTIONS}/mine/images").json()["data"]
    services.worker.collection_deletion.mark_deleted(mine.collection)
    address = f"/images/{one['id']}"
    answers = [
        *(client.get(address + part) for part in ("", "/file", "/thumbnail")),
        client.patch(f"/api/v1{address}", json={"caption": "x"}),
        client.delete(address),
        client.post(f"{COLLECTIONS}/default/images/delete", json={"ids": [one["id"]]}),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5 + [200]
    assert answers[-1].json()["deleted"] == 0
    services.worker.upkeep.maintain_queue()
    assert left(services, settings) == []


def test_a_large_collection_is_deleted_some_rows_at_a_time(
    client: TestClient,
    services: Services,
    settings: Settings,
    mine: OpenCollection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collection_deletion, "DELETE_BATCH", 4)
    with working(services):
        done(client, send(client, *range(9)))
    sql(services, "UPDATE images SET removed_at = now() WHERE origin = '3.png'")
    for one in client.get(f"{COLLECTIONS}/mine/images").json()["data"]:
        assert client.get(one["thumbnail_url"]).status_code == 200
    assert delete(client).status_code == 204
    assert left(services, settings) == []


def test_a_cursor_outlives_its_collection_with_a_sentence(
    client: TestClient, services: Services, mine: OpenCollection
) -> None:
    with working(services):
        done(client, send(client, 1, 2, 3))
    asked = {**MINE, "query": "x", "limit": 1}
    cursor = client.post(SEARCH, json=asked).json()["next_cursor"]
    listed = client.get(f"{COLLECTIONS}/mine/images", params={"limit": 1}).json()["next_cursor"]
    delete(client)
    answers = [
        client.post(SEARCH, json={"cursor": cursor}),
        client.get(f"{COLLECTIONS}/mine/images", params={"limit": 1, "cursor": listed}),
    ]
    for answer in answers:
        assert answer.status_code == 404
        assert "no collection mine" in answer.json()["detail"]
    made(services)
    stale = client.post(SEARCH, json={"cursor": cursor})
    assert stale.status_code in {200, 422}, stale.text
    assert stale.json().get("hits", []) == []
    delete(client)


def test_another_process_sees_changes_and_deletions_at_once(
    client: TestClient, services: Services, settings: Settings, mine: OpenCollection
) -> None:
    with open_services(settings) as other:
        assert other.registry.open("default", "mine").collection == mine.collection
        client.patch(f"{COLLECTIONS}/mine", json={"fields": {"new": "text"}})
        fields = {**mine.collection.fields, "new": "text"}
        assert other.registry.open("default", "mine").collection.fields == fields
        delete(client)
        with pytest.raises(CollectionNotFound, match="no collection mine"):
            other.registry.open("default", "mine")


def test_what_is_sent_while_its_collection_is_deleted_is_refused(
    client: TestClient, services: Services, settings: Settings, mine: OpenCollection
) -> None:
    """A large body takes minutes: the collection was there when it began."""
    assert delete(client).status_code == 204
    with pytest.raises(CollectionNotFound, match="was deleted"):
        mine.job_submission.sent([SentFile("1.png", io.BytesIO(png(1)))], None, Annotation())
    assert left(services, settings) == []


def test_only_so_many_are_kept_open(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_registry, "MOST_OPEN", 3)
    for number in range(5):
        made(services, f"many-{number}")
    kept = services.registry._opened
    assert [one.collection.name for one in kept.values()] == ["many-2", "many-3", "many-4"]
    opened = services.registry.open("default", "many-2")
    assert services.registry.open("default", "many-2") is opened
    assert services.registry.open("default", "many-0") is not None
    assert services.registry.open("default", "default") is services.registry.default
    assert [one.collection.name for one in kept.values()] == ["many-4", "many-2", "many-0"]
    for number in range(5):
        services.registry.delete(services.registry.find("default", f"many-{number}"))
    assert len(kept) == 0
