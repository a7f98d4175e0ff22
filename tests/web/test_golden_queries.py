"""Golden queries over HTTP: written by hand, judged, replaced, deleted (issue 18, line 15)."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fixtures.drawn_pictures import png

COLLECTION = "/api/v1/collections/golden"
QUERIES = f"{COLLECTION}/golden-queries"


@pytest.fixture(scope="module")
def ids(client: TestClient) -> list[int]:
    """Pictures of a collection of the module's own."""
    assert client.post("/api/v1/collections", json={"name": "golden"}).status_code == 201
    files = [("file", (f"{seed}.png", png(seed))) for seed in range(1, 6)]
    stored = client.post(f"{COLLECTION}/images", files=files)
    assert stored.status_code == 201, stored.text
    return sorted(one["image"]["id"] for one in stored.json()["data"])


@pytest.fixture(autouse=True)
def none_left(client: TestClient, ids: list[int]) -> None:
    """No golden queries of an earlier test."""
    for one in listed(client):
        assert client.delete(f"{QUERIES}/{one['id']}").status_code == 204


def listed(client: TestClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(QUERIES, params={"limit": 100}).json()["data"]
    return found


def added(client: TestClient, status: int = 201, **body: Any) -> dict[str, Any]:
    answer = client.post(QUERIES, json=body)
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_words_and_pictures(client: TestClient, ids: list[int]) -> None:
    words = added(client, text="  a  tree ", relevant=ids[:2], irrelevant=[ids[2]])
    picture = added(client, image_id=ids[0], relevant=[ids[1]])
    assert (words["text"], words["relevant"], words["irrelevant"]) == ("a tree", ids[:2], [ids[2]])
    assert (picture["image_id"], picture["text"], picture["origin"]) == (ids[0], None, "written")
    assert listed(client) == [words, picture]
    assert client.get(f"{QUERIES}/{words['id']}").json() == words
    first = client.get(QUERIES, params={"limit": 1}).json()
    second = client.get(QUERIES, params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert (first["data"], second["data"], second["next_cursor"]) == ([words], [picture], None)


def test_a_further_judgement_of_the_same_query(client: TestClient, ids: list[int]) -> None:
    """As the page marks one hit after the other as right or wrong."""
    first = added(client, text="a tree", relevant=[ids[0]])
    second = added(client, 200, text="a  tree", irrelevant=[ids[1]])
    changed = added(client, 200, text="a tree", irrelevant=[ids[0]])
    assert first["id"] == second["id"] == changed["id"]
    assert (second["relevant"], second["irrelevant"]) == ([ids[0]], [ids[1]])
    assert (changed["relevant"], changed["irrelevant"]) == ([], ids[:2])
    replaced = client.put(f"{QUERIES}/{first['id']}", json={"relevant": [ids[3]]})
    assert replaced.json()["relevant"] == [ids[3]]
    assert replaced.json()["irrelevant"] == []


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"relevant": [1]}, "a text or a picture"),
        ({"text": "a", "image_id": 1}, "a text or a picture"),
        ({"text": " \n"}, "only space"),
        ({"text": "a", "relevant": [10**9]}, "no picture 1000000000"),
        ({"image_id": 10**9}, "no picture 1000000000"),
        ({"text": "a", "relevant": [1], "irrelevant": [1]}, "both relevant and irrelevant"),
        ({"image_id": 1, "relevant": [1]}, "does not find itself"),
        ({"text": "a", "relevant": list(range(1, 200)), "irrelevant": [200, 201]}, "at most 200"),
    ],
)
def test_what_is_no_golden_query(client: TestClient, body: dict[str, Any], sentence: str) -> None:
    answer = client.post(QUERIES, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "golden_query_invalid")
    assert sentence in answer.json()["detail"]
    assert listed(client) == []


def test_pictures_that_are_away_do_not_count(client: TestClient, ids: list[int]) -> None:
    gone = client.post("/upload", files={"file": ("x.png", png(77))}).json()[0]["id"]
    refused = client.post(QUERIES, json={"text": "a tree", "relevant": [gone]})
    assert f"no picture {gone}" in refused.json()["detail"]  # it is in another collection
    sent = client.post(f"{COLLECTION}/images", files={"file": ("y.png", png(78))})
    away = sent.json()["data"][0]["image"]["id"]
    words = added(client, text="a tree", relevant=[ids[0], away])
    added(client, image_id=away, relevant=[ids[0]])
    assert client.delete(f"/images/{away}").status_code == 204
    assert [(one["id"], one["relevant"]) for one in listed(client)] == [(words["id"], [ids[0]])]


def test_unknown_ones(client: TestClient) -> None:
    for answer in (
        client.get(f"{QUERIES}/1000000"),
        client.put(f"{QUERIES}/1000000", json={}),
        client.delete(f"{QUERIES}/1000000"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "golden_query_not_found")


def test_the_address_of_a_new_one(client: TestClient, ids: list[int]) -> None:
    answer = client.post(QUERIES, json={"text": "a tree", "relevant": ids})
    assert client.get(answer.headers["location"]).json() == answer.json()
