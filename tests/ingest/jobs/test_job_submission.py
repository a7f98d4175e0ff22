"""Sources that requests name, and jobs that are listed, cancelled and retried, over HTTP."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.database.connections import Sessions
from app.errors import CollectionNotFound
from app.ingest.jobs.job_submission import JobOptions, SentFile
from app.runtime.services import Services
from app.settings import Settings
from app.sources.sidecars.annotations import Annotation
from tests.fixtures.drawn_pictures import png
from tests.fixtures.http_jobs import (
    IMAGES,
    JOBS,
    Details,
    accepted,
    counts,
    ended,
    items,
    row_count,
    send,
    send_archive,
    staged,
    working,
    zipped,
)

PROBLEM = "application/problem+json"
FOLDER_SHUT = (
    "This folder is not open to requests: IMAGE_SEARCH_IMAGES_DIR and "
    "IMAGE_SEARCH_SOURCE_DIRS name those that are."
)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that SOURCE_DIRS opens."""
    return tmp_path_factory.mktemp("other")


@pytest.fixture(scope="module")
def settings(settings: Settings, other: Path) -> Settings:
    """One more folder and a bucket are open to requests."""
    settings.test_images_dir.mkdir()
    return settings.model_copy(update={"source_dirs": (other,), "s3_buckets": ("open",)})


@pytest.fixture
def folder(settings: Settings, services: Services) -> Iterator[Path]:
    """Five pictures below IMAGES_DIR, one in a sub-folder; all is forgotten afterwards."""
    folder = settings.test_images_dir / "trip"
    (folder / "deep").mkdir(parents=True)
    for seed in range(4):
        (folder / f"{seed}.png").write_bytes(png(seed))
    (folder / "deep" / "4.png").write_bytes(png(4))
    yield folder
    for path in folder.rglob("*.*"):
        path.unlink()
    (folder / "deep").rmdir()
    folder.rmdir()
    with services.job_submission.sessions.begin() as session:
        session.execute(text("DELETE FROM images"))


def name_source(client: TestClient, folder: str, **fields: object) -> str:
    return accepted(client.post(IMAGES, json={"source": {"folder": folder}, **fields}))


def taken(client: TestClient, services: Services, folder: str, **fields: object) -> Details:
    """The job on a folder, once it has ended."""
    url = name_source(client, folder, **fields)
    with working(services):
        return ended(client, url)


def vectors(sessions: Sessions) -> dict[str, tuple[int, str]]:
    """By file name: the picture's id and the transaction that wrote its vector."""
    query = text(
        "SELECT path, id, e.xmin::text FROM images JOIN embeddings e ON e.image_id = images.id"
    )
    with sessions.begin() as session:
        return {Path(row[0]).name: (row[1], row[2]) for row in session.execute(query)}


# --- Sources


def test_a_folder_is_taken_in_where_it_lies(
    client: TestClient, services: Services, folder: Path
) -> None:
    (folder / "0.png.json").write_text('{"caption": "zero"}')
    (folder / "cut.png").write_bytes(png(5)[:60])
    job = taken(client, services, "trip")
    assert (job["status"], job["source"]) == ("succeeded", {"folder": str(folder)})
    assert counts(job) == {"total": 6, "added": 5, "failed": 1}
    first = client.get(f"/images/{items(client, job)[0]['image_id']}").json()
    assert (first["path"], first["caption"]) == (str(folder / "0.png"), "zero")
    again = taken(client, services, str(folder), mode="sync")  # absolute this time
    assert counts(again) == {"total": 6, "unchanged": 5, "failed": 1}
    hits = client.post("/search-by-image?limit=1", content=png(4)).json()
    assert hits[0]["path"] == str(folder / "deep" / "4.png")


def test_a_folder_of_source_dirs_is_open(
    client: TestClient, services: Services, folder: Path, other: Path
) -> None:
    (other / "6.png").write_bytes(png(6))
    assert counts(taken(client, services, str(other))) == {"total": 1, "added": 1}


def test_a_sync_forgets_what_is_gone_and_follows_what_moved(
    client: TestClient, services: Services, sessions: Sessions, folder: Path
) -> None:
    assert counts(taken(client, services, "trip")) == {"total": 5, "added": 5}
    before = vectors(sessions)
    (folder / "0.png").rename(folder / "deep" / "moved.png")
    (folder / "1.png").unlink()
    (folder / "2.png").write_bytes(png(70))
    (folder / "5.png").write_bytes(png(5))
    expected = {"total": 5, "added": 1, "changed": 1, "moved": 1, "unchanged": 2}

    would = taken(client, services, "trip", mode="sync", dry_run=True)
    assert counts(would) == {**expected, "removed": 1}
    assert vectors(sessions) == before

    job = taken(client, services, "trip", mode="sync")
    assert (job["mode"], counts(job)) == ("sync", {**expected, "removed": 1})
    after = vectors(sessions)
    assert set(after) == {"2.png", "3.png", "4.png", "5.png", "moved.png"}
    assert after["moved.png"] == before["0.png"]  # no new vector
    assert (after["3.png"], after["4.png"]) == (before["3.png"], before["4.png"])
    assert after["2.png"][0] == before["2.png"][0]
    assert after["2.png"][1] != before["2.png"][1]
    assert client.get(f"/images/{before['1.png'][0]}").status_code == 404
    hits = client.post("/search-by-image?limit=10", content=png(1)).json()
    assert before["1.png"][0] not in {hit["id"] for hit in hits}

    again = taken(client, services, "trip", mode="sync")
    assert counts(again) == {"total": 5, "unchanged": 5}
    assert items(client, again) == []
    assert vectors(sessions) == after


def test_adding_keeps_what_is_gone(
    client: TestClient, services: Services, sessions: Sessions, folder: Path
) -> None:
    taken(client, services, "trip")
    (folder / "1.png").unlink()
    job = taken(client, services, "trip")
    assert counts(job) == {"total": 4, "unchanged": 4, "gone": 1}
    assert "1.png" in vectors(sessions)


def test_a_dry_run_of_a_folder_writes_nothing(
    client: TestClient, services: Services, sessions: Sessions, folder: Path
) -> None:
    job = taken(client, services, "trip", dry_run=True)
    assert (job["dry_run"], counts(job)) == (True, {"total": 5, "added": 5})
    assert row_count(sessions) == 0


def test_an_empty_folder_is_not_believed(
    client: TestClient, services: Services, sessions: Sessions, folder: Path
) -> None:
    taken(client, services, "trip")
    for path in folder.rglob("*.png"):
        path.unlink()
    job = taken(client, services, "trip", mode="sync")
    assert (job["status"], counts(job)) == ("failed", {})
    assert "Is its disk mounted" in job["reason"]
    assert row_count(sessions) == 5


def test_a_folder_that_is_not_there_fails_the_job(
    client: TestClient, services: Services, folder: Path
) -> None:
    url = name_source(client, "absent")
    with working(services):
        job = ended(client, url)
        assert (job["status"], counts(job)) == ("failed", {})
        assert "absent is not a folder" in job["reason"]
        folder.rename(folder.with_name("absent"))
        try:
            assert client.post(f"{url}/retry").json()["status"] == "running"
            job = ended(client, url)
        finally:
            folder.with_name("absent").rename(folder)
    assert (job["status"], job["reason"], counts(job)) == (
        "succeeded", None, {"total": 5, "added": 5}
    )  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../x",
        "trip/../../x",
        "/",
        "/etc",
        "a\0b",
        "x" * 5000,
        "out",
        "loop",
        "/proc/self/cwd",
    ],
)
def test_a_folder_that_is_not_open_is_forbidden(
    client: TestClient, settings: Settings, name: str
) -> None:
    links = {"out": "/etc", "loop": "loop"}
    if name in links and not os.path.lexists(settings.test_images_dir / name):
        (settings.test_images_dir / name).symlink_to(links[name])
    answer = client.post(IMAGES, json={"source": {"folder": name}})
    assert answer.status_code == 403, answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["detail"] == FOLDER_SHUT


def test_a_bucket_must_be_open(client: TestClient) -> None:
    answer = client.post(IMAGES, json={"source": {"bucket": "secret"}})
    assert (answer.status_code, answer.headers["content-type"]) == (403, PROBLEM)
    assert "The bucket secret is not open" in answer.json()["detail"]
    url = accepted(client.post(IMAGES, json={"source": {"bucket": "open", "prefix": "2026/"}}))
    assert client.get(url).json()["source"] == {"bucket": "open", "prefix": "2026/"}
    assert client.post(f"{url}/cancel").status_code == 200


# --- Cancelled before they begin


def test_a_job_that_waits_is_cancelled_with_all_its_files(
    client: TestClient, services: Services, sessions: Sessions
) -> None:
    before = row_count(sessions)
    sent = [("a.png", png(80)), ("b.png", png(81))]
    url = accepted(send(client, *sent))
    assert counts(client.get(url).json()) == {"total": 2}
    refused = client.post(f"{url}/retry")
    assert (refused.status_code, refused.headers["content-type"]) == (409, PROBLEM)
    assert "is pending" in refused.json()["detail"]
    cancelled = client.post(f"{url}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelling")
    assert counts(cancelled.json()) == {"total": 2, "cancelled": 2}
    assert client.post(f"{url}/cancel").status_code == 200  # once more does no harm
    with working(services):
        job = ended(client, url)
    assert (job["status"], counts(job)) == ("cancelled", {"total": 2, "cancelled": 2})
    assert [item["status"] for item in items(client, job)] == ["cancelled", "cancelled"]
    assert row_count(sessions) == before
    assert staged(services) == []
    refused = client.post(f"{url}/cancel")
    assert (refused.status_code, refused.headers["content-type"]) == (409, PROBLEM)
    assert "has ended as cancelled" in refused.json()["detail"]


def test_an_archive_that_waits_is_cancelled_unopened(
    client: TestClient, services: Services, sessions: Sessions
) -> None:
    before = row_count(sessions)
    url = accepted(send_archive(client, zipped({"a.png": png(82)})))
    assert client.post(f"{url}/cancel").json()["status"] == "cancelling"
    with working(services):
        job = ended(client, url)
    assert (job["status"], counts(job)) == ("cancelled", {})
    assert row_count(sessions) == before
    assert staged(services) == []


# --- Lists


def test_jobs_are_listed_newest_first_and_by_state(client: TestClient, services: Services) -> None:
    urls = [accepted(send(client, (f"{n}.png", png(90)))) for n in range(5)]
    mine = [int(url.rpartition("/")[2]) for url in reversed(urls)]
    pages = list(pages_of(client, JOBS, "data", limit=2))
    assert all(len(page) == 2 for page in pages[:-1])
    ids = [job["id"] for page in pages for job in page]
    assert ids == sorted(set(ids), reverse=True)
    assert ids[:5] == mine
    assert client.post(f"{urls[0]}/cancel").status_code == 200
    waiting = list(pages_of(client, JOBS, "data", status="pending", limit=1))
    assert [page[0]["id"] for page in waiting if page] == mine[:4]
    (cancelling,) = client.get(JOBS, params={"status": "cancelling"}).json()["data"]
    assert cancelling["id"] == mine[4]
    with working(services):
        over = [ended(client, url) for url in urls]
    assert [job["status"] for job in over] == ["cancelled", *["succeeded"] * 4]
    assert (sum(job["added"] for job in over), sum(job["duplicate"] for job in over)) == (1, 3)
    assert client.get(JOBS, params={"status": "pending"}).json() == {
        "data": [], "next_cursor": None
    }  # fmt: skip


def test_items_are_listed_in_the_order_of_the_request(client: TestClient) -> None:
    names = [f"{n}.png" for n in range(7)]
    url = accepted(send(client, *((name, png(91)) for name in names)))
    pages = list(pages_of(client, f"{url}/items", "data", limit=3))
    assert [item["path"] for page in pages for item in page] == names
    assert [len(page) for page in pages] == [3, 3, 1]
    failed = client.get(f"{url}/items", params={"status": "failed"}).json()
    assert failed == {"data": [], "next_cursor": None}
    assert client.post(f"{url}/cancel").status_code == 200


def pages_of(
    client: TestClient, url: str, key: str, **query: str | int
) -> Iterator[list[dict[str, Any]]]:
    """Page after page, as the cursors lead."""
    cursor: dict[str, str] = {}
    while True:
        answer = client.get(url, params={**query, **cursor})
        assert answer.status_code == 200, answer.text
        yield answer.json()[key]
        if answer.json()["next_cursor"] is None:
            return
        cursor = {"cursor": answer.json()["next_cursor"]}


@pytest.mark.parametrize("job_id", [999_999, 2**63 - 1])
def test_a_job_that_is_unknown_is_not_found(client: TestClient, job_id: int) -> None:
    url = f"{JOBS}/{job_id}"
    answers = [client.get(url), client.get(f"{url}/items"), client.get(f"{url}/events")]
    answers += [client.post(f"{url}/cancel"), client.post(f"{url}/retry")]
    for answer in answers:
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)
        assert answer.json()["detail"] == f"There is no job with id {job_id}."


@pytest.mark.parametrize(
    "url",
    [f"{JOBS}?status=odd", f"{JOBS}?limit=0", f"{JOBS}?limit=1001", f"{JOBS}?cursor=-1",
     f"{JOBS}/0", f"{JOBS}/{2**63}", f"{JOBS}/x", f"{JOBS}/1/items?status=odd"],
)  # fmt: skip
def test_what_is_no_page_is_refused(client: TestClient, url: str) -> None:
    answer = client.get(url)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)


# --- All or nothing


def test_files_whose_job_cannot_be_written_are_not_kept(
    services: Services, sessions: Sessions, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(png(95))
    nowhere = replace(services.job_submission, collection_id=999_999)  # there is no such collection
    before = set(staged(services))
    with (tmp_path / "a.png").open("rb") as file, pytest.raises(CollectionNotFound):
        nowhere.sent([SentFile("a.png", file)], SentFile("b.zip", file), Annotation())
    assert set(staged(services)) == before
    with sessions.begin() as session:
        query = text("SELECT count(*) FROM jobs WHERE collection_id = 999999")
        assert session.execute(query).scalar_one() == 0


def test_a_linked_folder_that_is_open_keeps_its_name(
    services: Services, settings: Settings, tmp_path: Path
) -> None:
    """Its pictures would have two names otherwise: this one at start, another over HTTP."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    job_submission = replace(services.job_submission, folders=(tmp_path / "link",))
    job = job_submission.job(job_submission.requested({"folder": "."}, JobOptions()))
    assert job.source == {"folder": str(tmp_path / "link")}
    job_submission.cancel(job.id)
