"""Collections keep to themselves: pictures, files, answers, jobs, and what the doctor mends."""

import time
from collections.abc import Iterator
from os import utime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.runtime.doctor.findings import YOUNG_SECONDS
from app.runtime.services import Services
from app.settings import ROOT
from tests.fixtures import folder_jobs
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import sql
from tests.fixtures.http_jobs import IMAGES, counts, done

COLLECTIONS = "/api/v1/collections"
SEARCH = "/api/v1/search"
BOTH = ("first", "second")
FIELDS = {"fields": {"place": "text"}}

pytestmark = pytest.mark.usefixtures("worker", "both")


@pytest.fixture
def both(client: TestClient) -> Iterator[None]:
    """Two collections; afterwards nothing but the empty default one is left."""
    for name in BOTH:
        assert client.post(COLLECTIONS, json={"name": name, **FIELDS}).status_code == 201
    yield
    for name in BOTH:
        assert client.delete(f"{COLLECTIONS}/{name}").status_code == 204
    for one in listed(client, "default"):
        client.delete(f"/images/{one['id']}")


def send(client: TestClient, name: str, *seeds: int, place: str = "here") -> dict[str, int]:
    """The counts of a job that takes these pictures in."""
    files = [("files", (f"{seed}.png", png(seed))) for seed in seeds]
    told = {"metadata": f'{{"place": "{place}"}}'}
    answer = client.post(IMAGES, files=files, data=told, params={"collection": name})
    return counts(done(client, answer))


def listed(client: TestClient, name: str) -> list[dict[str, Any]]:
    answer = client.get(f"{COLLECTIONS}/{name}/images", params={"limit": 100})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    assert answer.json()["total"] == len(found)
    return [client.get(f"/images/{one['id']}").json() for one in found]  # with paths of uploads


def search(client: TestClient, name: str, **asked: object) -> dict[str, Any]:
    answer = client.post(SEARCH, json={"collection": name, **asked})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(hits: list[dict[str, Any]]) -> set[int]:
    return {hit["id"] for hit in hits}


def test_the_same_file_in_three_collections_is_three_pictures(client: TestClient) -> None:
    upload = client.post("/upload", files={"file": ("1.png", png(1))})
    assert upload.status_code == 201
    for name in BOTH:
        assert send(client, name, 1) == {"total": 1, "added": 1}
        assert send(client, name, 1) == {"total": 1, "duplicate": 1}
    pictures = [listed(client, name)[0] for name in ("default", *BOTH)]
    assert len({one["id"] for one in pictures}) == len({one["path"] for one in pictures}) == 3
    for one in pictures:
        assert client.get(one["thumbnail_url"]).status_code == 200
    assert client.delete(f"/images/{pictures[1]['id']}").status_code == 204
    assert not (ROOT / pictures[1]["path"]).exists()
    for one in (pictures[0], pictures[2]):
        assert client.get(one["url"]).content == png(1)
        assert client.get(one["thumbnail_url"]).status_code == 200
    assert listed(client, "first") == []
    assert search(client, "first", query="x")["hits"] == []
    (hit,) = search(client, "second", query="x")["hits"]
    assert hit["id"] == pictures[2]["id"]
    assert send(client, "first", 1) == {"total": 1, "added": 1}


def test_no_answer_shows_a_picture_of_another_collection(client: TestClient) -> None:
    send(client, "first", *range(10, 16), place="Lisbon")
    send(client, "second", *range(12, 20), place="Rome")
    client.post("/upload", files={"file": ("12.png", png(12))})
    own = {name: ids(listed(client, name)) for name in ("default", *BOTH)}
    assert [len(found) for found in own.values()] == [1, 6, 8]
    for name, place, others in (("first", "Lisbon", 6), ("second", "Rome", 8)):
        for how in ({}, {"exact": True}, {"mode": "hybrid"}, {"group_by": "duplicates"}):
            answer = search(client, name, query="png", limit=50, **how)
            assert ids(answer["hits"]) == own[name], how
        words = search(client, name, query="png Lisbon", mode="lexical", limit=50)
        assert ids(words["hits"]) == (own[name] if name == "first" else set())
        facets = search(client, name, facets=["place"])["facets"]
        assert facets == {"place": [{"value": place, "count": others}]}
        one = min(own[name])
        similar = client.get(f"/api/v1/images/{one}/similar", params={"limit": 50}).json()
        assert ids(similar["hits"]) == own[name] - {one}
        for kind in ("exact", "perceptual", "semantic"):
            query = {"collection": name, "kind": kind}
            groups = client.get("/api/v1/duplicates", params=query).json()["data"]
            assert {p["id"] for group in groups for p in group["images"]} <= own[name]
    flat = client.get("/search-by-text", params={"query": "x", "limit": 50}).json()
    assert ids(flat) == own["default"]
    stranger = {"collection": "first", "query": [{"id": min(own["second"])}]}
    refused = client.post(SEARCH, json=stranger)
    assert refused.status_code == 422
    assert "this collection has no picture" in refused.json()["detail"]


def test_a_folder_is_synced_into_each_collection_by_itself(
    client: TestClient, services: Services, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    for seed in range(3):
        (tmp_path / f"{seed}.png").write_bytes(png(seed))
    for name in BOTH:
        assert sync(services, name, tmp_path) == {"added": 3}
    (tmp_path / "0.png").unlink()
    (tmp_path / "1.png").rename(tmp_path / "sub" / "1.png")
    (tmp_path / "9.png").write_bytes(png(9))
    changes = {"added": 1, "moved": 1, "removed": 1, "unchanged": 1}
    before = ids(listed(client, "second"))
    assert sync(services, "first", tmp_path) == changes
    assert ids(listed(client, "second")) == before
    assert sync(services, "second", tmp_path) == changes
    for name in BOTH:
        paths = {Path(one["path"]).name for one in listed(client, name)}
        assert paths == {"1.png", "2.png", "9.png"}
    assert client.delete(f"{COLLECTIONS}/first").status_code == 204
    assert len(list(tmp_path.rglob("*.png"))) == 3  # a person's own
    assert len(listed(client, "second")) == 3
    client.post(COLLECTIONS, json={"name": "first"})


def sync(services: Services, name: str, folder: Path) -> dict[str, int]:
    job_submission = services.registry.open("default", name).job_submission
    return folder_jobs.counts(
        job_submission.follow(job_submission.folder(folder, folder_jobs.SYNC))
    )


# --- The doctor


def look(services: Services) -> dict[str, list[str]]:
    found = {one.name: list(one.found) for one in services.doctor.examine().findings}
    return {name: examples for name, examples in found.items() if examples}


def mend(services: Services) -> None:
    for finding in services.doctor.examine().findings:
        if finding.found:
            finding.mend()
    assert look(services) == {}


def age(path: Path) -> Path:
    old = time.time() - YOUNG_SECONDS - 60
    utime(path, (old, old))
    return path


@pytest.fixture
def second(client: TestClient, services: Services) -> list[Path]:
    """The files of three pictures in the second collection; the first has the same ones."""
    for name in BOTH:
        send(client, name, 1, 2, 3)
    for path in services.registry.open("default", "second").uploads.disk.files():
        age(path)
    assert look(services) == {}
    return [ROOT / one["path"] for one in listed(client, "second")]


def test_a_vector_that_the_second_lacks_is_made(
    client: TestClient, services: Services, second: list[Path]
) -> None:
    image_id = max(ids(listed(client, "second")))
    sql(services, "DELETE FROM embeddings WHERE image_id = :id", id=image_id)
    assert list(look(services)) == ["pictures without vector"]
    mend(services)
    (hit,) = search(client, "second", query=[{"id": image_id}], limit=1)["hits"]
    assert (hit["id"], hit["distance"]) == (image_id, pytest.approx(0, abs=1e-3))


def test_a_stray_file_of_the_second_or_of_a_deleted_one_is_removed(
    services: Services, second: list[Path]
) -> None:
    disk = services.registry.open("default", "second").uploads.disk
    strays = [age(disk.put(f"{'ab' * 32}.png", b"x"))]
    gone = disk.folder.with_name("collection-999") / "cd"
    gone.mkdir(parents=True)
    (gone / f"{'cd' * 32}.png").write_bytes(b"x")
    strays.append(age(gone / f"{'cd' * 32}.png"))
    assert sorted(look(services)["files without row"]) == sorted(map(str, strays))
    mend(services)
    assert not any(path.exists() for path in strays)
    assert all(path.exists() for path in second)


def test_a_lost_file_of_the_second_is_forgotten_there_alone(
    client: TestClient, services: Services, second: list[Path]
) -> None:
    second[0].unlink()
    assert len(look(services)["rows without file"]) == 1
    mend(services)
    assert [len(listed(client, name)) for name in BOTH] == [3, 2]


def test_nothing_is_forgotten_while_the_second_s_disk_is_away(
    client: TestClient, services: Services, second: list[Path]
) -> None:
    folder = second[0].parents[1]
    folder.rename(folder.with_name("away"))
    for finding in services.doctor.examine().findings:
        finding.mend()
    assert [len(listed(client, name)) for name in BOTH] == [3, 3]
    folder.with_name("away").rename(folder)
    assert look(services) == {}


def test_a_graph_that_the_second_lacks_is_built(services: Services, second: list[Path]) -> None:
    index = services.registry.find("default", "second").index
    sql(services, f"DROP INDEX {index.partition}_hnsw_idx")
    assert look(services) == {"invalid indexes": [f"{index.partition}: no HNSW graph"]}
    mend(services)
