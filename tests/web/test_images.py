"""Pictures by id, over HTTP."""

import io
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.runtime.services import Services
from app.settings import Settings
from tests.fixtures.drawn_pictures import encoded, noise, png
from tests.fixtures.folder_jobs import run


def stored(client: TestClient, data: bytes) -> int:
    answer = client.post("/upload", files={"file": ("x", data)})
    image_id: int = answer.json()[0]["id"]
    return image_id


def test_a_record_tells_all(client: TestClient) -> None:
    data = encoded(noise(1, (60, 40)), "WEBP")
    image_id = stored(client, data)
    record = client.get(f"/images/{image_id}").json()
    assert record["id"] == image_id
    assert (record["bytes"], record["width"], record["height"]) == (len(data), 60, 40)
    assert record["format"] == "WEBP"
    assert record["url"] == f"/images/{image_id}/file"
    assert len(record["content_hash"]) == 64


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "AVIF"])
def test_a_file_is_served_as_what_its_bytes_are(client: TestClient, kind: str) -> None:
    data = encoded(noise(2, (300, 200)), kind)
    answer = client.get(f"/images/{stored(client, data)}/file")
    assert answer.content == data
    assert answer.headers["content-type"] == f"image/{kind.lower()}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_thumbnail_is_webp_and_cached(client: TestClient, settings: Settings) -> None:
    image_id = stored(client, png(3, (600, 300)))
    first = client.get(f"/images/{image_id}/thumbnail?size=100")
    assert first.headers["content-type"] == "image/webp"
    assert first.headers["x-content-type-options"] == "nosniff"
    assert Image.open(io.BytesIO(first.content)).size == (128, 64)
    cached = list(settings.thumbnail_dir.rglob("*-128.webp"))
    assert len(cached) == 1
    assert client.get(f"/images/{image_id}/thumbnail?size=100").content == first.content


@pytest.mark.parametrize("size", [0, -1, 1025, "big"])
def test_a_thumbnail_size_is_bounded(client: TestClient, size: object) -> None:
    image_id = stored(client, png(4))
    assert client.get(f"/images/{image_id}/thumbnail?size={size}").status_code == 422


def test_a_file_is_always_served_whole(client: TestClient) -> None:
    url = f"/images/{stored(client, png(8))}/file"
    for asked in ("bytes=x", "bytes=99999999-", "bytes=0-1"):
        answer = client.get(url, headers={"range": asked})
        assert (answer.status_code, answer.content) == (200, png(8))


def test_a_changed_file_does_not_spoil_the_thumbnail_of_its_copy(
    client: TestClient, services: Services, worker: None, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png(9))
    run(services, tmp_path)
    first, second = client.post("/search-by-image?limit=2", content=png(9)).json()
    Path(first["path"]).write_bytes(png(10))
    changed = client.get(first["thumbnail_url"]).content
    assert client.get(second["thumbnail_url"]).content != changed


def test_a_cache_that_cannot_be_written_costs_no_answer(
    client: TestClient, settings: Settings
) -> None:
    image_id = stored(client, png(11))
    shutil.rmtree(settings.thumbnail_dir, ignore_errors=True)
    settings.thumbnail_dir.write_text("in the way")
    try:
        assert client.get(f"/images/{image_id}/thumbnail").status_code == 200
    finally:
        settings.thumbnail_dir.unlink()


def test_a_deleted_upload_is_gone_whole(client: TestClient, settings: Settings) -> None:
    data = png(5, (50, 50))
    image_id = stored(client, data)
    client.get(f"/images/{image_id}/thumbnail")
    before = set(settings.storage_dir.rglob("*.png")) | set(settings.thumbnail_dir.rglob("*.webp"))
    assert client.delete(f"/images/{image_id}").status_code == 204
    after = set(settings.storage_dir.rglob("*.png")) | set(settings.thumbnail_dir.rglob("*.webp"))
    assert len(before) - len(after) == 2
    for path in ("", "/file", "/thumbnail"):
        assert client.get(f"/images/{image_id}{path}").status_code == 404
    assert client.delete(f"/images/{image_id}").status_code == 404
    found = client.post("/search-by-image?limit=100", content=data).json()
    assert image_id not in [hit["id"] for hit in found]
    assert stored(client, data) != image_id


def test_a_file_of_the_users_own_stays(
    client: TestClient, services: Services, worker: None, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.png"
    mine.write_bytes(png(6))
    run(services, tmp_path)
    hit = client.post("/search-by-image?limit=1", content=png(6)).json()[0]
    assert hit["path"] == str(mine)
    assert client.delete(f"/images/{hit['id']}").status_code == 204
    assert mine.read_bytes() == png(6)


@pytest.mark.parametrize(
    ("content", "status"),
    [(None, 404), (b"#!/bin/sh", 415), (b"<html><script>alert(1)</script>", 415)],
)
def test_a_file_that_is_gone_or_no_picture_is_not_served(
    client: TestClient,
    services: Services,
    worker: None,
    tmp_path: Path,
    content: bytes | None,
    status: int,
) -> None:
    mine = tmp_path / "mine.png"
    picture = png(status + len(content or b""))  # what an earlier case deleted stays away
    mine.write_bytes(picture)
    run(services, tmp_path)
    hit = client.post("/search-by-image?limit=1", content=picture).json()[0]
    mine.unlink()
    if content is not None:
        mine.write_bytes(content)
    assert client.get(hit["url"]).status_code == 404
    assert client.get(hit["thumbnail_url"]).status_code == status
    assert client.delete(f"/images/{hit['id']}").status_code == 204


@pytest.mark.parametrize("image_id", ["0", "-1", "9223372036854775808", "x", "1e3"])
def test_an_impossible_id_is_said_so(client: TestClient, image_id: str) -> None:
    answer = client.get(f"/images/{image_id}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_unknown_id_is_not_found(client: TestClient) -> None:
    answer = client.get("/images/9223372036854775807")
    assert answer.status_code == 404
    assert "9223372036854775807" in answer.json()["detail"]
