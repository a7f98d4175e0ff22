"""Words in pictures over HTTP: turned on, read by a job, found by searches, turned off."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.runtime.services import Services
from tests.fixtures.extras import needs_ocr
from tests.fixtures.http_jobs import JOBS, ended, working
from tests.fixtures.pictures_with_text import with_text, without_text
from tests.fixtures.search_library import answer, refused

DEFAULT = "/api/v1/collections/default"
RECEIPT = ("Baker Street Coffee", "Cappuccino 4.20", "Invoice No 4711")
SIGN = ("NO PARKING", "at any time")


@pytest.fixture(scope="module")
def ids(client: TestClient) -> dict[str, int]:
    """The ids of pictures with words, and of one without."""
    files = {
        "receipt": with_text(*RECEIPT),
        "sign": with_text(*SIGN),
        "blue": without_text(),
    }
    return {name: upload(client, f"{name}.png", data) for name, data in files.items()}


@pytest.fixture(scope="module")
def is_read(client: TestClient, services: Services, ids: dict[str, int]) -> Iterator[None]:
    """The annotator `text` is on, and has looked at all pictures."""
    with working(services):
        turn_on(client)
    yield
    client.patch(DEFAULT, json={"annotators": []})


def upload(client: TestClient, name: str, data: bytes) -> int:
    sent = client.post("/upload", files={"file": (name, data)})
    assert sent.is_success, sent.text
    found: int = sent.json()[0]["id"]
    return found


def turn_on(client: TestClient) -> dict[str, Any]:
    """Turn the annotator on and await its job; what the API says of it."""
    changed = client.patch(DEFAULT, json={"annotators": ["text"]})
    assert changed.is_success, changed.text
    assert changed.json()["annotators"] == ["text"]
    job = ended(client, f"{JOBS}/{annotator(client)['job_id']}")
    assert (job["status"], job["source"]) == ("succeeded", {"annotate": "text"})
    return annotator(client)


def annotator(client: TestClient) -> dict[str, Any]:
    (found,) = client.get(f"{DEFAULT}/annotators").json()["data"]
    return dict(found)


def texts(client: TestClient, image_id: int) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/v1/images/{image_id}/texts").json()
    return found


def found_by(client: TestClient, query: str, mode: str = "lexical") -> dict[int, list[str]]:
    """The texts of each hit, by id."""
    hits = answer(client, query=query, mode=mode)["hits"]
    return {hit["id"]: [line["text"] for line in hit["texts"]] for hit in hits}


@pytest.mark.skipif(find_spec("rapidocr") is not None, reason="the extra ocr is installed")
def test_without_the_extra_turning_it_on_is_refused_with_what_to_install(
    client: TestClient,
) -> None:
    for method, path, body in (
        ("PATCH", DEFAULT, {}),
        ("POST", "/api/v1/collections", {"name": "scans"}),
    ):
        sent = client.request(method, path, json={**body, "annotators": ["text"]})
        assert "pip install 'picture-search[ocr]'" in refused(sent)
        assert sent.json()["code"] == "annotator_unavailable"
    assert client.get("/api/v1/collections/scans").status_code == 404
    assert client.get(f"{DEFAULT}/annotators").json() == {"data": []}


def test_an_unknown_annotator_is_refused(client: TestClient) -> None:
    refused(client.patch(DEFAULT, json={"annotators": ["smell"]}))


@needs_ocr
def test_a_dry_run_counts_what_it_would_read_and_begins_nothing(
    client: TestClient, ids: dict[str, int]
) -> None:
    address = f"{DEFAULT}/annotators/text/backfill"
    jobs = client.get(JOBS).json()
    told = client.post(address, params={"dry_run": True})
    assert (told.status_code, told.json()) == (200, {"pictures": 3, "job_id": None})
    assert client.get(JOBS).json() == jobs
    assert client.get(f"{DEFAULT}/annotators").json() == {"data": []}
    assert texts(client, ids["receipt"])["annotations"] == []
    assert "add it to `annotators`" in refused(client.post(address))  # it is off
    refused(client.post(f"{DEFAULT}/annotators/smell/backfill"))


@needs_ocr
def test_what_is_read_is_found_by_words_with_its_place(
    client: TestClient, ids: dict[str, int], is_read: None
) -> None:
    counts = annotator(client)
    assert (counts["read"], counts["skipped"], counts["failed"], counts["waiting"]) == (2, 1, 0, 0)
    (covered,) = client.get(f"{DEFAULT}/coverage").json()["data"]
    job_id = annotator(client)["job_id"]
    told = {"kind": "annotator", "name": "text", "pictures": 3, "done": 3, "failed": 0}
    assert covered == {**told, "job_id": job_id}
    again = client.post(f"{DEFAULT}/annotators/text/backfill")  # there is nothing left
    assert again.json() == {"pictures": 0, "job_id": None}
    read = texts(client, ids["receipt"])
    assert [line["text"] for line in read["texts"]] == list(RECEIPT)
    left, top, right, bottom = read["texts"][0]["box"]
    assert 0.02 < left < 0.08
    assert 0.06 < top < 0.13
    assert 0.4 < right < 0.7
    assert top < bottom < 0.25
    assert read["annotations"][0]["state"] == "read"
    assert found_by(client, "cappuccino") == {ids["receipt"]: [RECEIPT[1]]}
    assert found_by(client, "invoice 4711") == {ids["receipt"]: [RECEIPT[2]]}
    assert found_by(client, '"baker street" cappuccino') == {ids["receipt"]: [*RECEIPT[:2]]}
    assert found_by(client, '"street baker"') == {}
    assert found_by(client, "parking -invoice", "auto")[ids["sign"]] == [SIGN[0]]


@needs_ocr
def test_a_picture_without_words_says_that_it_was_not_read(
    client: TestClient, ids: dict[str, int], is_read: None
) -> None:
    found = texts(client, ids["blue"])
    assert (found["texts"], found["annotations"][0]["state"]) == ([], "skipped")


@needs_ocr
def test_a_caption_counts_more_than_words_in_a_picture(
    client: TestClient, ids: dict[str, int], is_read: None
) -> None:
    captioned = upload(client, "other.png", without_text(1))
    client.patch(f"/api/v1/images/{captioned}", json={"caption": "a cappuccino"})
    assert list(found_by(client, "cappuccino")) == [captioned, ids["receipt"]]
    client.delete(f"/api/v1/images/{captioned}")


@needs_ocr
def test_pictures_that_come_later_are_read_too(
    client: TestClient, services: Services, is_read: None
) -> None:
    later = upload(client, "later.png", with_text("Departure platform nine"))
    assert texts(client, later)["annotations"][0]["state"] == "waiting"
    assert annotator(client)["waiting"] == 1
    with working(services):
        services.annotators.look_at_new()
        ended(client, f"{JOBS}/{annotator(client)['job_id']}")
    assert found_by(client, "platform") == {later: ["Departure platform nine"]}
    client.delete(f"/api/v1/images/{later}")


@needs_ocr
def test_turned_off_its_words_are_gone_and_nothing_is_marked(
    client: TestClient, services: Services, ids: dict[str, int], is_read: None
) -> None:
    off = client.patch(DEFAULT, json={"annotators": []})
    assert off.json()["annotators"] == []
    assert texts(client, ids["receipt"]) == {"texts": [], "annotations": []}
    assert found_by(client, "cappuccino") == {}
    new = upload(client, "new.png", with_text("hello world"))
    assert texts(client, new)["annotations"] == []
    client.delete(f"/api/v1/images/{new}")
    with working(services):
        assert turn_on(client)["read"] == 2
