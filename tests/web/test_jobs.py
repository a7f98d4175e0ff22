"""Pictures handed in as jobs, over HTTP: files, archives, URLs."""

import io
import json
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from fastapi.testclient import TestClient

from app.database.connections import Sessions
from app.runtime.services import Services
from app.settings import ROOT, Settings
from app.sources.url_check import NOT_ALLOWED
from tests.fixtures.drawn_pictures import png
from tests.fixtures.http_jobs import (
    IMAGES,
    JOBS,
    accepted,
    counts,
    done,
    ended,
    items,
    reasons,
    row_count,
    send,
    send_archive,
    staged,
    zipped,
)
from tests.fixtures.web_server import Site, http, serving

PROBLEM = "application/problem+json"
PICTURES = ROOT / "data" / "test_images"
HOSTILE = {
    "../evil.jpg": "The name leads out of the archive.",
    "/etc/x.jpg": "The name is an absolute path.",
    "link.jpg": "",  # in the words of its kind of archive
}
TABLE = "file_name,caption,place,year\nanchor.jpg,an anchor,Lisbon,1999\nsub/bat.jpg,a bat,,\n"

MAX_ENTRIES = 30  # of an archive

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """URLs may lead to loopback, and archives may not be large."""
    loopback = (ip_network("127.0.0.0/8"),)
    return settings.model_copy(
        update={"download_allow": loopback, "max_archive_entries": MAX_ENTRIES}
    )


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


def picture(name: str) -> tuple[str, bytes]:
    return name, (PICTURES / name).read_bytes()


# --- Files


def test_files_become_pictures_that_are_found(
    client: TestClient, services: Services, sessions: Sessions
) -> None:
    names = ["airplane.jpg", "alien.webp", "american-football.png"]
    files = [picture(name) for name in names]
    told = {"caption": "from a form", "metadata": '{"place": "Lisbon", "n": [1, "é"]}'}
    job = done(client, send(client, *files, **told))
    assert (job["status"], job["reason"], job["done"]) == ("succeeded", None, 3)
    assert counts(job) == {"total": 3, "added": 3}
    assert job["source"] == {"files": 3}
    assert staged(services) == []
    for item, name in zip(items(client, job), names, strict=True):
        assert (item["path"], item["status"], item["action"]) == (name, "succeeded", "added")
        assert (item["attempts"], item["reason"]) == (1, None)
        record = client.get(f"/images/{item['image_id']}").json()
        assert (record["origin"], record["caption"]) == (name, "from a form")
        assert record["metadata"] == json.loads(told["metadata"])
        assert client.get(record["url"]).content == (PICTURES / name).read_bytes()
    hits = client.get("/search-by-text", params={"query": "an airplane", "limit": 3}).json()
    assert hits[0]["id"] == items(client, job)[0]["image_id"]

    again = done(client, send(client, *files))
    assert counts(again) == {"total": 3, "duplicate": 3}
    assert again["skipped"] == 3
    ids = [[item["image_id"] for item in items(client, one)] for one in (job, again)]
    assert ids[0] == ids[1]
    assert row_count(sessions) == 3
    assert staged(services) == []


def test_a_corrupt_file_fails_alone(
    client: TestClient, services: Services, sessions: Sessions
) -> None:
    before = row_count(sessions)
    sent = [("1.png", png(1)), ("cut.png", png(2)[:60]), ("3.png", png(3)), ("t.txt", b"text")]
    job = done(client, send(client, *sent))
    assert (job["status"], counts(job)) == ("succeeded", {"total": 4, "added": 2, "failed": 2})
    found = reasons(client, job)
    assert set(found) == {"cut.png", "t.txt"}
    assert "damaged" in found["cut.png"]
    assert "not a picture" in found["t.txt"]
    codes = {one["path"]: one["code"] for one in items(client, job, status="failed")}
    assert codes == {"cut.png": "image_corrupt", "t.txt": "image_unsupported"}
    assert (job["code"], job["retryable"]) == (None, False)
    assert [item["path"] for item in items(client, job, status="succeeded")] == ["1.png", "3.png"]
    assert row_count(sessions) == before + 2
    assert staged(services) == []
    refused = client.post(f"{JOBS}/{job['id']}/retry")
    assert refused.status_code == 409  # its bytes are gone: what would be tried?


def test_the_same_bytes_twice_in_a_request_are_added_once(client: TestClient) -> None:
    job = done(client, send(client, ("a.png", png(10)), ("b.png", png(10))))
    assert counts(job) == {"total": 2, "added": 1, "duplicate": 1}
    first, second = items(client, job)
    assert (first["action"], second["action"]) == ("added", "duplicate")
    assert first["image_id"] == second["image_id"]


def test_names_with_a_nul_are_kept_printable(client: TestClient) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a\0b.png"\r\n\r\n'
        + png(11) + b"\r\n--x--\r\n"
    )  # fmt: skip
    headers = {"content-type": "multipart/form-data; boundary=x"}
    job = done(client, client.post(IMAGES, content=body, headers=headers))
    assert [item["path"] for item in items(client, job)] == ["a�b.png"]


def test_a_dry_run_of_files_says_what_would_be(
    client: TestClient, services: Services, sessions: Sessions
) -> None:
    done(client, send(client, ("known.png", png(20))))
    before = row_count(sessions)
    sent = [("known.png", png(20)), ("new.png", png(21)), ("cut.png", png(22)[:60])]
    job = done(client, send(client, *sent, dry_run="1"))
    assert (job["dry_run"], job["status"]) == (True, "succeeded")
    assert counts(job) == {"total": 3, "added": 1, "duplicate": 1, "failed": 1}
    assert row_count(sessions) == before
    assert staged(services) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"data": {"caption": "x"}, "files": {"other": ("x", b"x")}}, "body other: there is no"),
        ({"data": {"files": "text"}, "files": {"x": ("x", b"x")}}, "body x: there is no"),
        ({"data": {"caption": "a\0b"}, "files": {"files": ("x", b"x")}}, "caption: "),
        ({"data": {"metadata": "[1]"}, "files": {"files": ("x", b"x")}}, "metadata: "),
        ({"data": {"dry_run": "maybe"}, "files": {"files": ("x", b"x")}}, "dry_run: "),
        (
            {"files": [("archive", ("x", b"x")), ("archive", ("y", b"y"))]},
            "archive: it was sent 2 times; send it once.",
        ),
        ({"files": [("files", ("x", b"x"))] * 1001}, "1001 files"),
        ({"files": {"files": (None, "x")}}, "files: send a file"),
    ],
)
def test_a_form_that_is_wrong_is_refused_at_once(
    client: TestClient, services: Services, fields: dict[str, Any], words: str
) -> None:
    answer = client.post(IMAGES, **fields)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert words in answer.json()["detail"]
    assert staged(services) == []


# --- Archives


def tarred(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if name == "link.jpg":
                info.type, info.linkname, info.size = tarfile.SYMTYPE, data.decode(), 0
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def evil_below(folder: Path) -> set[Path]:
    """Files that the archive may have put there; folders that cannot be listed are passed over."""
    found = (Path(at, name) for at, _, names in os.walk(folder) for name in names)
    return {path for path in found if path.name.startswith("evil")}


@pytest.mark.parametrize(("pack", "seed"), [(zipped, 30), (tarred, 40)])
def test_an_archive_is_taken_in_with_what_it_tells(
    client: TestClient,
    services: Services,
    settings: Settings,
    pack: Callable[[dict[str, bytes]], bytes],
    seed: int,
) -> None:
    sidecar = {"caption": "seen at night", "place": "a cave"}
    files = {
        **{name: png(seed) if name != "link.jpg" else b"/etc/passwd" for name in HOSTILE},
        "metadata.csv": TABLE.encode(),
        "anchor.jpg": png(seed + 1),
        "sub/bat.jpg": png(seed + 2),
        "sub/bat.jpg.json": json.dumps(sidecar).encode(),
        "cut.png": png(seed + 3)[:60],
    }
    outside = evil_below(settings.test_upload_dir.parent.parent)
    job = done(client, send_archive(client, pack(files), metadata='{"from": "form"}'))
    assert (job["status"], job["reason"]) == ("succeeded", None)
    assert counts(job) == {"total": 6, "added": 2, "failed": 4}
    assert job["source"] == {"files": 0, "archive": "many.zip"}
    found = reasons(client, job)
    assert set(found) == {*HOSTILE, "cut.png"}
    assert all(found[name].startswith(HOSTILE[name]) for name in HOSTILE)
    assert "link" in found["link.jpg"]
    anchor, bat = items(client, job, status="succeeded")
    told = client.get(f"/images/{anchor['image_id']}").json()
    assert (told["origin"], told["caption"]) == ("anchor.jpg", "an anchor")
    assert told["metadata"] == {"from": "form", "place": "Lisbon", "year": 1999}
    told = client.get(f"/images/{bat['image_id']}").json()
    assert (told["origin"], told["caption"]) == ("sub/bat.jpg", "seen at night")
    assert told["metadata"] == {"from": "form", "place": "a cave"}
    assert staged(services) == []
    assert evil_below(settings.test_upload_dir.parent.parent) == outside
    assert not Path("/etc/x.jpg").exists()


def test_a_malformed_sidecar_costs_a_note_alone(client: TestClient) -> None:
    files = {"a.png": png(50), "a.png.json": b"{", "b.png": png(51)}
    job = done(client, send_archive(client, zipped(files)))
    assert counts(job) == {"total": 2, "added": 2}
    assert ["not JSON" in (item["reason"] or "") for item in items(client, job)] == [True, False]


def test_rows_of_a_table_that_meet_no_picture_are_told(client: TestClient) -> None:
    """Issue 21, line 28."""
    table = "file_name,caption\nTREE.PNG,a tree\nnone.png,a ghost\nlost.png,another\n"
    files = {"tree.png": png(71), "metadata.csv": table.encode()}
    job = done(client, send_archive(client, zipped(files)))
    assert counts(job) == {"total": 2, "added": 1, "failed": 1}
    told = {item["path"]: item for item in items(client, job)}
    rows = "Rows that name no file of the archive: 'none.png', 'lost.png'."
    assert (told["metadata.csv"]["status"], told["metadata.csv"]["reason"]) == ("failed", rows)
    added = client.get(f"/images/{told['tree.png']['image_id']}").json()
    assert added["caption"] == "a tree"


@pytest.mark.parametrize("more", [0, 1])
def test_the_entries_of_an_archive_are_bounded_by_a_setting(client: TestClient, more: int) -> None:
    """Issue 21, line 28: 10,000 could not be raised, and sidecars counted."""
    files = {f"{n}.png": f"text {n}".encode() for n in range(MAX_ENTRIES + more)}
    sidecars = {f"{n}.png.json": b'{"caption": "one"}' for n in range(MAX_ENTRIES)}
    job = done(client, send_archive(client, zipped(files | sidecars)))
    limit = f"The archive has more than {MAX_ENTRIES} entries. IMAGE_SEARCH_MAX_ARCHIVE_ENTRIES"
    assert (job["status"], str(job["reason"]).startswith(limit)) == (
        ("failed", True) if more else ("succeeded", False)
    )
    assert counts(job) == {"total": MAX_ENTRIES, "failed": MAX_ENTRIES}


def test_files_and_an_archive_come_in_one_request(client: TestClient, services: Services) -> None:
    sent = [
        ("files", ("one.png", png(52))),
        ("archive", ("z.zip", zipped({"two.png": png(53)}))),
    ]
    job = done(client, client.post(IMAGES, files=sent))
    assert counts(job) == {"total": 2, "added": 2}
    assert {item["path"] for item in items(client, job)} == {"one.png", "two.png"}
    assert staged(services) == []


def test_an_archive_over_a_bound_fails_after_what_came_before(
    client: TestClient, services: Services, sessions: Sessions
) -> None:
    before = row_count(sessions)
    files = {"a.png": png(54), "bomb.png": bytes(20_000_000), "z.png": png(55)}
    job = done(client, send_archive(client, zipped(files, zipfile.ZIP_DEFLATED)))
    assert (job["status"], counts(job)) == ("failed", {"total": 1, "added": 1})
    assert job["reason"] == "The archive unpacks to more than 100 times its size."
    assert row_count(sessions) == before + 1
    assert staged(services) == []


@pytest.mark.parametrize("data", [b"garbage", b"", b"PK\x03\x04 cut short"])
def test_what_is_no_archive_fails_in_one_sentence(
    client: TestClient, services: Services, data: bytes
) -> None:
    job = done(client, send_archive(client, data))
    assert (job["status"], counts(job)) == ("failed", {})
    assert "archive" in job["reason"] or "zip" in job["reason"]
    assert job["reason"].endswith(".")
    assert staged(services) == []


def test_a_refused_archive_cannot_be_tried_again(client: TestClient) -> None:
    url = accepted(send_archive(client, b"garbage"))
    job = ended(client, url)
    assert (job["status"], job["code"], job["retryable"]) == ("failed", "archive_invalid", False)
    assert client.post(f"{url}/retry").status_code == 200
    again = ended(client, url)
    assert (again["status"], again["reason"]) == (
        "failed",
        "The archive was refused and deleted: send another one.",
    )


# --- URLs


def test_urls_are_fetched(client: TestClient, site: Site) -> None:
    site.answers = {"/a.png": http(200, body=png(60)), "/text": http(200, body=b"text")}
    base = f"http://127.0.0.1:{site.port}"
    shut = ["http://169.254.169.254/latest/meta-data", "http://10.0.0.1/a.png", "file:///etc/x"]
    urls = [f"{base}/a.png", f"{base}/absent", f"{base}/text", *shut]
    told = {"caption": "from afar", "metadata": {"by": "url"}}
    job = done(client, client.post(IMAGES, json={"urls": urls, **told}))
    assert (job["status"], job["source"]) == ("succeeded", {"urls": 6})
    assert counts(job) == {"total": 6, "added": 1, "failed": 5}
    found = reasons(client, job)
    assert {found[url] for url in shut} == {NOT_ALLOWED}
    assert found[urls[1]] == "127.0.0.1 answers with status 404."
    assert "not a picture" in found[urls[2]]
    codes = {one["path"]: one["code"] for one in items(client, job, status="failed")}
    assert (codes[urls[1]], codes[urls[3]]) == ("url_unreadable", "url_not_allowed")
    assert job["retryable"]  # the first may be there later
    (added,) = items(client, job, status="succeeded")
    record = client.get(f"/images/{added['image_id']}").json()
    assert (record["origin"], record["caption"]) == (urls[0], "from afar")
    assert record["metadata"] == {"by": "url"}
    assert client.get(record["url"]).content == png(60)


Away = tuple[Site, str, list[tuple[str, Any]]]


@pytest.fixture(scope="module")
def away(client: TestClient) -> Iterator[Away]:
    """A server that failed twice at /flaky and always at /down; the job on both, its events."""
    asked = iter(range(3))

    def flaky(out: BinaryIO) -> None:
        out.write(http(200, body=png(61)) if next(asked) == 2 else http(503))

    with serving() as site:
        site.answers = {"/flaky": flaky, "/down": http(503)}
        urls = [f"http://127.0.0.1:{site.port}/{name}" for name in ("flaky", "down")]
        url = accepted(client.post(IMAGES, json={"urls": urls}))
        early = client.post(f"{url}/retry")
        assert (early.status_code, early.headers["content-type"]) == (409, PROBLEM)
        yield site, url, followed(client, url)  # some seconds


def test_events_tell_of_progress_and_of_the_end(client: TestClient, away: Away) -> None:
    _, url, events = away
    assert {name for name, _ in events[:-1]} == {"progress"}
    assert events[0][1]["finished_at"] is None
    assert events[-1] == ("end", client.get(url).json())
    assert followed(client, url) == events[-1:]


def test_a_server_that_is_away_is_asked_again(
    client: TestClient, services: Services, away: Away
) -> None:
    site, url, _ = away
    job = ended(client, url)
    assert (job["status"], counts(job)) == ("succeeded", {"total": 2, "added": 1, "failed": 1})
    flaky, down = items(client, job)
    assert (flaky["action"], flaky["attempts"]) == ("added", 3)
    assert flaky["worker"] == services.worker.name
    assert (down["status"], down["attempts"]) == ("failed", 3)
    assert down["reason"] == "127.0.0.1 answers with status 503; try again later."
    assert site.paths.count("/down") == 3


def test_what_failed_is_tried_again_when_asked(client: TestClient, away: Away) -> None:
    site, url, _ = away
    site.answers["/down"] = http(200, body=png(62))
    again = client.post(f"{url}/retry")
    assert (again.status_code, again.json()["status"]) == (200, "running")
    job = ended(client, url)
    assert (job["status"], counts(job)) == ("succeeded", {"total": 2, "added": 2})
    assert items(client, job)[1]["attempts"] == 1
    assert site.paths.count("/flaky") == 3  # no more
    for what, words in (("retry", "no failed file"), ("cancel", "has ended as succeeded")):
        refused = client.post(f"{url}/{what}")
        assert (refused.status_code, refused.headers["content-type"]) == (409, PROBLEM)
        assert words in refused.json()["detail"]


def followed(client: TestClient, url: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a job until they end: their names and data."""
    answer = client.get(f"{url}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in filter(None, answer.text.split("\n\n")):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_a_job_that_runs_is_cancelled_between_its_files(
    client: TestClient, site: Site, sessions: Sessions
) -> None:
    """What is under way ends; what waits for its next attempt does not begin."""
    asked, go_on = threading.Event(), threading.Event()

    def slow(out: BinaryIO) -> None:
        asked.set()
        go_on.wait(10)
        out.write(http(200, body=png(63)))

    site.answers = {"/slow": slow}
    before = row_count(sessions)
    urls = [f"http://127.0.0.1:{site.port}/slow"]
    url = accepted(client.post(IMAGES, json={"urls": urls}))
    assert asked.wait(10)
    try:
        cancelling = client.post(f"{url}/cancel")
        assert (cancelling.status_code, cancelling.json()["status"]) == (200, "cancelling")
    finally:
        go_on.set()
    job = ended(client, url)
    assert (job["status"], counts(job)) == ("cancelled", {"total": 1, "added": 1})
    assert row_count(sessions) == before + 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "urls or a source"),
        ({"urls": ["http://a/"], "source": {"folder": "x"}}, "urls or a source"),
        ({"urls": []}, "body urls: "),
        ({"urls": ["http://a/"] * 1001}, "body urls: "),
        ({"urls": "http://a/"}, "body urls: "),
        ({"urls": [1]}, "body urls[0]: "),
        ({"urls": ["http://a/" + "x" * 2000]}, "body urls[0]: "),
        ({"urls": ["http://a/\0"]}, "body urls[0]: "),
        ({"urls": ["http://a/"], "mode": "sync"}, "mode sync needs a source"),
        ({"urls": ["http://a/"], "more": 1}, "body more: "),
        ({"urls": ["http://a/"], "caption": "a\0b"}, "caption: "),
        ({"urls": ["http://a/"], "caption": "x" * 2001}, "caption: "),
        ({"urls": ["http://a/"], "metadata": [1]}, "body metadata: "),
        ({"urls": ["http://a/"], "metadata": {"a": "\0"}}, "metadata: "),
        ({"urls": ["http://a/"], "dry_run": "maybe"}, "body dry_run: "),
        ({"source": {}}, "name either a folder or a bucket"),
        ({"source": {"folder": "a", "bucket": "b"}}, "name either a folder or a bucket"),
        ({"source": {"folder": "a", "more": 1}}, "body source.more: "),
        ({"source": {"folder": 1}}, "body source.folder: "),
        ({"source": {"bucket": "a", "prefix": "\0"}}, "body source.prefix: "),
        ({"source": "a"}, "body source: "),
        ({"source": {"folder": "a"}, "mode": "other"}, "body mode: "),
        ([], "body: "),
    ],
)
def test_json_that_is_wrong_is_refused_by_its_field(
    client: TestClient, body: object, words: str
) -> None:
    answer = client.post(IMAGES, json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b'{"urls": ["\\ud800"]}', b"[" * 5000, b"NaN"]
)
def test_a_body_that_is_no_json_is_refused(client: TestClient, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = client.post(IMAGES, content=content, headers=headers)
    assert answer.status_code == (422 if content == b"NaN" else 400), answer.text
    assert answer.headers["content-type"] == PROBLEM


def test_json_has_a_bound_of_its_own(client: TestClient) -> None:
    body = b'{"urls": ["' + b"x" * 4_000_000 + b'"]}'
    answer = client.post(IMAGES, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["detail"] == "The JSON has more than 4,000,000 bytes."


@pytest.mark.parametrize("url", ["http://\x7f/", "x", "", " http://127.0.0.1/"])
def test_a_url_that_is_none_fails_alone(client: TestClient, url: str) -> None:
    job = done(client, client.post(IMAGES, json={"urls": [url]}))
    assert counts(job) == {"total": 1, "failed": 1}
    assert list(reasons(client, job).values()) == [NOT_ALLOWED]
