"""All pages of documents and frames of animations, where a collection says so (issue 16)."""

import io
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.ingest.jobs.job_submission import JobOptions
from app.pictures.frames import MAX_PAGES
from app.runtime.services import Services
from tests.fixtures.drawn_pictures import encoded, noise, png
from tests.fixtures.folder_jobs import counts, run, sql
from tests.fixtures.http_jobs import done, send
from tests.fixtures.tiff_files import Directory, Value
from tests.fixtures.tiff_files import tiff as made

pytestmark = pytest.mark.usefixtures("worker")
DEFAULT = "/api/v1/collections/default"


def pages(kind: str, *seeds: int) -> bytes:
    """A file with a page for each of these seeds of `noise`."""
    first, *more = map(noise, seeds)
    options = {"compression": "tiff_lzw"} if kind == "TIFF" else {"lossless": True}
    return encoded(first, kind, save_all=True, append_images=more, **options)


@pytest.fixture
def all_pages(client: TestClient, services: Services) -> Iterator[None]:
    """The default collection indexes all pages during the test."""
    say(client, "all")
    yield
    say(client, "first")
    sql(services, "DELETE FROM images")


def say(client: TestClient, which: str) -> None:
    answer = client.patch(DEFAULT, json={"pages": which})
    assert (answer.status_code, answer.json()["pages"]) == (200, which)


def picture_term(seed: int) -> dict[str, Any]:
    return {"image": b64encode(png(seed)).decode()}


def like(client: TestClient, seed: int, **how: Any) -> list[dict[str, Any]]:
    """The hits of a search with the picture of a seed."""
    body = {"query": [picture_term(seed)], "limit": 10, **how}
    answer = client.post("/api/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    return [dict(hit) for hit in answer.json()["hits"]]


def regions(services: Services) -> dict[str, list[int]]:
    query = (
        "SELECT coalesce(origin, path), array_agg(region ORDER BY region) FROM embeddings "
        "JOIN images ON id = image_id WHERE removed_at IS NULL GROUP BY 1"
    )
    return {Path(name).name: found for name, found in sql(services, query)}


@pytest.mark.usefixtures("all_pages")
def test_each_page_is_found_named_and_seen(client: TestClient, services: Services) -> None:
    files = (("a.tif", pages("TIFF", 1, 2, 3)), ("b.webp", pages("WEBP", 4, 5)), ("c.png", png(6)))
    assert done(client, send(client, *files))["added"] == 3
    assert client.post("/upload", files={"file": ("d.tif", pages("TIFF", 7, 8))}).status_code == 201
    for seed, name, page in ((3, "a.tif", 3), (1, "a.tif", 1), (5, "b.webp", 2), (8, "d.tif", 2)):
        hits = like(client, seed)
        assert len({hit["id"] for hit in hits}) == len(hits) == 4  # each picture once
        best = hits[0]
        assert best["page"] == page, name
        assert best["distance"] == pytest.approx(0, abs=0.01)
        assert best["metadata"]["frames"] == (3 if name == "a.tif" else 2)
        small = Image.open(io.BytesIO(client.get(best["thumbnail_url"]).content)).convert("RGB")
        difference = np.asarray(small).astype(int) - np.asarray(noise(seed))
        assert np.abs(difference).mean() < 6  # WebP's loss
    assert [hit["page"] for hit in like(client, 6) if "frames" not in hit["metadata"]] == [None]
    assert f"{best['id']}/thumbnail?page=2" in best["thumbnail_url"]
    missing = client.get(f"/images/{best['id']}/thumbnail?page=3")
    assert (missing.status_code, missing.json()["code"]) == (404, "page_not_found")
    flat = client.post("/search-by-image?limit=4", files={"file": png(3)}).json()
    assert len({hit["id"] for hit in flat}) == 4


@pytest.mark.usefixtures("all_pages")
def test_pages_of_one_picture_take_one_place_on_every_page_of_hits(client: TestClient) -> None:
    files = [(f"{n}.tif", pages("TIFF", *range(10 * n, 10 * n + 4))) for n in range(1, 4)]
    done(client, send(client, *files))
    for how in ({}, {"mode": "hybrid"}, {"group_by": "copies"}, {"exact": True}):
        seen: list[int] = []
        terms = [picture_term(12), {"text": "red", "weight": 0.1}]
        body: dict[str, Any] = {"query": terms, "limit": 1, **how}
        while body:
            answer = client.post("/api/v1/search", json=body).json()
            seen += [hit["id"] for hit in answer["hits"]]
            assert all(hit["duplicates"] == [] for hit in answer["hits"])
            body = {"cursor": answer["next_cursor"]} if answer["next_cursor"] else {}
        assert len(seen) == len(set(seen)) == 3, how


def test_pages_of_pictures_that_are_there_come_by_rereading_or_the_doctor_and_go_at_once(
    client: TestClient, services: Services, tmp_path: Path
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a.tif").write_bytes(pages("TIFF", 21, 22))
    (folder / "b.png").write_bytes(png(23))
    run(services, folder)
    client.post("/upload", files={"file": ("sent.tif", pages("TIFF", 24, 25))})
    first = {"a.tif": [0], "b.png": [0], "sent.tif": [0]}
    assert regions(services) == first

    say(client, "all")
    assert counts(run(services, folder)) == {"unchanged": 2}
    assert counts(run(services, folder, JobOptions(reread=True))) == {"changed": 1, "unchanged": 1}
    assert regions(services) == {**first, "a.tif": [0, 1]}
    (finding,) = (
        one for one in services.doctor.examine().findings if one.name == "pictures without vector"
    )
    assert finding.mend() == len(finding.found) == 1
    assert regions(services) == {**first, "a.tif": [0, 1], "sent.tif": [0, 1]}
    assert like(client, 25)[0]["page"] == 2

    (folder / "a.tif").write_bytes(pages("TIFF", 26, 27, 28))
    assert counts(run(services, folder)) == {"changed": 1, "unchanged": 1}
    assert regions(services)["a.tif"] == [0, 1, 2]
    (folder / "a.tif").write_bytes(pages("TIFF", 29))
    run(services, folder)
    assert regions(services)["a.tif"] == [0]

    say(client, "first")
    assert regions(services) == first
    sql(services, "DELETE FROM images")


@pytest.mark.usefixtures("all_pages")
def test_the_number_of_pages_is_bounded_and_damaged_ones_are_left_out(
    client: TestClient, services: Services
) -> None:
    many = [Image.new("L", (8, 8), n) for n in range(MAX_PAGES + 3)]
    tiff = encoded(many[0], "TIFF", save_all=True, append_images=many[1:])
    tags: dict[int, Value] = {256: 4, 257: 4, 258: [8], 259: 1, 262: 1, 277: 1, 278: 4}
    pixels, damage = {(273, 279): bytes(16)}, {(273, 279): b"no JPEG"}
    damaged = Directory(tags, pixels, Directory({**tags, 259: 7}, damage, Directory(tags, pixels)))
    done(client, send(client, ("many.tif", tiff), ("damaged.tif", made(damaged))))
    found = regions(services)
    assert found["many.tif"] == list(range(MAX_PAGES))
    assert found["damaged.tif"] == [0, 2]
    sent = {"file": encoded(many[0], "PNG")}
    flat = client.post("/search-by-image?limit=2", files=sent).json()
    assert len({hit["id"] for hit in flat}) == 2  # though the first one's pages fill the front


def test_only_where_all_pages_are_indexed_do_they_move_along(
    client: TestClient, services: Services, all_pages: None
) -> None:
    """Elsewhere a search would list such a picture once for each of its pages."""
    for name, which in (("firsts", "first"), ("alls", "all")):
        body = {"name": name, "pages": which}
        assert client.post("/api/v1/collections", json=body).status_code == 201
    tiff = pages("TIFF", 61, 62, 63)
    sent = client.post("/upload", files={"file": ("scan.tif", tiff)})
    (image_id,) = [one["id"] for one in sent.json()]
    numbers = "SELECT region FROM embeddings WHERE image_id = :id ORDER BY region"
    moves = (("default", "alls", [0, 1, 2]), ("alls", "firsts", [0]), ("firsts", "alls", [0]))
    for source, target, left in moves:
        path = f"/api/v1/collections/{source}/images/move"
        moved = client.post(path, json={"ids": [image_id], "collection": target})
        assert moved.json()["moved"] == 1
        assert [number for (number,) in sql(services, numbers, id=image_id)] == left
        assert [hit["id"] for hit in like(client, 62, collection=target)] == [image_id]
