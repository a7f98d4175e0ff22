"""What is said of a picture, changed over HTTP; and pictures listed in an order."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.pictures.metadata.description import MAX_CAPTION_CHARACTERS
from app.sources.sidecars.annotations import MAX_METADATA_CHARACTERS
from tests.fixtures.drawn_pictures import png
from tests.fixtures.http_jobs import Answer

IMAGES = "/api/v1/images"
DEFAULT = "/api/v1/collections/default"
LISTING = f"{DEFAULT}/images"
SEARCH = "/api/v1/search"
PROBLEM = "application/problem+json"
JSON = {"content-type": "application/json"}


@pytest.fixture(autouse=True)
def empty(client: TestClient) -> Iterator[None]:
    """Each test begins with no picture and two declared fields."""
    fields = {"place": "text", "n": "number"}
    assert client.patch(DEFAULT, json={"fields": fields}).status_code == 200
    yield
    client.post(f"{LISTING}/delete", json={"filter": {"id": {"gt": 0}}})


def stored(client: TestClient, seed: int = 1, **told: str) -> int:
    answer = client.post("/upload", files={"file": (f"{seed}.png", png(seed))}, data=told)
    assert answer.status_code == 201, answer.text
    image_id: int = answer.json()[0]["id"]
    return image_id


def change(client: TestClient, image_id: int, **changes: Any) -> Answer:
    return client.patch(f"{IMAGES}/{image_id}", json=changes)


def record(client: TestClient, image_id: int) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/v1/images/{image_id}").json()
    return found


def refused(answer: Answer, words: str) -> None:
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert words in answer.json()["detail"]


def test_a_caption_is_set_kept_and_taken_away(client: TestClient) -> None:
    image_id = stored(client, caption="a pier")
    before = record(client, image_id)
    assert change(client, image_id).json() == before
    assert change(client, image_id, metadata={}).json() == before
    answer = change(client, image_id, caption="two boats")
    assert answer.json() == {**before, "caption": "two boats"} == record(client, image_id)
    assert change(client, image_id, metadata={"a": 1}).json()["caption"] == "two boats"
    assert change(client, image_id, caption=None).json()["caption"] is None
    change(client, image_id, caption="again")
    assert change(client, image_id, caption="").json()["caption"] is None


def test_metadata_are_merged_and_null_takes_away(client: TestClient) -> None:
    image_id = stored(client, metadata='{"place": "Rome", "n": 1, "deep": {"a": 1, "b": 2}}')
    changes = {"n": None, "deep": {"c": None}, "new": [1, {"é": True}], "absent": None}
    told = change(client, image_id, metadata=changes).json()["metadata"]
    assert told == {"place": "Rome", "deep": {"c": None}, "new": [1, {"é": True}]}
    assert change(client, image_id, metadata=None).json()["metadata"] == told
    assert record(client, image_id)["metadata"] == told


def test_searches_filters_and_facets_follow_at_once(client: TestClient) -> None:
    image_id, other = stored(client, 1, metadata='{"place": "Rome"}'), stored(client, 2)

    def found(**asked: object) -> list[int]:
        answer = client.post(SEARCH, json={"facets": ["place"], **asked}).json()
        return [hit["id"] for hit in answer["hits"]]

    words = {"query": "sailing boats", "mode": "lexical"}
    assert found(**words) == []
    change(client, image_id, caption="a boat that sails", metadata={"place": "Oslo", "n": 3})
    assert found(**words) == [image_id]
    assert found(filter={"place": "Oslo"}) == [image_id]
    assert found(filter={"place": "Rome"}) == []
    assert found(filter={"n": {"gte": 3}}) == [image_id]
    facets = client.post(SEARCH, json={"facets": ["place"]}).json()["facets"]
    assert facets == {"place": [{"value": "Oslo", "count": 1}]}
    change(client, image_id, caption=None)
    assert found(**words) == []
    assert set(found()) == {image_id, other}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"caption": "x" * (MAX_CAPTION_CHARACTERS + 1)}, "body caption"),
        ({"caption": "a\0b"}, "caption: a NUL"),
        ({"caption": 5}, "body caption"),
        ({"metadata": {"a": "b\0"}}, "metadata: a NUL"),
        ({"metadata": {"a\0": "b"}}, "metadata: a NUL"),
        ({"metadata": {"a": "x" * MAX_METADATA_CHARACTERS}}, "metadata: more than 20,000"),
        ({"metadata": [1]}, "body metadata"),
        ({"metadata": "text"}, "body metadata"),
        ({"title": "x"}, "body title"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_changes_nothing(
    client: TestClient, body: dict[str, Any], words: str
) -> None:
    image_id = stored(client, caption="a", metadata='{"k": 1}')
    before = record(client, image_id)
    refused(client.patch(f"{IMAGES}/{image_id}", json=body), words)
    assert record(client, image_id) == before


@pytest.mark.parametrize(
    "content",
    [
        rb'{"caption": "\ud800"}',
        rb'{"metadata": {"a": "\udfff"}}',
        rb'{"metadata": {"\ud800": 1}}',
        b'{"metadata": {"a": NaN}}',
        b'{"metadata": {"a": 1e999}}',
        b'{"metadata": {"a": ' + b"[" * 40 + b"]" * 40 + b"}}",
        b'{"metadata": {"a": ' + b"[" * 9_000 + b"]" * 9_000 + b"}}",
        b'{"metadata": {"a": ' + b"9" * 5_000 + b"}}",
        b"{",
        b"[]",
        b"null",
        b"",
    ],
)
def test_hostile_json_is_refused(client: TestClient, content: bytes) -> None:
    image_id = stored(client)
    answer = client.patch(f"{IMAGES}/{image_id}", content=content, headers=JSON)
    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert len(answer.json()["detail"]) > 10


def test_metadata_may_grow_to_their_bound_and_not_beyond_it(client: TestClient) -> None:
    image_id = stored(client)
    half = "x" * (MAX_METADATA_CHARACTERS // 2)
    assert change(client, image_id, metadata={"a": half}).status_code == 200
    refused(change(client, image_id, metadata={"b": half}), "more than 20,000 characters")
    assert list(record(client, image_id)["metadata"]) == ["a"]
    assert change(client, image_id, metadata={"a": None, "b": half}).status_code == 200


@pytest.mark.parametrize("image_id", [999_999, 2**63 - 1])
def test_a_picture_that_is_not_there(client: TestClient, image_id: int) -> None:
    answer = change(client, image_id, caption="x")
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"There is no picture with id {image_id}."


def test_changes_at_once_lose_nothing(client: TestClient) -> None:
    image_id = stored(client)
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda n: change(client, image_id, metadata={f"k{n}": n}), range(24))
        assert [answer.status_code for answer in answers] == [200] * 24
    assert record(client, image_id)["metadata"] == {f"k{n}": n for n in range(24)}


# --- The listing


def pages(client: TestClient, **query: str | int) -> list[list[int]]:
    """The ids of each page; the total is the same on all."""
    found, totals = [], set()
    while True:
        answer = client.get(LISTING, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found.append([one["id"] for one in page["data"]])
        totals.add(page["total"])
        if page["next_cursor"] is None:
            assert totals == {sum(map(len, found))}
            return found
        query["cursor"] = page["next_cursor"]


def test_pictures_are_listed_in_pages_by_order_and_filter(client: TestClient) -> None:
    told = [{"n": n % 3} if n < 5 else {} for n in range(7)]
    ids = [stored(client, 20 + n, metadata=json.dumps(one)) for n, one in enumerate(told)]
    assert pages(client) == [ids]
    assert pages(client, limit=3) == [ids[:3], ids[3:6], ids[6:]]
    assert pages(client, limit=7) == [ids]
    by_number = [ids[place] for place in (0, 3, 1, 4, 2, 5, 6)]
    assert list(chain(*pages(client, limit=2, order_by="n"))) == by_number
    downwards = [ids[place] for place in (2, 1, 4, 0, 3, 5, 6)]
    assert list(chain(*pages(client, limit=2, order_by="-n"))) == downwards
    assert pages(client, order_by="-id", limit=4) == [ids[:2:-1], ids[2::-1]]
    some = json.dumps({"n": {"gte": 1}})
    assert pages(client, limit=2, filter=some) == [[ids[1], ids[2]], [ids[4]]]
    assert pages(client, filter='{"n": 9}') == [[]]


def test_a_cursor_goes_on_after_what_was_deleted(client: TestClient) -> None:
    ids = [stored(client, 30 + n) for n in range(4)]
    cursor = client.get(LISTING, params={"limit": 2}).json()["next_cursor"]
    for gone in (ids[1], ids[2]):
        client.delete(f"/images/{gone}")
    page = client.get(LISTING, params={"limit": 2, "cursor": cursor}).json()
    assert [one["id"] for one in page["data"]] == [ids[3]]
    assert (page["total"], page["next_cursor"]) == (2, None)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"order_by": "surprise"}, "order_by: there is no field"),
        ({"order_by": "\0"}, "parameter order_by"),
        ({"filter": "x"}, "filter: it is not JSON"),
        ({"filter": "[]"}, "filter: it is not a JSON object"),
        ({"filter": '{"nothing": 1}'}, "there is no field"),
        ({"limit": 0}, "parameter limit"),
        ({"cursor": "x"}, "ursor"),
    ],
)
def test_a_listing_that_cannot_be_is_refused(
    client: TestClient, query: dict[str, str | int], words: str
) -> None:
    refused(client.get(LISTING, params=query), words)


def test_a_cursor_of_another_listing_is_refused(client: TestClient) -> None:
    for n in range(2):
        stored(client, 40 + n)
    cursor = client.get(LISTING, params={"limit": 1}).json()["next_cursor"]
    answer = client.get(LISTING, params={"limit": 1, "order_by": "-id", "cursor": cursor})
    refused(answer, "cursor")
