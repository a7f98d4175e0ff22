"""Pictures in a bucket, indexed where they are and served from there, over S3's real protocol."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from fastapi.testclient import TestClient

from app.ingest.jobs.job_submission import JobOptions
from app.main import create_app
from app.runtime.assembly import open_services
from app.runtime.services import Services
from app.settings import Settings
from app.sources.bucket_folders import BucketFolder
from app.sources.interfaces import SourceFile
from tests.conftest import TEST_IMAGES, local_client
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import counts, nearest, sql
from tests.fixtures.http_jobs import IMAGES, ended
from tests.fixtures.s3_server import S3, Fault
from tests.fixtures.written_metadata import takeout, xmp

BUCKET = "pictures"
ODD_KEYS = ("with spaces.png", "grün/日本.png", "hash#1+2%25.png", "what?.png")


@pytest.fixture
def bucket(s3: S3, services: Services) -> S3:
    """An empty bucket, and an empty catalog."""
    s3.make(BUCKET)
    sql(services, "TRUNCATE images CASCADE")
    return s3


@pytest.fixture(scope="module")
def settings(settings: Settings, s3_of_module: S3) -> Settings:
    keys = {name.lower(): value for name, value in s3_of_module.settings(BUCKET).items()}
    return Settings(**{**settings.model_dump(), **keys})


@pytest.fixture(scope="module")
def services(settings: Settings) -> Iterator[Services]:
    with open_services(settings) as opened, opened.working():
        yield opened


def run(services: Services, prefix: str = "", *, sync: bool = False) -> dict[str, int]:
    job_id = services.job_submission.bucket(BUCKET, prefix, JobOptions(sync=sync))
    job = services.job_submission.follow(job_id)
    assert job.reason is None, job.reason
    return counts(job)


def test_a_bucket_is_indexed_without_a_copy_and_found(
    bucket: S3, services: Services, client: TestClient, settings: Settings
) -> None:
    tree = (TEST_IMAGES / "green-tree.jpg").read_bytes()
    for name in ("green-tree.jpg", "cat.jpg", "red-car.jpg"):
        if (TEST_IMAGES / name).exists():
            bucket.put(BUCKET, f"photos/{name}", (TEST_IMAGES / name).read_bytes())
    for seed, key in enumerate(ODD_KEYS):
        bucket.put(BUCKET, key, png(seed))
    found = run(services)
    assert found["added"] >= 2 + len(ODD_KEYS)
    hit = client.get("/search-by-text?query=a%20green%20tree&limit=1").json()[0]
    assert hit["path"] == f"s3://{BUCKET}/photos/green-tree.jpg"
    assert list(services.registry.default.uploads.disk.files()) == []
    paths = {path for (path,) in sql(services, "SELECT path FROM images")}
    assert paths >= {f"s3://{BUCKET}/{key}" for key in ODD_KEYS}

    asked = len(bucket.requests)
    assert client.get(hit["thumbnail_url"]).status_code == 200
    assert len(bucket.requests) == asked, "the thumbnail was kept"
    answer = client.get(hit["url"], follow_redirects=False)
    assert answer.status_code == 307
    with urlopen(answer.headers["location"]) as original:
        assert original.read() == tree
    # Issue 21, line 40: the page's own policy forbids its script to follow into the bucket.
    fetched = client.get(hit["url"], headers={"sec-fetch-mode": "cors"}, follow_redirects=False)
    assert (fetched.status_code, fetched.content) == (200, tree)
    streaming = create_app(
        settings,
        replace(services, gallery=replace(services.gallery, presign_seconds=None)),
    )
    with local_client(streaming) as through:
        answer = through.get(hit["url"])
        assert (answer.status_code, answer.content) == (200, tree)
        assert answer.headers["content-type"] == "image/jpeg"
        for seed, key in enumerate(ODD_KEYS):
            best = client.post("/search-by-image?limit=1", content=png(seed)).json()[0]
            assert best["path"] == f"s3://{BUCKET}/{key}"
            record = client.get(f"/images/{best['id']}").json()
            assert record["original_filename"] == key.rpartition("/")[2]
            assert through.get(best["url"]).content == png(seed)


def test_a_sync_follows_the_bucket(bucket: S3, services: Services) -> None:
    for seed in range(5):
        bucket.put(BUCKET, f"{seed}.png", png(seed))
    bucket.put(BUCKET, "1.png.json", json.dumps({"caption": "one", "place": "Rome"}).encode())
    assert run(services, sync=True) == {"added": 5}
    assert run(services, sync=True) == {"unchanged": 5}
    ids = dict(sql(services, "SELECT path, id FROM images"))
    written = dict(sql(services, "SELECT image_id, xmin::text FROM embeddings"))
    bucket.delete(BUCKET, "0.png")
    bucket.delete(BUCKET, "2.png")
    bucket.put(BUCKET, "moved/2.png", png(2))
    bucket.put(BUCKET, "3.png", png(33))
    bucket.put(BUCKET, "4.png.json", b'{"caption": "four"}')
    assert run(services, sync=True) == {"changed": 2, "moved": 1, "removed": 1, "unchanged": 1}
    after = dict(sql(services, "SELECT path, id FROM images"))
    assert after[f"s3://{BUCKET}/moved/2.png"] == ids[f"s3://{BUCKET}/2.png"]
    assert f"s3://{BUCKET}/0.png" not in after
    rewritten = dict(sql(services, "SELECT image_id, xmin::text FROM embeddings"))
    changed = {image for image, xmin in rewritten.items() if written.get(image) != xmin}
    assert changed == {after[f"s3://{BUCKET}/3.png"]}
    words = dict(sql(services, "SELECT path, caption FROM images WHERE caption IS NOT NULL"))
    assert words == {f"s3://{BUCKET}/1.png": "one", f"s3://{BUCKET}/4.png": "four"}
    bucket.put(BUCKET, "3.xmp", xmp(attributes='xmp:Label="Red"'))
    bucket.put(BUCKET, "4.png.supplemental-meta.json", takeout("4.png", people=[{"name": "Ada"}]))
    assert run(services, sync=True) == {"changed": 2, "unchanged": 2}
    written_in = "SELECT metadata FROM images WHERE metadata ?| ARRAY['label', 'people'] ORDER BY 1"
    assert sql(services, written_in) == [({"label": "Red"},), ({"people": ["Ada"]},)]
    assert sql(services, "SELECT metadata FROM images WHERE caption = 'one'")[0][0] == {
        "place": "Rome"
    }


def test_a_refused_object_is_not_downloaded_again(bucket: S3, services: Services) -> None:
    """Issue 21, line 22: it is known by its etag until it changes."""
    bucket.put(BUCKET, "1.png", png(1))
    bucket.put(BUCKET, "film.png", b"\0\0\0\x20ftypmp42".ljust(5_000))
    assert run(services) == {"added": 1, "failed": 1}
    assert len(bucket.asked("GET /pictures/film.png")) == 1
    assert run(services, sync=True) == {"unchanged": 1, "failed": 1}
    assert len(bucket.asked("GET /pictures/film.png")) == 1
    bucket.put(BUCKET, "film.png", png(2))
    assert run(services) == {"added": 1, "unchanged": 1}


LONG = "PXL_20240102_030405678.LONG_EXPOSURE-01.COVER.jpg"
"""Of more than the 46 characters that Takeout leaves of a sidecar's name."""


def test_takeouts_sidecars_are_found_whatever_their_names_begin_with(s3: S3) -> None:
    """Issue 16, line 3: as in folders; also where a listing goes on behind the sidecar."""
    s3.make("takeout")
    whole = "pier.jpg.supplemental-metadata"
    sidecars = {
        "pier(1).jpg": f"{whole}(1).json",
        "pier-edited.jpg": f"{whole}.json",
        "pier-bearbeitet(1).jpg": f"{whole}(1).json",
        "pier.jpg": f"{whole}.json",
        LONG: f"{LONG[:46]}.json",
    }
    between = ("pier (copy).jpg", "pier+.jpg", "pier0.jpg", "piercing.jpg", "pie.jpg")
    for name in (*sidecars, *sidecars.values(), *between):
        s3.put("takeout", f"a/{name}", b"x")
        s3.put("takeout", f"b/{name}", b"x")
    folder = BucketFolder(s3.bucket("takeout"))
    files = [one for one in folder.files() if isinstance(one, SourceFile)]
    found = {one.path.rpartition("/")[2]: "".join(one.sidecars) for one in files}
    assert found == sidecars | dict.fromkeys(between, "")
    assert [one.path for one in files] == sorted(one.path for one in files)
    for one in folder.files():
        rest = [other for other in folder.files(one.path) if isinstance(other, SourceFile)]
        assert rest == [other for other in files if other.path > one.path], one.path


def test_an_album_is_a_tag_of_the_pictures_in_its_folder(bucket: S3, services: Services) -> None:
    """Issue 16, folders: its file lies behind some of them in a listing, before others."""
    for seed, key in enumerate(("IMG_1.png", "yacht.png", "deep/IMG_2.png")):
        bucket.put(BUCKET, f"Lisbon/{key}", png(seed))
    name = "Lisbon/metadata.json"
    bucket.put(BUCKET, name, json.dumps({"title": "Summer of 2009"}).encode())
    assert run(services, sync=True) == {"added": 3}
    tags = "SELECT metadata->'tags'->>0 FROM images ORDER BY path COLLATE \"C\""
    assert [tag for (tag,) in sql(services, tags)] == ["Summer of 2009", None, "Summer of 2009"]
    assert run(services, sync=True) == {"unchanged": 3}
    bucket.put(BUCKET, name, json.dumps({"title": "Lisbon"}).encode())
    assert run(services, sync=True) == {"changed": 2, "unchanged": 1}
    assert [tag for (tag,) in sql(services, tags)] == ["Lisbon", None, "Lisbon"]


def test_an_object_that_goes_between_listing_and_reading_fails_alone(
    bucket: S3, services: Services
) -> None:
    for seed in range(3):
        bucket.put(BUCKET, f"{seed}.png", png(seed))
    bucket.faults.append(Fault(f"GET /{BUCKET}/1.png", status=404, code="NoSuchKey"))
    job = services.job_submission.follow(services.job_submission.bucket(BUCKET, "", JobOptions()))
    assert counts(job) == {"added": 2, "failed": 1}
    (item,) = services.job_submission.every(job.id, "failed")
    assert (item.path, item.attempts) == (f"s3://{BUCKET}/1.png", 1)
    assert "is gone" in (item.reason or "")


def test_a_bucket_that_fails_for_a_while_loses_nothing(bucket: S3, services: Services) -> None:
    for seed in range(3):
        bucket.put(BUCKET, f"{seed}.png", png(seed))
    bucket.faults.append(Fault(f"GET /{BUCKET}/1.png", times=4, status=500))
    job = services.job_submission.follow(services.job_submission.bucket(BUCKET, "", JobOptions()))
    assert counts(job) == {"added": 3}


def test_wrong_keys_are_one_clear_sentence(bucket: S3, services: Services) -> None:
    bucket.put(BUCKET, "a.png", png(1))
    bucket.faults.append(Fault(f"GET /{BUCKET}", status=403, code="InvalidAccessKeyId"))
    job = services.job_submission.follow(
        services.job_submission.bucket(BUCKET, "", JobOptions(sync=True))
    )
    assert job.state == "failed"
    assert "InvalidAccessKeyId" in (job.reason or "")
    assert "S3_ACCESS_KEY_ID" in (job.reason or "")
    assert "a-secret" not in (job.reason or "")


def test_a_listing_that_breaks_off_forgets_nothing(bucket: S3, services: Services) -> None:
    for seed in range(3):
        bucket.put(BUCKET, f"{seed}.png", png(seed))
    assert run(services, sync=True) == {"added": 3}
    for seed in range(3):
        bucket.delete(BUCKET, f"{seed}.png")
    bucket.faults.append(Fault(f"GET /{BUCKET}", status=403, code="AccessDenied"))
    job = services.job_submission.follow(
        services.job_submission.bucket(BUCKET, "", JobOptions(sync=True))
    )
    assert (job.state, job.removed) == ("failed", 0)
    assert sql(services, "SELECT count(*) FROM images")[0][0] == 3


def test_more_objects_than_a_page_of_the_listing(bucket: S3, services: Services) -> None:
    bucket.put_all(BUCKET, {f"{n:04}.txt": b"no picture" for n in range(1_150)})
    bucket.put_all(BUCKET, {f"{n:04}.png": png(n) for n in range(1_150, 1_200)})
    assert run(services) == {"added": 50}
    assert run(services, sync=True) == {"unchanged": 50}


def test_over_http_only_the_buckets_of_the_settings(
    bucket: S3, services: Services, client: TestClient
) -> None:
    bucket.put(BUCKET, "in/a.png", png(1))
    bucket.put(BUCKET, "out/b.png", png(2))
    refused = client.post(IMAGES, json={"source": {"bucket": "another"}})
    assert refused.status_code == 403
    answer = client.post(IMAGES, json={"source": {"bucket": BUCKET, "prefix": "in/"}})
    job = ended(client, answer.json()["url"])
    assert (job["status"], job["added"], job["total"]) == ("succeeded", 1, 1)
    assert nearest(services, png(1))[0] == "a.png"


def test_photographs_in_a_bucket_are_found_again(
    bucket: S3, services: Services, photos: Path, tmp_path: Path
) -> None:
    chosen = sorted(photos.iterdir())[:20]
    for photo in chosen:
        bucket.put(BUCKET, photo.name, photo.read_bytes())
        shutil.copy(photo, tmp_path)
    assert run(services) == {"added": 20}
    for photo in chosen:
        name, distance = nearest(services, photo.read_bytes())
        assert (name, distance < 0.001) == (photo.name, True)


def test_a_bucket_that_refuses_makes_no_error_of_the_servers_own(
    bucket: S3, services: Services, settings: Settings
) -> None:
    bucket.put(BUCKET, "a.png", png(1))
    assert run(services) == {"added": 1}
    (image_id,) = sql(services, "SELECT id FROM images")[0]
    gallery = replace(services.gallery, presign_seconds=None)
    bucket.faults.append(Fault(f"GET /{BUCKET}/a.png", status=403, code="AccessDenied"))
    with local_client(create_app(settings, replace(services, gallery=gallery))) as client:
        for what in ("file", "thumbnail?size=64"):
            answer = client.get(f"/images/{image_id}/{what}")
            assert answer.status_code == 503
            assert answer.json()["detail"] == "The picture's bucket cannot be read now."


def test_ranges_of_a_streamed_original(bucket: S3, services: Services, settings: Settings) -> None:
    """Issue 21, line 34."""
    data = png(1)
    bucket.put(BUCKET, "a.png", data)
    assert run(services) == {"added": 1}
    (image_id,) = sql(services, "SELECT id FROM images")[0]
    gallery = replace(services.gallery, presign_seconds=None)
    with local_client(create_app(settings, replace(services, gallery=gallery))) as client:

        def ask(method: str = "GET", **headers: str) -> Any:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return client.request(method, f"/images/{image_id}/file", headers=named)

        whole = ask()
        etag, size = whole.headers["etag"], len(data)
        assert (whole.status_code, whole.content) == (200, data)
        assert whole.headers["accept-ranges"] == "bytes"
        for asked, start, end in (
            ("bytes=0-9", 0, 10),
            ("bytes=20-", 20, size),
            ("bytes=-7", size - 7, size),
            (f"bytes=5-{10 * size}", 5, size),
        ):
            for answer in (ask(range=asked), ask(range=asked, if_range=etag)):
                assert (answer.status_code, answer.content) == (206, data[start:end]), asked
                assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        head = ask("HEAD", range="bytes=0-9")
        assert (head.status_code, head.content) == (206, b"")
        assert head.headers["content-length"] == "10"
        beyond = ask(range=f"bytes={size}-")
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
        for not_one in ("bytes=0-1,3-4", "bytes=9-2", "pages=1-2"):
            assert (ask(range=not_one).status_code, ask(range=not_one).content) == (200, data)
        assert ask(if_none_match=etag).status_code == 304
        changed = ask(range="bytes=0-9", if_range='"another"')
        assert (changed.status_code, changed.content) == (200, data)
        head = ask("HEAD")
        assert (head.headers["content-length"], head.content) == (str(size), b"")
        bucket.delete(BUCKET, "a.png")
        assert ask(range="bytes=0-9", if_range=etag).status_code == 404
