"""What is searched for: terms of words and pictures, over HTTP."""

import base64
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.runtime.services import Services
from app.settings import Settings
from tests.conftest import SHARED, TEST_IMAGES
from tests.fixtures.drawn_pictures import png
from tests.fixtures.search_library import answer, asked, names, refused, upload_pictures
from tests.fixtures.web_server import Site, http, serving


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """URLs may lead to loopback."""
    return settings.model_copy(update={"download_allow": (ip_network("127.0.0.0/8"),)})


@pytest.fixture(scope="module", autouse=True)
def ids(client: TestClient, services: Services) -> dict[str, int]:
    return upload_pictures(client, services)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


def sent(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_text_finds_its_picture(client: TestClient, ids: dict[str, int]) -> None:
    found = answer(client, query="a zebra", limit=3)
    assert found["hits"][0]["id"] == ids["zebra.jpg"]
    scores = [hit["score"] for hit in found["hits"]]
    assert scores == sorted(scores, reverse=True)
    for place, hit in enumerate(found["hits"], 1):
        assert hit["score"] == pytest.approx(1 - hit["distance"])
        assert (hit["vector_rank"], hit["lexical_rank"], hit["box"]) == (place, None, None)


def test_text_minus_text_moves_the_right_picture(client: TestClient, ids: dict[str, int]) -> None:
    fruit = {"text": "a red apple and a banana"}
    less = {"text": "a banana", "weight": -0.7}
    assert names(client, ids, query=[fruit], limit=1) == ["red-apple-and-banana.webp"]
    assert names(client, ids, query=[fruit, less], limit=1) == ["red-apple.jpg"]


def test_a_picture_and_a_text_add_up(client: TestClient, ids: dict[str, int]) -> None:
    apple = {"image": sent((TEST_IMAGES / "red-apple.jpg").read_bytes())}
    both = names(client, ids, query=[apple, {"text": "a banana", "weight": 1.5}], limit=3)
    assert "red-apple-and-banana.webp" in both[:2]
    assert names(client, ids, query=[apple], limit=1) == ["red-apple.jpg"]


@pytest.mark.parametrize("kind", ["id", "image", "url"])
def test_a_picture_finds_itself(
    client: TestClient, ids: dict[str, int], site: Site, kind: str
) -> None:
    data = (TEST_IMAGES / "cat.jpg").read_bytes()
    site.answers["/cat"] = http(200, body=data)
    terms = {
        "id": ids["cat.jpg"],
        "image": sent(data),
        "url": f"http://127.0.0.1:{site.port}/cat",
    }
    best = answer(client, query=[{kind: terms[kind]}], limit=1)["hits"][0]
    assert best["id"] == ids["cat.jpg"]
    assert best["distance"] == pytest.approx(0, abs=2e-3)


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ([{"text": "a"}, {"text": "a", "weight": -1}], "the terms cancel each other out"),
        ([{"text": "a"}, {"text": " a\n", "weight": -1}], "the terms cancel each other out"),
        ([{"text": "a", "weight": 0}], "query[0].weight: 0 is out of bounds"),
        ([{"text": "a"}, {"text": "b", "weight": 100.1}], "weight: send a number of at most 100."),
        ([{"text": "a"}, {"text": "b", "weight": 1e308}], "weight: send a number of at most 100."),
        ([{"text": "a"}, {"text": " "}], "query[1]: The query is empty"),
        ([{"text": "a"}, {"text": "x" * 1001}], "query[1]: The query has 1001 characters"),
        ([{"text": "a"}] * 17, "query: send at most 16 entries"),
        ([], "query: send at least 1 entry"),
        ([{}], "query[0]: a term has exactly one of text, image, url and id"),
        ([{"text": "a", "id": 1}], "a term has exactly one of text, image, url and id"),
        ([{"text": "a", "words": "b"}], "query[0].words: there is no field of this name"),
        ([{"text": "a"}, {"id": 10**6}], "query[1]: this collection has no picture 1000000"),
        ([{"id": 2**63}], "query[0].id: send a number of at most"),
        ([{"image": "no base64!"}], "query[0].image: this is not base64"),
        ([{"image": "data:image/png;base64,AAAA"}], "query[0].image: this is not base64"),
        ([{"image": "-_-_"}], "query[0].image: this is not base64"),
        ([{"text": "a"}, {"url": "http://10.0.0.1/x"}], "query[1]: URL not allowed"),
        ([{"url": "file:///etc/passwd"}], "query[0]: URL not allowed"),
        (5, "query: send a text, or a list of terms"),
        ("", "The query is empty"),
        ("a\0b", "NUL"),
        ("x" * 1001, "at most 1,000 characters"),
    ],
)
def test_terms_that_cannot_be_searched_for_say_why(
    client: TestClient, terms: Any, words: str
) -> None:
    assert words in refused(asked(client, query=terms))


def test_a_weight_that_is_no_number_is_refused(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    for weight in ("NaN", "Infinity", "-Infinity"):
        body = f'{{"query": [{{"text": "a", "weight": {weight}}}]}}'
        found = client.post("/api/v1/search", content=body, headers=headers)
        assert "query[0].weight: send a number that is finite" in refused(found)


def test_halves_of_surrogate_pairs_are_refused(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    for body, words in (
        (r'{"query": [{"url": "http://x/\ud800"}]}', "URL not allowed"),
        (r'{"query": "\ud800"}', "half of a surrogate pair"),
        (r'{"query": "a", "filter": {"\ud800": 1}}', "there is no field"),
        (r'{"query": "a", "order_by": "\ud800"}', "order"),
        (r'{"query": "a", "cursor": "\ud800"}', "cursor"),
        (r'{"query": "a", "facets": ["\ud800"]}', "facets"),
    ):
        found = client.post("/api/v1/search", content=body, headers=headers)
        assert words in refused(found)


def test_a_picture_that_is_none_is_refused(client: TestClient) -> None:
    for data, status in ((b"", 415), (b"no picture", 415), (png(1)[:60], 422)):
        found = asked(client, query=[{"text": "a"}, {"image": sent(data)}])
        assert refused(found, status).startswith("query[1]: ")


def test_hostile_pictures_are_answered_without_a_fault(client: TestClient) -> None:
    if not (SHARED / "hostile").is_dir():
        pytest.skip(f"{SHARED / 'hostile'} is absent: no hostile pictures to test with")
    files = [path for path in (SHARED / "hostile").iterdir() if path.stat().st_size < 10_000_000]
    for path in files:
        found = asked(client, query=[{"image": sent(path.read_bytes())}], limit=1)
        assert found.status_code in {200, 413, 415, 422}, (path.name, found.text)
    assert files


def test_a_server_that_fails_is_the_fault_of_who_names_it(client: TestClient, site: Site) -> None:
    url = f"http://127.0.0.1:{site.port}/"
    site.answers["/busy"] = http(503)
    for path in ("absent", "busy"):
        detail = refused(asked(client, query=[{"text": "a"}, {"url": url + path}]))
        assert detail.startswith("query[1]: ")


def test_the_text_tower_is_called_once_for_a_text(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = services.encoder.load()
    asked_for: list[list[str]] = []
    tokenise = encoder.tokenise

    def counted(texts: list[str]) -> Any:
        if {"a lamp", "a fan", "a clock"} & {*texts}:  # others may be measuring meanwhile
            asked_for.append(texts)
        return tokenise(texts)

    monkeypatch.setattr(encoder, "tokenise", counted)
    twice = [{"text": "a lamp"}, {"text": " a \n lamp", "weight": 0.5}, {"text": "a fan"}]
    first = answer(client, query=twice)
    again = answer(client, query=twice)
    assert asked_for == [["a lamp", "a fan"]]
    assert [hit["score"] for hit in first["hits"]] == [hit["score"] for hit in again["hits"]]
    answer(client, query="a clock", mode="lexical")
    assert len(asked_for) == 1  # words need no model
