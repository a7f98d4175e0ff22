"""External ids and versions of records (issue 19, item 8)."""

from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from app.ingest.jobs.job_submission import JobOptions
from app.runtime.services import Services
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import run
from tests.fixtures.search_library import refused

PLACE = "/api/v1/collections/default/images/by-external-id"


def put(client: TestClient, external_id: str, seed: int, **form: str) -> Any:
    files = {"file": ("a.png", png(seed))}
    return client.put(f"{PLACE}/{quote(external_id)}", files=files, data=form)


@pytest.mark.parametrize("external_id", ["sku-1", "a/b c/ü%", "海边?#"])
def test_a_picture_is_stored_found_and_deleted_by_its_external_id(
    client: TestClient, external_id: str
) -> None:
    seed = sum(external_id.encode())
    made = put(client, external_id, seed, caption="a pier", metadata='{"price": 5}')
    assert made.status_code == 201, made.text
    record = made.json()
    assert (record["external_id"], record["caption"]) == (external_id, "a pier")
    place = f"{PLACE}/{quote(external_id, safe='')}"
    assert client.get(place).json() == record
    assert client.get(place).headers["etag"] == made.headers["etag"]
    again = put(client, external_id, seed)
    assert (again.status_code, again.json()) == (200, record)
    for body in ({"query": "a pier"}, {}):
        found = client.post(
            "/api/v1/search", json={**body, "filter": {"external_id": external_id}}
        ).json()["hits"]
        assert [(hit["id"], hit["external_id"]) for hit in found] == [(record["id"], external_id)]
    assert client.delete(place).status_code == 204
    assert "no picture with external_id" in refused(client.get(place), 404)
    assert client.get(f"/images/{record['id']}").status_code == 404
    assert put(client, external_id, seed).status_code == 201  # free again


def test_another_file_takes_its_place_and_keeps_what_was_said(client: TestClient) -> None:
    old = put(client, "replaced", 50, caption="a pier", metadata='{"price": 5, "old": 1}').json()
    new = put(client, "replaced", 51, metadata='{"price": 6}')
    assert new.status_code == 200
    record = new.json()
    assert record["content_hash"] != old["content_hash"]
    assert (record["caption"], record["metadata"]) == ("a pier", {"price": 6, "old": 1})
    assert client.get(f"/images/{old['id']}").status_code == 404
    assert client.get(f"{PLACE}/replaced").json()["id"] == record["id"]


def test_an_upload_may_name_one(client: TestClient) -> None:
    """A trial of issue 19: an upload that replaced another was "stored", without its id."""
    files = [("file", ("a.png", png(60))), ("file", ("b.png", png(61)))]
    sent = client.post("/upload", files=files[:1], data={"external_id": "flat"})
    assert sent.status_code == 201
    assert client.get(f"{PLACE}/flat").json()["id"] == sent.json()[0]["id"]
    again = client.post("/upload", files=files[1:], data={"external_id": "flat"})
    assert (again.status_code, again.json()[0]["status"]) == (200, "replaced")
    assert client.get(f"/images/{sent.json()[0]['id']}").status_code == 404
    data = {"external_id": "flat", "caption": "third"}
    path = "/api/v1/collections/default/images"
    third = client.post(path, files={"file": ("c.png", png(62))}, data=data)
    (told,) = third.json()["data"]
    assert (third.status_code, told["status"]) == (200, "replaced")
    assert (told["image"]["external_id"], told["image"]["caption"]) == ("flat", "third")
    two = client.post("/upload", files=files, data={"external_id": "flat"})
    assert "send each file on its own" in refused(two, 422)
    long = client.post("/upload", files=files[:1], data={"external_id": "x" * 201})
    assert "external_id" in refused(long, 422)


def test_it_is_unique_in_a_collection(client: TestClient) -> None:
    first, second = put(client, "one", 70).json(), put(client, "two", 71).json()
    taken = client.patch(f"/api/v1/images/{second['id']}", json={"external_id": "one"})
    assert f"Picture {first['id']} already has" in refused(taken, 409)
    assert taken.json()["code"] == "external_id_taken"
    same_bytes = put(client, "three", 70)
    assert "with the external_id 'one'" in refused(same_bytes, 409)
    assert client.post("/api/v1/collections", json={"name": "other"}).status_code == 201
    elsewhere = PLACE.replace("default", "other")
    made = client.put(f"{elsewhere}/one", files={"file": ("a.png", png(72))})
    assert made.status_code == 201
    for image_id, status in ((first["id"], "duplicate"), (second["id"], "moved")):
        body = {"ids": [image_id], "collection": "other"}
        moved = client.post("/api/v1/collections/default/images/move", json=body).json()
        assert moved["results"] == [{"id": image_id, "status": status}]
    back = client.post(
        "/api/v1/collections/other/images/move",
        json={"ids": [second["id"]], "collection": "default"},
    )
    assert back.json()["moved"] == 1
    gone = client.patch(f"/api/v1/images/{first['id']}", json={"external_id": None})
    assert gone.json()["external_id"] is None
    assert client.get(f"{PLACE}/one").status_code == 404
    named = client.patch(f"/api/v1/images/{second['id']}", json={"external_id": "one"})
    assert named.json()["external_id"] == "one"


def test_a_picture_of_a_folder_keeps_it_when_it_changes(
    client: TestClient, services: Services, worker: None, tmp_path: Any
) -> None:
    mine = tmp_path / "mine.png"
    mine.write_bytes(png(80))
    run(services, tmp_path)
    (hit,) = client.post("/search-by-image?limit=1", content=png(80)).json()
    client.patch(f"/api/v1/images/{hit['id']}", json={"external_id": "folder"})
    mine.write_bytes(png(81))
    run(services, tmp_path, JobOptions(sync=True))
    record = client.get(f"{PLACE}/folder").json()
    assert (record["id"], record["bytes"]) == (hit["id"], len(png(81)))
    assert put(client, "folder", 82).json()["id"] != hit["id"]
    assert client.get(f"/images/{hit['id']}").json()["external_id"] is None


def test_a_change_of_another_version_is_refused(client: TestClient) -> None:
    """Two people edit the same picture: the second would undo what the first wrote."""
    path = f"/api/v1/images/{put(client, 'edited', 90).json()['id']}"
    read = client.get(path.removeprefix("/api/v1")).headers["etag"]
    first = client.patch(path, json={"caption": "mine"}, headers={"if-match": read})
    assert first.status_code == 200
    second = client.patch(path, json={"caption": "theirs"}, headers={"if-match": f'"x", {read}'})
    assert "changed since" in refused(second, 412)
    assert second.json()["code"] == "image_changed"
    weak = client.patch(
        path, json={"caption": "x"}, headers={"if-match": f"W/{first.headers['etag']}"}
    )
    assert weak.status_code == 412
    for expected in (first.headers["etag"], "*"):
        answer = client.patch(path, json={"metadata": {"a": 1}}, headers={"if-match": expected})
        assert (answer.status_code, answer.json()["caption"]) == (200, "mine")
