"""Metadata and the types of their fields: what does not fit is refused, or of files noted."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.database.connections import Sessions
from app.settings import ROOT
from tests.fixtures.drawn_pictures import png
from tests.fixtures.http_jobs import (
    IMAGES,
    Answer,
    counts,
    done,
    items,
    row_count,
    send,
    send_archive,
    zipped,
)

DEFAULT = "/api/v1/collections/default"
TOLD = 'metadata.stars: "five" is not a number, and stars is a field of the'
PICTURES = ROOT / "data" / "test_images"


@pytest.fixture(autouse=True)
def stars(client: TestClient) -> Iterator[None]:
    """A collection that declares `stars`, and is empty."""
    assert client.patch(DEFAULT, json={"fields": {"stars": "number"}}).status_code == 200
    yield
    client.post(f"{DEFAULT}/images/delete", json={"filter": {"id": {"gt": 0}}})
    declared = client.get(DEFAULT).json()["fields"]
    client.patch(DEFAULT, json={"fields": dict.fromkeys(declared)})


def refused(answer: Answer) -> None:
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "annotation_invalid"
    assert TOLD in answer.json()["detail"]


def stored(client: TestClient) -> int:
    sent = {"file": ("1.png", png(1))}
    answer = client.post("/upload", files=sent, data={"metadata": '{"stars": 5}'})
    assert answer.status_code == 201, answer.text
    image_id: int = answer.json()[0]["id"]
    return image_id


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/upload", "file"),
        ("POST", f"{DEFAULT}/images", "file"),
        ("PUT", f"{DEFAULT}/images/by-external-id/sku-1", "file"),
        ("POST", IMAGES, "files"),
        ("POST", IMAGES, "archive"),
    ],
)
def test_an_upload_is_refused_and_nothing_stored(
    client: TestClient, sessions: Sessions, method: str, path: str, name: str
) -> None:
    data = zipped({"a.png": png(2)}) if name == "archive" else png(2)
    sent = {name: ("a.png", data)}
    refused(client.request(method, path, files=sent, data={"metadata": '{"stars": "five"}'}))
    assert row_count(sessions) == 0
    assert client.get("/api/v1/jobs").json()["data"] == []


def test_urls_are_refused_before_any_is_fetched(client: TestClient) -> None:
    body = {"urls": ["https://example.org/a.png"], "metadata": {"stars": "five"}}
    refused(client.post(IMAGES, json=body))
    assert client.get("/api/v1/jobs").json()["data"] == []


def test_changes_are_refused_and_leave_what_was_there(client: TestClient) -> None:
    image_id = stored(client)
    five: dict[str, Any] = {"caption": "five", "metadata": {"stars": "five"}}
    refused(client.patch(f"{IMAGES}/{image_id}", json=five))
    refused(client.post(f"{DEFAULT}/images/change", json={"ids": [image_id], **five}))
    found = client.get(f"{IMAGES}/{image_id}").json()
    assert (found["caption"], found["metadata"]) == (None, {"stars": 5})
    answer = client.patch(f"{IMAGES}/{image_id}", json={"metadata": {"stars": None}})
    assert answer.json()["metadata"] == {}


def test_a_date_that_nothing_would_read_is_refused(client: TestClient) -> None:
    """It was shown as when the picture was taken, and no filter or order knew it."""
    image_id = stored(client)
    dated = {"taken_at": "2001-05-05"}
    sent = {"file": ("2.png", png(2))}
    for answer in (
        client.patch(f"{IMAGES}/{image_id}", json={"metadata": dated}),
        client.post("/upload", files=sent, data={"metadata": json.dumps(dated)}),
    ):
        assert answer.status_code == 422, answer.text
        assert "from its file or an XMP sidecar" in answer.json()["detail"]
    removed = client.patch(f"{IMAGES}/{image_id}", json={"metadata": {"taken_at": None}})
    assert removed.status_code == 200, removed.text


def test_what_was_there_before_its_field_hinders_no_change(client: TestClient) -> None:
    client.patch(DEFAULT, json={"fields": {"stars": None}})
    sent = {"file": ("1.png", png(1))}
    answer = client.post("/upload", files=sent, data={"metadata": '{"stars": "five"}'})
    image_id = answer.json()[0]["id"]
    client.patch(DEFAULT, json={"fields": {"stars": "number"}})
    answer = client.patch(f"{IMAGES}/{image_id}", json={"metadata": {"n": 1}})
    assert answer.json()["metadata"] == {"stars": "five", "n": 1}


@pytest.mark.usefixtures("worker")
def test_of_files_in_an_archive_it_is_noted(client: TestClient) -> None:
    """They are not refused: whoever sends a thousand pictures did not write their tables."""
    table = "file_name,stars\na.png,five\nb.png,5\n"
    sidecar = json.dumps({"stars": "five"}).encode()
    files = {"metadata.csv": table.encode(), "a.png": png(1), "b.png": png(2), "c.png": png(3)}
    job = done(client, send_archive(client, zipped({**files, "c.png.json": sidecar})))
    assert counts(job) == {"total": 3, "added": 3}
    noted = {one["path"]: one["reason"] for one in items(client, job)}
    assert noted["b.png"] is None
    for name in ("a.png", "c.png"):
        assert noted[name].startswith(f"Filters ignore what does not fit its field: {TOLD}")
    again = done(client, send(client, ("a.png", png(1))))
    assert [one["reason"] for one in items(client, again)] == [None]


@pytest.mark.usefixtures("worker")
def test_a_csv_fills_fields_of_every_type(client: TestClient) -> None:
    """`tags` is a field of every collection, `good` of those that declare it."""
    fields = {"good": "boolean", "shades": "tags", "day": "date", "year": "text"}
    assert client.patch(DEFAULT, json={"fields": {"stars": "number", **fields}}).status_code == 200
    table = (
        "file_name,good,tags,shades,day,year,stars\n"
        'a.png,true,red,"red,blue",2024-05-31,1984,5\n'
        "b.png,False,red; blue,green,2023-01-01,2001,4\n"
        "c.png,perhaps,,,,,\n"
    )
    files = {"metadata.csv": table.encode(), **{f"{name}.png": png(ord(name)) for name in "abc"}}
    job = done(client, send_archive(client, zipped(files)))
    assert counts(job) == {"total": 3, "added": 3}
    listed = client.get(f"{DEFAULT}/images").json()["data"]
    assert {one["origin"]: one["metadata"] for one in listed} == {
        "a.png": {
            "good": True,
            "tags": ["red"],
            "shades": ["red", "blue"],
            "day": "2024-05-31",
            "year": "1984",
            "stars": 5,
        },
        "b.png": {
            "good": False,
            "tags": ["red", "blue"],
            "shades": ["green"],
            "day": "2023-01-01",
            "year": "2001",
            "stars": 4,
        },
        "c.png": {"good": "perhaps"},
    }
    noted = {one["path"]: one["reason"] for one in items(client, job)}
    assert (noted["a.png"], noted["b.png"]) == (None, None)
    assert 'metadata.good: "perhaps" is not true or false' in noted["c.png"]
    ids = [one["id"] for one in listed if one["origin"] == "a.png"]
    wanted = {
        "good": True,
        "tags": {"contains": "red"},
        "shades": {"contains": "blue"},
        "day": {"gte": "2024-01-01"},
        "year": "1984",
    }
    for field, value in wanted.items():
        asked = {"filter": {"and": [{field: value}, {"stars": {"gte": 5}}]}}
        answer = client.post("/api/v1/search", json=asked)
        assert answer.status_code == 200, answer.text
        hits = answer.json()["hits"]
        assert [one["id"] for one in hits] == ids, field
