"""Label sets that are gates, over HTTP: what they refuse leaves nothing, what they flag waits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.ingest import admission
from app.runtime.services import Services
from app.settings import Settings
from app.understanding.labels.gates import HELD
from app.understanding.labels.labelling import embed_prompts
from tests.conftest import TEST_IMAGES
from tests.fixtures.folder_jobs import SYNC, items, rows, run, sql
from tests.fixtures.http_jobs import done, ended, send, send_archive, working, zipped

COLLECTION = "/api/v1/collections/default"
SETS = f"{COLLECTION}/label-sets"
REVIEW = f"{COLLECTION}/review"
ANIMALS = {
    "labels": [{"name": "animal", "phrases": ["a cat", "a dog"]}, {"name": "tree"}],
    "gate_labels": ["animal"],
}


def data(name: str) -> bytes:
    return (TEST_IMAGES / name).read_bytes()


@pytest.fixture
def empty(client: TestClient, services: Services) -> Iterator[None]:
    """No pictures and no label sets, neither before nor after."""
    yield
    for one in client.get(SETS).json()["data"]:
        client.delete(f"{SETS}/{one['name']}")
    held = [one["id"] for one in client.get(REVIEW, params={"limit": 100}).json()["data"]]
    if held:
        client.post(REVIEW, json={"ids": held, "decision": "reject"})
    if ids := [one for (one,) in sql(services, "SELECT id FROM images WHERE removed_at IS NULL")]:
        client.post(f"{COLLECTION}/images/delete", json={"ids": ids})
    sql(services, "DELETE FROM skipped_files")


def put(client: TestClient, gate: str, **more: Any) -> None:
    answer = client.put(f"{SETS}/pets", json={**ANIMALS, "gate": gate, **more})
    assert answer.is_success, answer.text


def upload(client: TestClient, name: str, **fields: str) -> Any:
    return client.post("/upload", files={"file": (name, data(name))}, data=fields)


def files_of(settings: Settings) -> set[Path]:
    """Uploads, also those that wait to be read, and thumbnails."""
    folders = (settings.test_upload_dir, settings.thumbnail_dir)
    return {path for one in folders for path in Path(one).rglob("*") if path.is_file()}


def held(client: TestClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(REVIEW).json()["data"]
    return found


@pytest.mark.usefixtures("empty")
def test_an_upload_is_refused_before_any_job_has_run(
    client: TestClient, services: Services, settings: Settings
) -> None:
    """Issue 17: 422 with the label and its probability, and nothing stored."""
    before = files_of(settings)
    put(client, "refuse")
    for path, field in (("/upload", "file"), (f"{COLLECTION}/images", "file")):
        answer = client.post(path, files={field: ("cat.jpg", data("cat.jpg"))})
        assert answer.status_code == 422, answer.text
        problem = answer.json()
        assert problem["code"] == "gate_refused"
        assert "It shows 'animal' with a probability of 0.8" in problem["detail"]
        assert "'pets'" in problem["detail"]
    assert sql(services, "SELECT 1 FROM images") == []
    assert files_of(settings) == before
    both = [("file", (name, data(name))) for name in ("cat.jpg", "green-tree.jpg", "cat.jpg")]
    mixed = client.post("/upload", files=both)
    assert mixed.status_code == 207
    assert [one["status"] for one in mixed.json()] == ["refused", "stored", "refused"]
    named = client.put(
        f"{COLLECTION}/images/by-external-id/a", files={"file": ("dog.jpg", data("dog.jpg"))}
    )
    assert (named.status_code, named.json()["code"]) == (422, "gate_refused")
    assert len(files_of(settings)) == len(before) + 1


@pytest.mark.usefixtures("empty")
def test_files_and_entries_of_archives_are_refused_in_jobs(
    client: TestClient, services: Services, settings: Settings
) -> None:
    before = files_of(settings)
    put(client, "refuse")
    with working(services):
        pair = {name: data(name) for name in ("cat.jpg", "green-tree.jpg")}
        for sent in (send(client, *pair.items()), send_archive(client, zipped(pair))):
            job = done(client, sent)
            assert (job["failed"], job["added"] + job["duplicate"]) == (1, 1)
            entries = client.get(f"{sent.json()['url']}/items").json()["data"]
            (refused,) = (one for one in entries if one["status"] == "failed")
            assert refused["code"] == "gate_refused"
            assert "It shows 'animal'" in refused["reason"]
    assert len(sql(services, "SELECT 1 FROM images")) == 1
    assert len(files_of(settings)) == len(before) + 1


@pytest.mark.usefixtures("empty")
def test_files_of_folders_are_refused_until_the_gate_opens(
    client: TestClient, services: Services, settings: Settings
) -> None:
    folder = Path(settings.source_dir)
    folder.mkdir(exist_ok=True)
    for name in ("cat.jpg", "green-tree.jpg"):
        (folder / name).write_bytes(data(name))
    put(client, "refuse")
    with working(services):
        job = run(services, folder, SYNC)
        assert (job.added, job.failed) == (1, 1)
        assert "It shows 'animal'" in (items(services, job)["cat.jpg"].reason or "")
        assert set(rows(services)) == {"green-tree.jpg"}
        assert (folder / "cat.jpg").exists()
        (folder / "green-tree.jpg").write_bytes(data("dog.jpg"))
        assert run(services, folder, SYNC).failed == 2
        assert rows(services) == {}  # it shows something else now
        client.delete(f"{SETS}/pets")
        assert run(services, folder, SYNC).added == 2
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.usefixtures("empty")
def test_a_flagged_upload_waits_and_is_approved(client: TestClient, services: Services) -> None:
    put(client, "flag")
    answer = upload(client, "cat.jpg", caption="grey")
    assert answer.status_code == 201, answer.text
    (sent,) = answer.json()
    assert sent["status"] == "held"
    assert "Held for review: it shows 'animal'" in sent["reason"]
    again = upload(client, "cat.jpg").json()[0]
    assert (again["id"], again["status"]) == (sent["id"], "held")
    (waiting,) = held(client)
    assert (waiting["id"], waiting["label_set"], waiting["label"]) == (sent["id"], "pets", "animal")
    assert 0.8 < waiting["probability"] < 1
    assert waiting["caption"] == "grey"
    shown = client.get(waiting["thumbnail_url"])
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/webp")
    assert shown.headers["cache-control"] == "private, no-store"
    assert client.get(f"/api/v1/images/{sent['id']}").status_code == 404
    restored = client.post(f"{COLLECTION}/images/restore", json={"ids": [sent["id"]]})
    assert restored.json()["restored"] == 0
    decided = client.post(f"{REVIEW}/{sent['id']}", json={"decision": "approve"})
    assert decided.json() == {"decided": 1, "ids": [sent["id"]]}
    assert held(client) == []
    assert client.get(f"/api/v1/images/{sent['id']}").json()["caption"] == "grey"
    assert upload(client, "cat.jpg").json()[0]["status"] == "duplicate"
    gone = client.post(f"{REVIEW}/{sent['id']}", json={"decision": "reject"})
    assert gone.status_code == 404
    assert client.get(f"{REVIEW}/{sent['id']}/thumbnail").status_code == 404


@pytest.mark.usefixtures("empty")
def test_a_rejected_upload_leaves_nothing(
    client: TestClient, services: Services, settings: Settings
) -> None:
    before = files_of(settings)
    put(client, "flag")
    ids = [upload(client, name).json()[0]["id"] for name in ("cat.jpg", "dog.jpg")]
    client.get(held(client)[0]["thumbnail_url"])
    page = client.get(REVIEW, params={"limit": 1}).json()
    assert (page["total"], [one["id"] for one in page["data"]]) == (2, ids[:1])
    after = client.get(REVIEW, params={"limit": 1, "cursor": page["next_cursor"]}).json()
    assert ([one["id"] for one in after["data"]], after["next_cursor"]) == (ids[1:], None)
    decided = client.post(REVIEW, json={"ids": [*ids, 10**9], "decision": "reject"})
    assert decided.json() == {"decided": 2, "ids": ids}
    assert sql(services, "SELECT 1 FROM images") == []
    assert files_of(settings) == before


@pytest.mark.usefixtures("empty")
def test_an_external_id_is_given_once_the_picture_is_approved(client: TestClient) -> None:
    place = f"{COLLECTION}/images/by-external-id/sku"
    first = client.put(place, files={"file": ("t.jpg", data("green-tree.jpg"))})
    assert first.status_code == 201
    put(client, "flag")
    second = client.put(place, files={"file": ("cat.jpg", data("cat.jpg"))})
    assert second.status_code == 202, second.text
    assert client.get(second.headers["location"]).status_code == 404
    assert client.get(place).json()["id"] == first.json()["id"]
    client.post(f"{REVIEW}/{second.json()['id']}", json={"decision": "approve"})
    assert client.get(place).json()["id"] == second.json()["id"]
    assert client.get(f"/api/v1/images/{first.json()['id']}").status_code == 404


@pytest.mark.usefixtures("empty")
def test_files_of_folders_are_held_and_neither_added_again_nor_forgotten(
    client: TestClient, services: Services, settings: Settings
) -> None:
    folder = Path(settings.source_dir)
    folder.mkdir(exist_ok=True)
    for name in ("cat.jpg", "dog.jpg"):
        (folder / name).write_bytes(data(name))
    put(client, "flag")
    with working(services):
        job = run(services, folder, SYNC)
        assert job.added == 2
        held_item = items(services, job)["cat.jpg"]
        assert "Held for review" in (held_item.reason or "")
        assert held_item.code == HELD
        assert run(services, folder, SYNC).added == 0
        (folder / "cat.jpg").rename(folder / "moved.jpg")
        assert run(services, folder, SYNC).added == 0
        ids = {Path(one["path"]).name: one["id"] for one in held(client)}
        client.post(f"{REVIEW}/{ids['cat.jpg']}", json={"decision": "approve"})
        client.post(f"{REVIEW}/{ids['dog.jpg']}", json={"decision": "reject"})
        moved = run(services, folder, SYNC)
        assert (moved.moved, moved.added) == (1, 0)
        assert rows(services) == {"moved.jpg": ids["cat.jpg"]}
        (folder / "moved.jpg").write_bytes(data("dog.jpg"))  # what was approved is there no more
        assert run(services, folder, SYNC).changed == 1
    assert [one["id"] for one in held(client)] == [ids["cat.jpg"]]
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.usefixtures("empty")
def test_what_is_there_already_is_flagged_only_if_asked(
    client: TestClient, services: Services
) -> None:
    ids = {
        name: upload(client, name).json()[0]["id"]
        for name in ("cat.jpg", "dog.jpg", "green-tree.jpg")
    }
    pets = sorted([ids["cat.jpg"], ids["dog.jpg"]])
    client.put(f"{SETS}/plain", json={"labels": ["a"]})
    assert client.post(f"{SETS}/plain/flag").status_code == 422
    with working(services):
        answer = client.put(f"{SETS}/pets", json={**ANIMALS, "gate": "refuse"})
        ended(client, f"/api/v1/jobs/{answer.json()['job_id']}")
    assert held(client) == []
    dry = client.post(f"{SETS}/pets/flag", params={"dry_run": True}).json()
    assert dry == {"flagged": 2, "ids": pets, "has_more": False}
    assert held(client) == []
    assert client.post(f"{SETS}/pets/flag").json() == dry
    assert [one["id"] for one in held(client)] == pets
    client.post(f"{REVIEW}/{ids['cat.jpg']}", json={"decision": "approve"})
    assert client.post(f"{SETS}/pets/flag").json()["flagged"] == 0


@pytest.mark.usefixtures("empty")
def test_a_gate_that_is_changed_again_and_again_lets_nothing_in(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, "flag")

    def changed_meanwhile(*how: Any) -> None:
        embed_prompts(*how)
        sql(services, "UPDATE label_sets SET revision = revision + 1, fingerprint = NULL")

    monkeypatch.setattr(admission, "embed_prompts", changed_meanwhile)
    answer = upload(client, "green-tree.jpg")
    assert (answer.status_code, answer.json()["code"]) == (503, "gate_unready")
    assert sql(services, "SELECT 1 FROM images") == []


def test_bad_gates_are_refused(client: TestClient) -> None:
    for body, told in (
        ({"labels": ["a"], "gate": "close"}, "gate"),
        ({"labels": ["a"], "gate_labels": ["a"]}, "send gate too"),
        ({"labels": ["a"], "gate": "flag", "gate_labels": ["b"]}, "no label 'b'"),
        ({"labels": ["a"], "gate": "flag", "gate_labels": []}, "gate_labels"),
    ):
        answer = client.put(f"{SETS}/bad", json=body)
        assert answer.status_code == 422, answer.text
        assert told in answer.json()["detail"]
