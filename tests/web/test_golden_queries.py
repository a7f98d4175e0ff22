"""Golden queries over HTTP: written by hand, judged, replaced, deleted (issue 18, line 15)."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from app.settings import Settings
from scripts.commands import commands
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
        ({"image_id": 1, "relevant": [1]}, "is the query itself"),
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


def imported(client: TestClient, data: str | bytes, status: int = 200) -> dict[str, Any]:
    answer = client.post(f"{QUERIES}/import", files={"file": ("queries", data)})
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_files_of_both_kinds(client: TestClient, ids: list[int]) -> None:
    """A byte order mark, as spreadsheets write it, quotes, and ids between any separators."""
    table = "\ufefftext,relevant,irrelevant,image_id\n"
    table += f'"a tree, tall","{ids[0]}, {ids[1]}",{ids[2]},\n,{ids[1]};{ids[2]},,{ids[0]}\n'
    assert imported(client, table) == {"added": 2, "changed": 0}
    words, picture = listed(client)
    assert (words["text"], words["relevant"]) == ("a tree, tall", ids[:2])
    assert (words["irrelevant"], words["origin"]) == ([ids[2]], "imported")
    assert (picture["image_id"], picture["relevant"]) == (ids[0], ids[1:3])
    lines = f'{{"text": "a tree, tall", "irrelevant": [{ids[3]}]}}\n\n{{"text": "狗"}}\n'
    assert imported(client, lines) == {"added": 1, "changed": 1}
    assert listed(client)[0]["irrelevant"] == ids[2:4]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ('{"text": "a"}\n{"text": ', "line 2: it is not JSON"),
        ('{"text": "a"}\n[1]', "line 2: it is not a JSON object"),
        ('{"text": 1}', "line 1: text"),
        ('{"text": "a", "relevant": ["x"]}', "line 1: relevant"),
        ('{"text": "a", "relevant": [true]}', "line 1: relevant"),
        ('{"text": "a", "origin": "b"}', "line 1: origin"),
        ('{"text": "a"}\n{"text": "b", "relevant": [1000000000]}', "line 2: this collection has"),
        ("text,relevant\na,x\n", "line 2: relevant: 'x' is not a list of ids"),
        ("words\na\n", "line 1: 'words' is unknown"),
        ("text\na,1,2\n", "line 2: it has more cells"),
        ('text\n"a', "it is not CSV"),
        (b"text\n\xff\n", "not UTF-8"),
        ("text\n" + "a\n" * 2_001, "more than 2,000 queries"),
        (b" " * 5_000_001, "more than 5 MB"),
    ],
)
def test_files_that_are_refused_whole(
    client: TestClient, ids: list[int], data: str | bytes, sentence: str
) -> None:
    told = imported(client, data, 422)
    assert (told["code"], sentence in told["detail"]) == ("golden_query_invalid", True), told
    assert listed(client) == []


def proposed(client: TestClient, source: str) -> str:
    answer = client.get(f"{QUERIES}/proposals", params={"source": source})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_proposals_are_imported_as_they_are(client: TestClient, ids: list[int]) -> None:
    """From captions, tags and ratings: liked from 8 on, disliked up to 3."""
    for image_id in ids[:2]:
        said = {"caption": "a red boat", "metadata": {"tags": ["sea"], "n": 1}}
        assert client.patch(f"/api/v1/images/{image_id}", json=said).status_code == 200
    body = {"collection": "golden", "query": "a tree"}
    token = client.post("/api/v1/search", json=body).json()["token"]
    for image_id, rating in zip(ids, (8, 3, 7, 4, 10), strict=True):
        rated = {"token": token, "image_id": image_id, "rating": rating}
        assert client.post("/api/v1/feedback", json=rated).status_code == 201
    expected = {
        "captions": {"text": "a red boat", "relevant": ids[:2], "irrelevant": []},
        "tags": {"text": "sea", "relevant": ids[:2], "irrelevant": []},
        "ratings": {"text": "a tree", "relevant": [ids[0], ids[4]], "irrelevant": [ids[1]]},
    }
    for source, query in expected.items():
        lines = proposed(client, source)
        assert json.loads(lines) == {**query, "origin": source}
        assert imported(client, lines) == {"added": 1, "changed": 0}
    assert [one["origin"] for one in listed(client)] == list(expected)


def test_the_command(
    client: TestClient,
    settings: Settings,
    ids: list[int],
    kept_signals: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Settings, "load", lambda: settings)
    runner = CliRunner()
    here = ["--collection", "golden"]
    added = runner.invoke(commands, ["golden", "add", "a cat", str(ids[0]), *here])
    assert added.exit_code == 0, added.output
    line = {"text": "a cat", "relevant": [ids[0]], "irrelevant": [], "origin": "written"}
    assert json.loads(added.stdout) == line
    shown = runner.invoke(commands, ["golden", "list", *here])
    assert json.loads(shown.stdout) == line
    again = runner.invoke(commands, ["golden", "import", "-", *here], input=shown.stdout)
    assert again.stdout == "0 added, 1 there already.\n"
    refused = runner.invoke(commands, ["golden", "propose", "wishes", *here])
    assert (refused.exit_code, "ratings, captions, tags" in refused.output) == (1, True)
