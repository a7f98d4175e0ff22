"""Videos as items of a collection: found by their frames, and at the second (issue 17)."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import text

from app.index import missing_vectors
from app.ingest.jobs.job_submission import JobOptions
from app.pictures.video.frame_reading import VideoRules, read_videos
from app.runtime.reindexing.generation_fill import Parts
from app.runtime.services import Services
from scripts.drawn_videos import Shape, film
from tests.conftest import TEST_IMAGES
from tests.fixtures.drawn_pictures import png
from tests.fixtures.extras import needs_video
from tests.fixtures.folder_jobs import counts, items, run, sql
from tests.fixtures.http_jobs import done, send
from tests.fixtures.videos import reading_videos

pytestmark = [pytest.mark.usefixtures("worker"), needs_video]
DEFAULT = "/api/v1/collections/default"
SCENES = (("green-tree.jpg", 3), ("pizza.jpg", 4), ("dog-face.jpg", 3))
BEGIN = {"a green tree in a meadow": 0, "a pizza": 3, "a dog face": 7}


@pytest.fixture(autouse=True)
def videos(client: TestClient, services: Services) -> Iterator[None]:
    """The default collection indexes all frames during the test."""
    with reading_videos():
        say(client, "all")
        yield
    say(client, "first")
    sql(services, "DELETE FROM images")


def say(client: TestClient, which: str) -> None:
    assert client.patch(DEFAULT, json={"pages": which}).status_code == 200


def search(client: TestClient, words: str) -> list[dict[str, Any]]:
    body = {"query": [{"text": words}], "limit": 10}
    answer = client.post("/api/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    return [dict(hit) for hit in answer.json()["hits"]]


def clip(*names: str, seconds: int = 3, **how: Any) -> bytes:
    """Bundled pictures, one after the other."""
    return film([(Image.open(TEST_IMAGES / name), seconds) for name in names], **how)


@pytest.fixture(scope="module")
def three_scenes() -> bytes:
    return film([(Image.open(TEST_IMAGES / name), seconds) for name, seconds in SCENES])


def test_a_video_is_found_at_its_second_and_shown_by_that_frame(
    client: TestClient, services: Services, three_scenes: bytes
) -> None:
    other = clip("bullet-train.jpg", "cat.jpg")
    job = done(client, send(client, ("holiday.mp4", three_scenes), ("other.mp4", other)))
    assert counts_of(job) == {"added": 2}
    sql(services, "ANALYZE images")
    for words, begins in BEGIN.items():
        hits = search(client, words)
        assert len(hits) == 2, "each video once"
        best = hits[0]
        assert best["original_filename"] == "holiday.mp4", words
        assert begins - 0.01 <= best["seconds"] <= begins + 1, words
        assert best["metadata"]["video"] is True
        assert best["metadata"]["duration"] == pytest.approx(10, abs=0.2)
        assert (best["width"], best["height"], best["format"]) == (192, 144, "MP4")
        small = Image.open(io.BytesIO(client.get(best["thumbnail_url"]).content)).convert("RGB")
        (name,) = (one for (one, _), at in zip(SCENES, BEGIN.values(), strict=True) if at == begins)
        drawn = Image.open(TEST_IMAGES / name).convert("RGB").resize(small.size)
        assert np.abs(np.asarray(small).astype(int) - np.asarray(drawn)).mean() < 12, name
    whole = client.get(best["url"])
    assert (whole.headers["content-type"], whole.content) == ("video/mp4", three_scenes)
    part = client.get(best["url"], headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, three_scenes[10:20])


def counts_of(job: dict[str, Any]) -> dict[str, int]:
    return {name: job[name] for name in ("added", "failed", "changed", "duplicate") if job[name]}


def frames(services: Services) -> dict[str, tuple[int, list[float] | None]]:
    """By the names of files, how many vectors each has, and when its frames are shown."""
    query = (
        "SELECT coalesce(origin, path), count(*), frame_times FROM embeddings "
        "JOIN images ON id = image_id WHERE removed_at IS NULL GROUP BY 1, images.id"
    )
    return {Path(name).name: (count, times) for name, count, times in sql(services, query)}


def thumbnails(services: Services) -> int:
    return sum(1 for _ in services.gallery.stores.thumbnails.files())


def test_videos_of_a_folder_come_with_their_faults_and_nothing_stops(
    client: TestClient, services: Services, three_scenes: bytes, tmp_path: Path
) -> None:
    web = clip("cat.jpg", "pizza.jpg", seconds=4, shape=Shape("webm", "libvpx-vp9"))
    files = {
        "whole.mp4": three_scenes,
        "cut.webm": web[: len(web) * 6 // 10],
        "broken.mp4": three_scenes[: len(three_scenes) // 2],
        "noise.mkv": b"\x1a\x45\xdf\xa3" + bytes(range(256)) * 20,
        "still.png": png(1),
        "IMG_1.png": png(2),
        "IMG_1.MOV": clip("dog.jpg", shape=Shape("mov", "mpeg4")),  # of a live photo
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert counts(run(services, tmp_path, JobOptions(dry_run=True)))["added"] == 4
    job = run(services, tmp_path)
    assert (job.added, job.failed) == (4, 2)
    told = {name: item.reason for name, item in items(services, job).items()}
    assert "cut off" in (told["cut.webm"] or "")
    assert "its index at its end is cut off" in (told["broken.mp4"] or "")
    assert (told["noise.mkv"] or "").startswith("The video cannot be read: ")
    assert told["whole.mp4"] is None
    found = frames(services)
    assert found["whole.mp4"][0] == len(found["whole.mp4"][1] or ()) == 3
    assert found["still.png"] == (1, None)
    assert found["cut.webm"][0] >= 1
    assert counts(run(services, tmp_path)) == {"unchanged": 4, "failed": 2}
    search_hit = search(client, "a pizza")[0]
    before = thumbnails(services)
    assert before >= 2, "those of further frames are kept"
    assert client.get(search_hit["thumbnail_url"]).status_code == 200
    assert client.delete(f"/api/v1/images/{search_hit['id']}").status_code == 204
    assert thumbnails(services) < before


def test_frames_come_and_go_with_the_collections_pages_and_stay_with_another_model(
    client: TestClient, services: Services, three_scenes: bytes, tmp_path: Path
) -> None:
    say(client, "first")
    (tmp_path / "a.mp4").write_bytes(three_scenes)
    (tmp_path / "one.mp4").write_bytes(clip("cat.jpg"))
    run(services, tmp_path)
    assert frames(services) == {"a.mp4": (1, None), "one.mp4": (1, None)}
    (hit, _) = search(client, "a green tree in a meadow")
    assert (hit["page"], hit["seconds"]) == (None, None)
    assert client.get(f"/images/{hit['id']}/thumbnail?page=2").status_code == 404

    say(client, "all")
    (finding,) = (
        one for one in services.doctor.examine().findings if one.name == "pictures without vector"
    )
    assert finding.mend() == 2
    assert frames(services)["a.mp4"][0] == len(frames(services)["a.mp4"][1] or ()) == 3
    (finding,) = (
        one for one in services.doctor.examine().findings if one.name == "pictures without vector"
    )
    assert not finding.found, "a video of one scene has all it can have"
    assert search(client, "a cat")[0]["seconds"] == 0
    times = frames(services)["a.mp4"][1]
    with reading_videos(VideoRules(1.0, 300)):
        sql(services, "DELETE FROM embeddings WHERE region > 0")
        opened = services.registry.open("default", "default")
        with services.sessions.begin() as session:
            ids = list(session.execute(text("SELECT id FROM images ORDER BY id")).scalars())
            pictures = missing_vectors.pictures(session, ids)
        vectors, unreadable = services.worker.reindex_work.fill.embed(
            opened.encoder, pictures, Parts(all_pages=True)
        )
        assert not unreadable
        assert sorted(len(pages) for _, pages in vectors) == [1, 3], "whatever the settings are now"
        assert counts(run(services, tmp_path, JobOptions(reread=True))) == {"changed": 2}
        assert len(frames(services)["a.mp4"][1] or ()) > 3
    assert frames(services)["a.mp4"][1] != times


def test_an_upload_that_is_answered_at_once_has_its_frames_too(
    client: TestClient, services: Services, three_scenes: bytes
) -> None:
    sent = client.post("/upload", files={"file": ("sent.mp4", three_scenes)})
    assert sent.status_code == 201
    assert frames(services)["sent.mp4"][0] == 3
    best = search(client, "a dog face")[0]
    assert 7 <= best["seconds"] <= 8
    again = client.post("/upload", files={"file": ("again.mp4", three_scenes)})
    assert again.status_code == 200
    with reading_videos(None):
        read_videos(None)
        refused = client.post("/upload", files={"file": ("no.mp4", clip("cat.jpg"))})
    assert refused.status_code == 415
    assert "IMAGE_SEARCH_READ_VIDEO" in refused.json()["detail"]
