"""Regions of pictures: small things are found with their boxes, whatever else happens meanwhile."""

import io
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.ingest.jobs.jobs import Job
from app.pictures.crops import crop
from app.runtime.reindexing.changes import Changes
from app.runtime.services import Services
from app.settings import Settings
from tests.conftest import TEST_IMAGES
from tests.fixtures.drawn_pictures import encoded
from tests.fixtures.folder_jobs import run, sql
from tests.fixtures.http_jobs import working
from tests.fixtures.scenes_with_small_things import scene
from tests.fixtures.search_library import answer, asked, refused, shown_ids

DEFAULT = "/api/v1/collections/default"
BOX = (0.5, 0.0, 0.5, 0.5)  # of the grid: where the small things are
ZEBRA = "zebra-above-tree.png"
SCENES = {
    ZEBRA: ("green-tree.jpg", "zebra.jpg"),
    "apple-beside-cat.png": ("cat.jpg", "red-apple.jpg"),
    "car-beside-banana.png": ("banana.jpg", "red-car.png"),
}
OTHERS = ("sun.webp", "potted-plant.jpg", "ambulance.jpg", "taxi.jpg", "golf-flag.webp")


@pytest.fixture(scope="module")
def folder(settings: Settings, services: Services) -> Path:
    """The service's folder with pictures that are indexed, and their regions too."""
    folder = Path(settings.source_dir)
    folder.mkdir()
    for name, (main, small) in SCENES.items():
        (folder / name).write_bytes(scene(main, small))
    for name in OTHERS:
        (folder / name).write_bytes((TEST_IMAGES / name).read_bytes())
    with working(services):
        run(services, folder)
        choose(services, "grid")
        job = follow(services)
        assert (job.state, job.total, job.failed) == ("succeeded", 8, 0)
    return folder


def choose(services: Services, kind: Any) -> None:
    services.annotators.choose_regions(services.registry.default, kind)


def follow(services: Services) -> Job:
    (found,) = services.annotators.listed(services.registry.default)
    assert found.turned_on.job_id is not None
    return services.job_submission.follow(found.turned_on.job_id)


def hit_of(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(dict(hit) for hit in found["hits"] if hit["path"].endswith(name))


def region_counts(services: Services) -> dict[str, int]:
    query = (
        "SELECT path, count(box) FROM embeddings JOIN images ON id = image_id "
        "WHERE index_id = (SELECT id FROM vector_indexes WHERE state = 'active') GROUP BY path"
    )
    return {Path(path).name: count for path, count in sql(services, query)}


def part(name: str) -> dict[str, Any]:
    """A term: the part of a scene that shows its small thing, as a picture of its own."""
    return term_of(scene(*SCENES[name]))


def term_of(picture: bytes) -> dict[str, Any]:
    """The same of any picture."""
    with Image.open(io.BytesIO(picture)) as opened:
        data = encoded(crop(opened, BOX), "PNG")
    return {"image": b64encode(data).decode()}


@pytest.mark.parametrize("how", [{}, {"exact": True}, {"hybrid": {"alpha": 0.9}, "limit": 3}])
def test_a_part_of_a_picture_is_found_with_its_box(
    client: TestClient, folder: Path, how: dict[str, Any]
) -> None:
    terms = [part(ZEBRA), {"text": "zebra", "weight": 0.01}]
    found = answer(client, query=terms, explain=True, **how)
    best = found["hits"][0]
    assert best["path"].endswith(ZEBRA)
    assert best["box"] == pytest.approx(BOX)
    assert best["distance"] == pytest.approx(0, abs=0.01)
    assert best["vector_rank"] == 1
    cosines = sum(term["adds"] for term in best["explain"]["terms"])
    assert cosines == pytest.approx(1 - best["distance"], abs=1e-3)
    ids = shown_ids([found["hits"]])
    assert len(set(ids)) == len(ids) == how.get("limit", 8)

    whole = answer(client, query=terms, regions=False, **how)
    assert all(hit["box"] is None for hit in whole["hits"])
    assert hit_of(whole, ZEBRA)["distance"] > 0.2


def test_a_query_may_be_a_part_of_a_stored_picture(client: TestClient, folder: Path) -> None:
    image_id = hit_of(answer(client, query="tree", limit=8), ZEBRA)["id"]
    found = answer(client, query=[{"id": image_id, "box": list(BOX)}])["hits"]
    sent = answer(client, query=[part(ZEBRA)])["hits"]
    assert [(hit["id"], hit["box"]) for hit in found] == [(hit["id"], hit["box"]) for hit in sent]
    assert found[0]["id"] == image_id
    for term, said in (
        ({"id": image_id, "box": [0.5, 0.5, 0.6, 0.2]}, "query[0].box: send [x, y, width, height]"),
        ({"id": image_id, "box": [0.5, 0.5, 0, 0.2]}, "query[0].box"),
        ({"id": image_id, "box": [0.5, 0.5, 2, 0.2]}, "send a number of at most 1"),
        ({"text": "tree", "box": list(BOX)}, "it needs id"),
        ({"id": 999, "box": list(BOX)}, "this collection has no picture 999"),
    ):
        assert said in json.dumps(asked(client, query=[term]).json()), term


def test_new_and_changed_pictures_get_regions_and_deleted_ones_lose_them(
    client: TestClient, services: Services, folder: Path
) -> None:
    (folder / "late.png").write_bytes(scene("sun.webp", "zebra.jpg"))
    (folder / "flat.png").write_bytes(encoded(Image.new("RGB", (300, 200), (120, 130, 140)), "PNG"))
    (folder / "lost.png").write_bytes(scene("taxi.jpg", "banana.jpg"))
    with working(services):
        run(services, folder)
        assert answer(client, query=[part(ZEBRA)], limit=50)["collection_size"] == 11
        (folder / "lost.png").rename(folder / "lost.away")
        services.annotators.look_at_new()
        follow(services)
        counted = region_counts(services)
        assert (counted["late.png"], counted["flat.png"]) == (13, 0)
        (found,) = client.get(f"{DEFAULT}/annotators").json()["data"]
        assert found["name"] == "grid"
        assert found["read"] + found["skipped"] + found["failed"] == 11
        assert (found["skipped"], found["waiting"]) == (1, 0)

        late = hit_of(answer(client, query=[part(ZEBRA)], limit=50), "late.png")
        assert late["box"] == pytest.approx(BOX)
        changed = scene("cat.jpg", "ambulance.jpg")
        (folder / "late.png").write_bytes(changed)
        run(services, folder)
        services.annotators.look_at_new()
        follow(services)
    now = hit_of(answer(client, query=[term_of(changed)], limit=50), "late.png")
    assert now["box"] == pytest.approx(BOX)
    assert now["distance"] == pytest.approx(0, abs=0.01)
    found = answer(client, query="x", limit=50)
    for name in ("late.png", "flat.png"):
        assert client.delete(f"/api/v1/images/{hit_of(found, name)['id']}").status_code == 204
    assert not {"late.png", "flat.png"} & region_counts(services).keys()


def test_regions_follow_a_new_generation_and_are_not_embedded_twice(
    client: TestClient, services: Services, folder: Path
) -> None:
    before = region_counts(services)
    known = services.registry.find_id(services.registry.default.collection.id)
    with working(services):
        job = services.reindexing.submit(known, Changes(storage="vector"))
        assert services.job_submission.follow(job).state == "succeeded"
        (built, _) = services.reindexing.listed(known)
        services.reindexing.activate(known, built.generation.index.id)
        assert region_counts(services) == before
        found = answer(client, query=[part(ZEBRA)])["hits"][0]
        assert found["box"] == pytest.approx(BOX)
        sql(services, "UPDATE embeddings SET changed = '3'::xid8 WHERE box IS NOT NULL")
        services.annotators.keep_current()
        assert follow(services).state == "succeeded"
        query = "SELECT count(*) FROM embeddings WHERE box IS NOT NULL AND changed <> '3'::xid8"
        assert sql(services, query)[0][0] == 0  # none was written again
        services.reindexing.roll_back(
            services.registry.find_id(services.registry.default.collection.id)
        )
    assert region_counts(services) == before


def test_a_generation_with_other_regions_brings_them_and_a_rollback_takes_them_back(
    client: TestClient, services: Services, folder: Path
) -> None:
    before = region_counts(services)
    wholes = dict.fromkeys(before, 0)
    services.annotators.keep_current()
    with working(services):
        assert follow(services).state == "succeeded"
        off = reindexed(client, services, {"regions": "off"})
        assert (off["regions"], off["missing"], off["vectors"]) == ("off", 0, len(before))
        assert region_counts(services) == before  # the active ones
        activate(client, off)
        assert client.get(DEFAULT).json()["regions"] == "off"
        assert region_counts(services) == wholes
        hit = hit_of(answer(client, query=[part(ZEBRA)], limit=50), ZEBRA)
        assert hit["box"] is None
        assert client.get(f"/api/v1/images/{hit['id']}/texts").json()["annotations"] == []

        assert client.post(f"{DEFAULT}/rollback").status_code == 200
        assert client.get(DEFAULT).json()["regions"] == "grid"
        assert region_counts(services) == before
        best = answer(client, query=[part(ZEBRA)])["hits"][0]
        assert (best["id"], best["box"]) == (hit["id"], pytest.approx(BOX))
        (listed,) = services.annotators.listed(services.registry.default)
        assert listed.coverage is not None
        assert listed.coverage.waiting == 0


def test_regions_of_a_new_generation_are_embedded_beside_one_that_has_none(
    client: TestClient, services: Services, folder: Path
) -> None:
    before = region_counts(services)
    unreadable = "sun.webp"
    with working(services):
        activate(client, reindexed(client, services, {"regions": "off"}))
        listed = client.get(f"{DEFAULT}/generations").json()["data"]
        retired = [one["id"] for one in listed if one["status"] == "retired"]
        assert "grid" in {one["regions"] for one in listed}  # from which they could be copied
        for former in retired:
            assert client.delete(f"{DEFAULT}/generations/{former}").status_code == 204
        (folder / unreadable).rename(folder / "sun.away")
        estimate = follow_job(client, services, {"regions": "grid", "dry_run": True})
        told = estimate["source"]["reindex"]["estimate"]
        assert (told["pictures"], told["embedded"]) == (len(before), len(before))
        assert estimate["failed"] == 1
        grid = reindexed(client, services, {"regions": "grid", "storage": "bit"})
        assert (grid["regions"], grid["storage"], grid["missing"]) == ("grid", "bit", 0)
        assert set(region_counts(services).values()) == {0}
        assert client.patch(DEFAULT, json={"regions": "off"}).status_code == 200
        activate(client, grid)
        (folder / "sun.away").rename(folder / unreadable)
        counted = region_counts(services)
        assert counted == {**before, unreadable: 0}  # it has the vector of the whole all the same
        (found,) = services.annotators.listed(services.registry.default)
        assert found.coverage is not None
        assert found.coverage.waiting == 1  # the others are noted
        services.annotators.keep_current()
        assert follow(services).total == 1
    assert region_counts(services) == before


def reindexed(client: TestClient, services: Services, changes: dict[str, Any]) -> dict[str, Any]:
    """The generation that a reindexing has built."""
    job = follow_job(client, services, changes)
    assert job["status"] == "succeeded"
    listed = client.get(f"{DEFAULT}/generations").json()["data"]
    return next(dict(one) for one in listed if one["job_id"] == job["id"])


def follow_job(client: TestClient, services: Services, changes: dict[str, Any]) -> dict[str, Any]:
    accepted = client.post(f"{DEFAULT}/reindex", json=changes)
    assert accepted.status_code == 202, accepted.text
    job_id = accepted.json()["job_id"]
    services.job_submission.follow(job_id)
    return dict(client.get(f"/api/v1/jobs/{job_id}").json())


def activate(client: TestClient, generation: dict[str, Any]) -> None:
    activated = client.post(f"{DEFAULT}/generations/{generation['id']}/activate")
    assert activated.status_code == 200, activated.text


def test_regions_that_change_nothing_or_cannot_be_found_are_refused(
    client: TestClient, folder: Path
) -> None:
    for kind, said in (("grid", "nothing would change"), ("detector", "no detector is set")):
        assert said in refused(client.post(f"{DEFAULT}/reindex", json={"regions": kind}))


def test_a_picture_that_is_moved_leaves_its_regions_and_gets_them_again(
    client: TestClient, services: Services, folder: Path
) -> None:
    assert client.post("/api/v1/collections", json={"name": "other"}).status_code == 201
    image_id = hit_of(answer(client, query=[part(ZEBRA)]), ZEBRA)["id"]
    left = "SELECT count(*) FROM embeddings WHERE image_id = :id AND box IS NOT NULL"
    for source, target in (("default", "other"), ("other", "default")):
        body = {"ids": [image_id], "collection": target}
        moved = client.post(f"/api/v1/collections/{source}/images/move", json=body).json()
        assert moved["moved"] == 1
        assert sql(services, left, id=image_id) == [(0,)]
        (hit,) = answer(client, query=[part(ZEBRA)], collection=target, limit=1)["hits"]
        assert hit["box"] is None or target == "default"
    services.annotators.keep_current()
    with working(services):
        assert follow(services).state == "succeeded"
    best = answer(client, query=[part(ZEBRA)])["hits"][0]
    assert (best["id"], best["box"]) == (image_id, pytest.approx(BOX))


def test_without_regions_all_of_their_vectors_are_gone(
    client: TestClient, services: Services, folder: Path
) -> None:
    changed = client.patch(DEFAULT, json={"regions": "off"}).json()
    assert (changed["regions"], changed["annotators"]) == ("off", [])
    assert sql(services, "SELECT count(*) FROM embeddings WHERE box IS NOT NULL")[0][0] == 0
    assert sql(services, "SELECT count(*) FROM image_annotations")[0][0] == 0
    hits = answer(client, query=[part(ZEBRA)])["hits"]
    assert all(hit["box"] is None for hit in hits)
    said = refused(client.patch(DEFAULT, json={"regions": "detector"}))
    assert "no detector is set" in said
