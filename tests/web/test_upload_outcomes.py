"""A picture that is here already, sent again: the answer says whether that changed it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.web.payloads.flat import UPDATED
from tests.fixtures.drawn_pictures import png
from tests.fixtures.http_jobs import counts, done, items, send

DEFAULT = "/api/v1/collections/default"
SAID = [
    ({"caption": "a pier"}, True),
    ({"caption": "a pier"}, False),  # the same again
    ({"metadata": '{"stars": 5}'}, True),
    ({"metadata": '{"stars": 5}', "caption": "a pier"}, False),
    ({"external_id": "sku-1"}, True),
    ({"external_id": "sku-1"}, False),
    ({}, False),
]


@pytest.fixture(autouse=True)
def here(client: TestClient) -> Iterator[None]:
    """The picture that is here."""
    client.post("/upload", files={"file": ("first.png", png(1))})
    yield
    client.post(f"{DEFAULT}/images/delete", json={"filter": {"id": {"gt": 0}}})


def sent(client: TestClient, path: str, said: dict[str, str]) -> Any:
    answer = client.post(path, files={"file": ("again.png", png(1))}, data=said)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_upload_to_a_collection_says_whether_it_changed_something(client: TestClient) -> None:
    for said, updated in SAID:
        (one,) = sent(client, f"{DEFAULT}/images", said)["data"]
        assert (one["status"], one["updated"]) == ("duplicate", updated), said
        assert one["reason"] == (UPDATED if updated else None)


def test_a_flat_upload_says_so_in_its_reason(client: TestClient) -> None:
    for said, updated in SAID:
        (one,) = sent(client, "/upload", said)
        assert (one["status"], one["reason"]) == ("duplicate", UPDATED if updated else None), said


def test_of_the_same_bytes_twice_the_second_says_nothing(client: TestClient) -> None:
    files = [("file", (name, png(2))) for name in ("a.png", "b.png")]
    answer = client.post(f"{DEFAULT}/images", files=files, data={"caption": "both"})
    outcomes = [(one["status"], one["updated"]) for one in answer.json()["data"]]
    assert outcomes == [("stored", False), ("duplicate", False)]


@pytest.mark.usefixtures("worker")
def test_a_job_counts_what_it_changed(client: TestClient) -> None:
    said = {"metadata": json.dumps({"stars": 5})}
    sent = ("again.png", png(1)), ("new.png", png(3))
    would = done(client, send(client, *sent, **said, dry_run="1"))
    assert counts(would) == {"total": 2, "added": 1, "changed": 1}
    job = done(client, send(client, *sent, **said))
    assert counts(job) == {"total": 2, "added": 1, "changed": 1}
    assert [one["action"] for one in items(client, job)] == ["changed", "added"]
    again = done(client, send(client, *sent, **said))
    assert counts(again) == {"total": 2, "duplicate": 2}


@pytest.mark.parametrize("caption", [{"caption": ""}, {}])
def test_sending_a_picture_again_removes_nothing(
    client: TestClient, worker: None, caption: dict[str, str]
) -> None:
    """The page sends an empty caption with every file, and tags that are for all of them."""
    said = {"caption": "Henry", "metadata": json.dumps({"tags": ["dog", "funny"], "n": 1})}
    (known,) = sent(client, "/upload", said)
    trip = {**caption, "metadata": json.dumps({"tags": ["trip", "dog"]})}
    for again in (
        lambda: sent(client, "/upload", trip),
        lambda: sent(client, f"{DEFAULT}/images", trip),
        lambda: done(client, send(client, ("again.png", png(1)), **trip)),
    ):
        again()
        found = client.get(f"/api/v1/images/{known['id']}").json()
        assert (found["caption"], found["metadata"]) == (
            "Henry",
            {"tags": ["dog", "funny", "trip"], "n": 1},
        )
    job = done(client, send(client, ("again.png", png(1)), **trip))
    assert counts(job) == {"total": 1, "duplicate": 1}, "nothing has changed"
