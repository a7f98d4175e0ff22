"""A disk that is full or cannot be written: said, waited for, nothing half-written.

Issue 21, line 44.
"""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.errors import Interrupted, SettingsInvalid, StorageUnwritable
from app.runtime import task_retry
from app.runtime import worker as worker_module
from app.runtime.services import Services
from app.runtime.stores import open_stores
from app.settings import Settings
from app.storage.disk import PART
from tests.fixtures import http_jobs
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import sql
from tests.fixtures.full_disk import ROOM, full_disk
from tests.fixtures.http_jobs import JOBS, Answer, Details, accepted, ended, send, zipped

RETRY_SECONDS = 0.1


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for the disk tries again soon."""
    again = ((Interrupted, 0), (StorageUnwritable, RETRY_SECONDS))
    monkeypatch.setattr(task_retry, "RETRY_SECONDS_OF", again)
    monkeypatch.setattr(worker_module, "POLL_SECONDS", 0.1)


@pytest.fixture(autouse=True)
def nothing_is_left(services: Services, settings: Settings) -> Iterator[None]:
    """Nothing that was half written stays, whatever happens."""
    yield
    folders = (settings.storage_dir, settings.thumbnail_dir)
    assert [path for folder in folders for path in folder.rglob(f"{PART}*")] == []
    sql(services, "DELETE FROM images")


def check_507(answer: Answer, settings: Settings) -> None:
    assert answer.status_code == 507, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert f"{settings.storage_dir}" in answer.json()["detail"]
    assert "(IMAGE_SEARCH_TEST_UPLOAD_DIR)" in answer.json()["detail"]
    assert "cannot be written" in answer.json()["detail"]


def upload(client: TestClient, data: bytes) -> Answer:
    return client.post("/upload", files={"file": ("a.png", data)})


def waiting(client: TestClient, url: str) -> Details:
    """The job once it waits while it runs; before a worker has come, it waits for one."""
    deadline = time.monotonic() + http_jobs.SECONDS
    while True:
        job: Details = client.get(url).json()
        if job["waiting"] and job["status"] == "running":
            return job
        assert time.monotonic() < deadline, f"still {job}"
        time.sleep(0.03)


def test_an_upload_to_a_full_disk_is_refused_with_a_sentence(
    client: TestClient, services: Services, settings: Settings
) -> None:
    before = sorted(services.registry.default.uploads.disk.files())
    with full_disk():
        check_507(upload(client, png(1)), settings)
    assert sorted(services.registry.default.uploads.disk.files()) == before
    assert sql(services, "SELECT * FROM images") == []
    assert upload(client, png(1)).json()[0]["status"] == "stored"


def test_an_upload_of_which_one_file_does_not_fit_leaves_none(
    client: TestClient, services: Services, settings: Settings
) -> None:
    """The files before it stayed, without rows. A copy of one that was there before stays."""
    kept, small, large = png(1), png(2), png(3, (300, 300))
    assert upload(client, kept).status_code == 201
    before = sorted(services.registry.default.uploads.disk.files())
    with full_disk(room=len(small) + ROOM):
        sent = [("file", (f"{n}.png", data)) for n, data in enumerate((kept, small, large))]
        check_507(client.post("/upload", files=sent), settings)
    assert sorted(services.registry.default.uploads.disk.files()) == before
    assert [entry["status"] for entry in client.post("/upload", files=sent).json()] == [
        "duplicate",
        "stored",
        "stored",
    ]


def test_a_bulk_upload_to_a_full_disk_makes_no_job(
    client: TestClient, services: Services, settings: Settings
) -> None:
    before = client.get(JOBS).json()
    with full_disk():
        check_507(send(client, ("a.png", png(1)), ("b.png", png(2))), settings)
        check_507(http_jobs.send_archive(client, zipped({"a.png": png(1)})), settings)
    assert client.get(JOBS).json() == before
    assert http_jobs.staged(services) == []


def test_a_body_that_does_not_fit_into_the_temporary_folder(client: TestClient) -> None:
    with full_disk():
        answer = upload(client, bytes(2_000_000))
    assert answer.status_code == 507, answer.text
    assert "TMPDIR" in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["files", "archive"])
def test_a_job_waits_for_a_full_disk_and_goes_on_by_itself(
    client: TestClient, services: Services, settings: Settings, kind: str
) -> None:
    files = {f"{n}.png": png(n) for n in range(3)}
    if kind == "files":
        url = accepted(send(client, *files.items()))
    else:
        url = accepted(http_jobs.send_archive(client, zipped(files)))
    with http_jobs.working(services):
        with full_disk():
            job = waiting(client, url)
            assert job["status"] == "running"
            assert f"{settings.storage_dir}" in job["waiting"]
            time.sleep(5 * RETRY_SECONDS)  # more often than a file may fail
            assert waiting(client, url)["failed"] == 0
        job = ended(client, url)
    assert (job["status"], job["added"], job["reason"], job["waiting"]) == (
        "succeeded",
        3,
        None,
        None,
    )
    assert http_jobs.staged(services) == []


def test_a_job_that_is_cancelled_while_it_waits_leaves_nothing(
    client: TestClient, services: Services
) -> None:
    """Files of its batch that fitted on the disk stayed, without rows."""
    before = sorted(services.registry.default.uploads.disk.files())
    small, large = png(4), png(5, (300, 300))
    url = accepted(send(client, ("small.png", small), ("large.png", large)))
    with http_jobs.working(services), full_disk(room=len(small) + ROOM):
        waiting(client, url)
        assert client.post(f"{url}/cancel").is_success
        assert ended(client, url)["status"] == "cancelled"
    assert sorted(services.registry.default.uploads.disk.files()) == before


def test_a_folder_that_cannot_be_written(
    client: TestClient, services: Services, settings: Settings
) -> None:
    """A file lies where a folder is to be: root may write anywhere else."""
    data = png(7)
    shard = services.registry.default.uploads.disk.path(hashlib.sha256(data).hexdigest()).parent
    shard.write_bytes(b"")
    try:
        check_507(upload(client, data), settings)
    finally:
        shard.unlink()
    assert upload(client, data).json()[0]["status"] == "stored"


def test_a_picture_is_deleted_though_its_file_cannot_be(
    client: TestClient, services: Services, settings: Settings
) -> None:
    """The doctor finds the file later. A folder in its place cannot be unlinked, even by root."""
    image_id = upload(client, png(8)).json()[0]["id"]
    path = services.gallery.get(image_id).path
    client.get(f"/images/{image_id}/thumbnail")
    places = [Path(path), *services.doctor.stores.thumbnails.files()]
    for place in places:
        place.unlink()
        place.mkdir()
    assert client.delete(f"/images/{image_id}").status_code == 204
    assert client.get(f"/images/{image_id}").status_code == 404
    for place in places:
        place.rmdir()


def test_a_full_disk_does_not_keep_the_service_from_starting(
    services: Services, settings: Settings
) -> None:
    with full_disk():
        assert open_stores(settings, services.sessions).uploads.folder == settings.storage_dir


@pytest.mark.parametrize("field", ["test_upload_dir", "thumbnail_dir"])
def test_a_start_without_any_folder_to_write_to_is_refused(
    services: Services, settings: Settings, tmp_path: Path, field: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    place = tmp_path / "file" / "below"
    with pytest.raises(SettingsInvalid) as refused:
        open_stores(settings.model_copy(update={field: place}), services.sessions)
    assert str(refused.value) == (
        f"{place} (IMAGE_SEARCH_{field.upper()}) cannot be written: Not a directory. A file is "
        "there or on the way to it: name a folder."
    )


def test_a_thumbnail_is_answered_from_a_full_disk(client: TestClient, services: Services) -> None:
    image_id = upload(client, png(9)).json()[0]["id"]
    with full_disk():
        answer = client.get(f"/images/{image_id}/thumbnail")
    assert answer.status_code == 200
    assert answer.content.startswith(b"RIFF")
