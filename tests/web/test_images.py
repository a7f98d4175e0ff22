"""Pictures by id, over HTTP."""

import io
import shutil
from pathlib import Path

import anyio
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from starlette.types import Message

from app import VERSION
from app.catalog.originals import OnDisk
from app.errors import ImageNotFound
from app.ingest.upload_stages import Upload
from app.pictures.raw.camera_raw import RAW_FORMATS
from app.runtime.services import Services
from app.settings import Settings
from app.web.files.original_response import OriginalResponse
from tests.fixtures.camera_raw import PREVIEW_SIZE, RAW_FILES
from tests.fixtures.drawn_pictures import encoded, noise, png
from tests.fixtures.folder_jobs import run
from tests.fixtures.phone_pictures import CLIP, pixel_motion_photo


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
    version = record["content_hash"][:16]
    assert record["url"] == f"/api/v1/images/{image_id}/file?v={version}"
    assert len(record["content_hash"]) == 64


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "AVIF"])
def test_a_file_is_served_as_what_its_bytes_are(client: TestClient, kind: str) -> None:
    data = encoded(noise(2, (300, 200)), kind)
    answer = client.get(f"/images/{stored(client, data)}/file")
    assert answer.content == data
    assert answer.headers["content-type"] == f"image/{kind.lower()}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("kind", ["DNG", "CR3"])
def test_a_raw_file_is_found_and_served_as_what_it_is(client: TestClient, kind: str) -> None:
    """Issue 16, line 9."""
    data = RAW_FILES[kind]()
    image_id = stored(client, data)
    record = client.get(f"/images/{image_id}").json()
    assert (record["format"], record["width"], record["height"]) == (kind, *PREVIEW_SIZE[::-1])
    answer = client.get(f"/images/{image_id}/file")
    assert answer.content == data
    assert answer.headers["content-type"] == RAW_FORMATS[kind][0]
    assert client.get(f"/images/{image_id}/thumbnail").headers["content-type"] == "image/webp"


def test_a_record_tells_of_the_film_in_a_motion_photo(client: TestClient) -> None:
    """Issue 16, line 1."""
    data = pixel_motion_photo()
    record = client.get(f"/images/{stored(client, data)}").json()
    assert record["metadata"] == {"motion": True, "motion_offset": data.index(CLIP)}


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


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-1", 206, slice(0, 2)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=5-99999999", 206, slice(5, None)),
        ("bytes=99999999-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=x", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
        ("bytes=3-2", 200, slice(None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("lines=1-2", 200, slice(None)),
    ],
)
def test_a_range_of_a_file(client: TestClient, asked: str, status: int, part: slice | None) -> None:
    """Issue 21, line 34."""
    data = png(8)
    answer = client.get(f"/images/{stored(client, data)}/file", headers={"range": asked})
    assert answer.status_code == status
    if part is None:
        assert answer.headers["content-range"] == f"bytes */{len(data)}"
        assert answer.headers["content-type"] == "application/problem+json"
        return
    start, stop, _ = part.indices(len(data))
    assert answer.content == data[part]
    assert answer.headers["content-length"] == str(stop - start)
    if status == 206:
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(data)}"


def test_a_range_of_another_version_is_the_whole_file(client: TestClient) -> None:
    url = f"/images/{stored(client, png(8))}/file"
    tag = client.get(url).headers["etag"]
    for known, status in ((tag, 206), ('"other"', 200)):
        headers = {"range": "bytes=0-1", "if-range": known}
        assert client.get(url, headers=headers).status_code == status


@pytest.mark.parametrize("path", ["file", "thumbnail", "thumbnail?size=64"])
def test_a_picture_that_the_client_has_is_not_sent_again(client: TestClient, path: str) -> None:
    """Issue 21, line 35."""
    url = f"/images/{stored(client, png(8))}/{path}"
    first = client.get(url)
    assert first.headers["cache-control"] == "private, no-cache"
    again = client.get(url, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(url, headers={"if-none-match": '"other"'}).content == first.content


@pytest.mark.parametrize("name", ["url", "thumbnail_url"])
def test_an_address_of_an_answer_is_kept_without_asking_again(
    client: TestClient, name: str
) -> None:
    """Issue 19, item 7: its `v` names the content, so what it leads to never changes."""
    image_id = stored(client, png(8))
    record = client.get(f"/api/v1/images/{image_id}").json()
    answer = client.get(record[name])
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert set(answer.headers["vary"].split(", ")) >= {"Authorization", "X-API-Key"}
    again = client.get(record[name], headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["cache-control"] == answer.headers["cache-control"]
    path = record[name].partition("?")[0]
    for other in (path, f"{path}?v=0123456789abcdef"):  # of before, or of another content
        answer = client.get(other)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-cache")
    assert client.get(f"{path}?v={'0' * 65}").status_code == 422


def test_what_may_have_been_edited_is_asked_for_again(
    client: TestClient, services: Services, worker: None, tmp_path: Path
) -> None:
    """A file of one's own folder may have changed since it was indexed."""
    mine = tmp_path / "mine.png"
    mine.write_bytes(png(23, (80, 60)))
    run(services, tmp_path)
    hit = client.post("/search-by-image?limit=1", content=mine.read_bytes()).json()[0]
    assert client.get(hit["url"]).headers["cache-control"] == "private, no-cache"
    mine.write_bytes(png(24, (70, 90)))
    changed = client.get(hit["thumbnail_url"])
    assert changed.headers["cache-control"] == "private, no-cache"
    assert Image.open(io.BytesIO(changed.content)).size == (70, 90)
    run(services, tmp_path)
    (new,) = client.post("/search-by-image?limit=1", content=mine.read_bytes()).json()
    assert new["thumbnail_url"] != hit["thumbnail_url"]
    assert client.get(hit["thumbnail_url"]).headers["cache-control"] == "private, no-cache"
    assert "immutable" in client.get(new["thumbnail_url"]).headers["cache-control"]


def test_the_etag_of_an_upload_is_its_contents_hash(client: TestClient) -> None:
    """Issue 19, item 7: by the file's inode, each server behind a balancer had another."""
    image_id = stored(client, png(8))
    content_hash = client.get(f"/images/{image_id}").json()["content_hash"]
    etag = client.get(f"/images/{image_id}/file").headers["etag"]
    assert etag == f'"{content_hash[: len(etag) - 2]}"'
    assert len(etag) > 32


def test_an_edited_picture_shows_its_new_thumbnail(
    client: TestClient, services: Services, worker: None, tmp_path: Path
) -> None:
    """Issue 21, line 35: an hour long it showed the old one."""
    mine = tmp_path / "mine.png"
    mine.write_bytes(png(21))
    run(services, tmp_path)
    hit = client.post("/search-by-image?limit=1", content=png(21)).json()[0]
    old = client.get(hit["thumbnail_url"])
    mine.write_bytes(png(22, (90, 70)))
    run(services, tmp_path)
    new = client.get(hit["thumbnail_url"], headers={"if-none-match": old.headers["etag"]})
    assert new.status_code == 200
    assert new.content != old.content


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/", "/search-by-text?query=a+tree"])
def test_head_is_get_without_its_body(client: TestClient, path: str) -> None:
    """Issue 21, line 33."""
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == client.get(path).headers["content-type"]


def test_readyz_tells_the_version(client: TestClient) -> None:
    assert client.get("/readyz").json()["version"] == VERSION


def test_head_of_files(client: TestClient) -> None:
    data = png(8)
    image_id = stored(client, data)
    file = client.head(f"/images/{image_id}/file")
    assert (file.status_code, file.content) == (200, b"")
    assert file.headers["content-length"] == str(len(data))
    assert client.head(f"/images/{image_id}/thumbnail").headers["content-type"] == "image/webp"
    assert client.head("/images/999999/file").status_code == 404
    assert client.head("/upload").status_code == 405
    assert "HEAD" in client.delete("/healthz").headers["allow"]


@pytest.mark.parametrize(
    ("name", "plain", "coded"),
    [
        ("beach.png", "beach.png", "beach.png"),
        ("am Strand.PNG", "am Strand.PNG", "am%20Strand.PNG"),
        ("海边.png", "__.png", "%E6%B5%B7%E8%BE%B9.png"),
        ("100% 'x'.png", "100_ 'x'.png", "100%25%20%27x%27.png"),
        ("page.html", "page.html.png", "page.html.png"),
    ],
)
def test_a_file_is_saved_under_its_own_name(
    client: TestClient,
    services: Services,
    worker: None,
    tmp_path: Path,
    name: str,
    plain: str,
    coded: str,
) -> None:
    """Issue 21, line 34."""
    data = png(1_000 + sum(name.encode()))
    (tmp_path / name).write_bytes(data)
    if name.endswith(".html"):  # no picture's name: as somebody uploads it
        answer = client.post("/upload", files={"file": (name, data)})
        image_id = answer.json()[0]["id"]
    else:
        run(services, tmp_path)
        image_id = client.post("/search-by-image?limit=1", content=data).json()[0]["id"]
    told = client.get(f"/images/{image_id}/file").headers["content-disposition"]
    assert told == f"inline; filename=\"{plain}\"; filename*=UTF-8''{coded}"


def test_a_file_that_is_deleted_while_it_is_sent_is_sent_whole(services: Services) -> None:
    """Issue 21, line 46: 29 bodies of 946 were cut, and 9 answers were 500."""
    data = png(12, (900, 900))
    (outcome,) = services.registry.default.uploads.store([Upload("x", data)], None, {})
    assert outcome.image is not None
    original = services.gallery.original(outcome.image.id)
    assert isinstance(original, OnDisk)
    services.gallery.delete(outcome.image.id)
    assert not original.path.exists()
    sent = bytearray()

    async def send(message: Message) -> None:
        sent.extend(message.get("body", b""))

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "headers": [], "state": {}}
    anyio.run(OriginalResponse(original, {}), scope, receive, send)
    assert bytes(sent) == data
    assert original.file.closed
    with pytest.raises(ImageNotFound):
        services.gallery.original(outcome.image.id)


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


def test_an_alias_answers_as_the_home_of_a_picture(client: TestClient) -> None:
    """Issue 19, item 4: one home, below /api/v1; only the flat record shows an upload's path."""
    url = "/api/v1/collections/default/images"
    sent = client.post(url, files={"file": ("my pier.png", png(77))}, data={"caption": "a pier"})
    assert sent.status_code == 201, sent.text
    (entry,) = sent.json()["data"]
    assert (entry["status"], entry["original_filename"]) == ("stored", "my pier.png")
    home = sent.headers["location"]
    record, flat = client.get(home).json(), client.get(home.removeprefix("/api/v1")).json()
    assert record == entry["image"]
    assert record["path"] is None
    assert {**flat, "path": None} == record
    for part in ("/file", "/thumbnail"):
        one, other = client.get(home + part), client.get(home.removeprefix("/api/v1") + part)
        assert (one.status_code, one.content, one.headers["etag"]) == (
            *(other.status_code, other.content),
            other.headers["etag"],
        )
    listed = client.get("/api/v1/images", params={"limit": 1, "order_by": "-id"}).json()
    assert listed["data"] == [record]
    assert client.post(url, files={"file": ("again.png", png(77))}).status_code == 200
    assert client.post(url, files={"file": ("no.png", b"nothing")}).status_code == 415
    assert client.delete(home).status_code == 204
    assert client.get(home.removeprefix("/api/v1")).status_code == 404
