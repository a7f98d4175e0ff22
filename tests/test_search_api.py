"""`POST /api/v1/search` and its shorter forms, over HTTP: what is asked, and what comes back."""

import base64
import json
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.assembly import Services
from app.settings import Settings
from tests.conftest import SHARED, TEST_IMAGES
from tests.drawing import png
from tests.web_server import Site, http, serving

PROBLEM = "application/problem+json"
PICTURES = {
    "tree.jpg": ("A tall tree", {"place": "Lisbon", "stars": 5, "tags": ["green", "plant"]}),
    "palm.jpg": ("Palm trees by the sea", {"place": "Faro", "stars": 3, "tags": ["green"]}),
    "red-car.png": ("My first car", {"place": "Lisbon", "stars": 4, "sold": True}),
    "taxi.jpg": ("A car that waits, red no more", {"place": "Porto", "stars": 2}),
    "red-apple.jpg": ("The apple", {"stars": 1}),
    "banana.jpg": (None, {"place": "Faro"}),
    "red-apple-and-banana.webp": (None, {}),
    "cat.jpg": ("Nobody's cat", {"place": "Łódź"}),
    "zebra.jpg": (None, {"note": "seen on safari"}),
    "sun.webp": ("the", {}),
}
FIELDS = {"place": "text", "stars": "number", "sold": "boolean", "tags": "tags"}


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """URLs may lead to loopback."""
    return settings.model_copy(update={"download_allow": (ip_network("127.0.0.0/8"),)})


@pytest.fixture(scope="module", autouse=True)
def ids(client: TestClient) -> dict[str, int]:
    """The pictures' ids by their names."""
    declared = client.patch("/api/v1/collections/default", json={"fields": FIELDS})
    assert declared.status_code == 200, declared.text
    found = {}
    for name, (caption, metadata) in PICTURES.items():
        files = {"file": (name, (TEST_IMAGES / name).read_bytes())}
        data = {"metadata": json.dumps(metadata)} | ({"caption": caption} if caption else {})
        (stored,) = client.post("/upload", files=files, data=data).json()
        found[name] = stored["id"]
    return found


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


def asked(client: TestClient, **body: Any) -> Any:
    return client.post("/api/v1/search", json=body)


def answer(client: TestClient, **body: Any) -> dict[str, Any]:
    found = asked(client, **body)
    assert found.status_code == 200, found.text
    shown: dict[str, Any] = found.json()
    return shown


def names(client: TestClient, ids: dict[str, int], **body: Any) -> list[str]:
    """The names of the hits, best first."""
    known = {image_id: name for name, image_id in ids.items()}
    return [known[hit["id"]] for hit in answer(client, **body)["hits"]]


def refused(found: Any, status: int = 422) -> str:
    """The sentence that a problem says."""
    assert found.status_code == status, found.text
    assert found.headers["content-type"] == PROBLEM
    detail: str = found.json()["detail"]
    return detail


def sent(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- Terms


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
        ([{"text": "a"}, {"text": "b", "weight": 100.1}], "weight: Input should be less than"),
        ([{"text": "a"}, {"text": "b", "weight": 1e308}], "weight: Input should be less than"),
        ([{"text": "a"}, {"text": " "}], "query[1]: The query is empty"),
        ([{"text": "a"}, {"text": "x" * 1001}], "query[1]: The query has 1001 characters"),
        ([{"text": "a"}] * 17, "query terms: List should have at most 16 items"),
        ([], "query terms: List should have at least 1 item"),
        ([{}], "query terms 0: Value error, a term is one of text, image, url and id"),
        ([{"text": "a", "id": 1}], "a term is one of text, image, url and id"),
        ([{"text": "a", "words": "b"}], "query terms 0 words: Extra inputs are not permitted"),
        ([{"text": "a"}, {"id": 10**6}], "query[1]: this collection has no picture 1000000"),
        ([{"id": 2**63}], "query terms 0 id: Input should be less than"),
        ([{"image": "no base64"}], "query terms 0 image: Base64 decoding error"),
        ([{"text": "a"}, {"url": "http://10.0.0.1/x"}], "query[1]: URL not allowed"),
        ([{"url": "file:///etc/passwd"}], "query[0]: URL not allowed"),
        ([{"url": "\ud800"}], "query[0]: URL not allowed"),
        (5, "query: send a text, or a list of terms"),
        ("", "The query is empty"),
        ("a\0b", "NUL"),
        ("x" * 1001, "at most 1000 characters"),
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
        assert "query terms 0 weight: Input should be a finite number" in refused(found)


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
    encode = encoder.encode_texts

    def counted(texts: list[str]) -> Any:
        asked_for.append(texts)
        return encode(texts)

    monkeypatch.setattr(encoder, "encode_texts", counted)
    twice = [{"text": "a lamp"}, {"text": " a \n lamp", "weight": 0.5}, {"text": "a fan"}]
    first = answer(client, query=twice)
    again = answer(client, query=twice)
    assert asked_for == [["a lamp", "a fan"]]
    assert [hit["score"] for hit in first["hits"]] == [hit["score"] for hit in again["hits"]]
    answer(client, query="a clock", mode="lexical")
    assert len(asked_for) == 1  # words need no model


# --- What comes back


def test_the_envelope_tells_the_truth(client: TestClient, services: Services) -> None:
    found = answer(client, query="a tree", limit=2)
    index = services.library.default.index
    assert (found["model"], found["fingerprint"]) == ("demo model", index.fingerprint)
    assert (found["index"], found["method"]) == (index.id, "hnsw")
    assert (found["pictures"], found["coverage"]) == (len(PICTURES), 1.0)
    assert found["underfilled"] is found["total"] is found["facets"] is found["explain"] is None
    assert found["took_ms"]["encode"] >= 0
    assert found["took_ms"]["database"] > 0
    assert found["next_cursor"]


def test_the_method_is_named(client: TestClient) -> None:
    for body, method in (
        ({"query": "a"}, "hnsw"),
        ({"query": "a", "exact": True}, "exact"),
        ({"query": "a", "filter": {"width": {"gt": 1}}}, "exact"),  # few: all are compared
        ({"query": "a", "mode": "lexical"}, "lexical"),
        ({"query": "a", "mode": "hybrid"}, "hybrid"),
        ({"query": "a", "hybrid": {"alpha": 0.9}}, "hybrid"),
        ({}, "listing"),
    ):
        assert answer(client, **body)["method"] == method


def test_exact_and_graph_agree_on_few_pictures(client: TestClient, ids: dict[str, int]) -> None:
    for query in ("a tree", "something red", "an animal"):
        assert names(client, ids, query=query) == names(client, ids, query=query, exact=True)


def test_parts_that_are_not_included_are_absent(client: TestClient) -> None:
    scores = {"id", "score", "distance", "vector_rank", "lexical_rank", "confidence", "duplicates"}
    parts = {
        "size": {"width", "height", "format"},
        "dates": {"taken_at", "created_at"},
        **{one: {one} for one in ("path", "url", "thumbnail_url", "caption", "metadata", "box")},
    }
    for part, fields in parts.items():
        (hit,) = answer(client, query="a tree", limit=1, include=[part])["hits"]
        assert set(hit) == scores | fields
    (bare,) = answer(client, query="a tree", limit=1, include=[])["hits"]
    (whole,) = answer(client, query="a tree", limit=1)["hits"]
    assert set(bare) == scores
    assert set(whole) == scores.union(*parts.values())
    assert "include 0" in refused(asked(client, query="a", include=["vector"]))


def test_what_explain_adds_up_is_the_score(client: TestClient) -> None:
    terms = [{"text": "a car"}, {"text": "a taxi", "weight": -0.4}, {"text": "red", "weight": 2}]
    found = answer(client, query=terms, explain=True)
    assert found["explain"]["scan"]["method"] == "hnsw"
    for hit in found["hits"]:
        told = hit["explain"]["terms"]
        assert [one["term"] for one in told] == ["a car", "a taxi", "red"]
        assert [one["weight"] for one in told] == [1, -0.4, 2]
        assert sum(one["adds"] for one in told) == pytest.approx(hit["score"], abs=2e-3)


@pytest.mark.parametrize("options", [{"mode": "lexical"}, {"hybrid": {"alpha": 0.3, "rrf_k": 5}}])
def test_what_explain_adds_up_is_the_score_of_words_too(
    client: TestClient, options: dict[str, Any]
) -> None:
    found = answer(client, query="a red car", explain=True, **options)
    assert found["explain"]["words"] == "a red car"
    assert found["hits"]
    for hit in found["hits"]:
        parts = hit["explain"].get("from_vector", 0) + hit["explain"]["from_words"]
        assert parts == pytest.approx(hit["score"])


def test_hits_are_ordered_by_a_field_after_the_cut(client: TestClient, ids: dict[str, int]) -> None:
    best = names(client, ids, query="a tree", limit=5)
    stars = {name: PICTURES[name][1].get("stars") for name in best}
    known = sorted(name for name in best if stars[name] is not None)
    lacking = [name for name in best if stars[name] is None]
    assert lacking
    for order, sign in (("stars", 1), ("-stars", -1)):
        shown = names(client, ids, query="a tree", limit=5, order_by=order)
        expected = sorted(known, key=lambda name: sign * int(stars[name] or 0))
        assert shown == expected + lacking
    undeclared = names(client, ids, query="a tree", limit=5, order_by="metadata.note")
    assert sorted(undeclared) == sorted(best)


@pytest.mark.parametrize(
    ("order", "words"),
    [("colour", 'there is no field "colour"'), ("tags", "tags, which have no order"), ("", '""')],
)
@pytest.mark.parametrize("query", ["a tree", None])
def test_an_order_by_nothing_is_refused(
    client: TestClient, order: str, words: str, query: str | None
) -> None:
    assert words in refused(asked(client, query=query, order_by=order))


def test_a_least_score_leaves_out_in_each_mode(client: TestClient) -> None:
    for mode in ("vector", "lexical", "hybrid"):
        scores = [hit["score"] for hit in answer(client, query="a car", mode=mode)["hits"]]
        least = scores[0] * 0.999
        found = answer(client, query="a car", mode=mode, min_score=least)
        assert [hit["score"] for hit in found["hits"]] == [one for one in scores if one >= least]
        assert f"Others scored below min_score {least:g}." in found["underfilled"]
        assert found["next_cursor"] is None
        none = answer(client, query="a car", mode=mode, min_score=2)
        assert (none["hits"], none["no_match"]) == ([], True)


# --- Without a query, and facets


def test_without_a_query_what_passes_is_listed(client: TestClient, ids: dict[str, int]) -> None:
    everything = answer(client)
    assert [hit["id"] for hit in everything["hits"]] == sorted(ids.values())
    assert (everything["method"], everything["total"]) == ("listing", len(PICTURES))
    assert {hit["score"] for hit in everything["hits"]} == {None}
    lisbon = {"filter": {"place": "Lisbon"}}
    found = answer(client, **lisbon, order_by="stars")
    assert found["total"] == 2
    assert found["underfilled"] == "These are all that pass the filter."
    assert names(client, ids, **lisbon, order_by="stars") == ["red-car.png", "tree.jpg"]


def test_a_listing_has_pages(client: TestClient) -> None:
    for order in ("id", "-stars", "created_at", "place"):
        body: dict[str, Any] = {"limit": 3, "order_by": order, "include": ["caption"]}
        first = answer(client, **body)
        seen, cursor = [hit["id"] for hit in first["hits"]], first["next_cursor"]
        while cursor:
            page = answer(client, cursor=cursor)
            assert page["total"] == len(PICTURES)
            seen += [hit["id"] for hit in page["hits"]]
            cursor = page["next_cursor"]
        assert len(seen) == len(set(seen)) == len(PICTURES)


@pytest.mark.parametrize(
    "options",
    [{"mode": "lexical"}, {"hybrid": {}}, {"min_score": 0}, {"group_by": "duplicates"},
     {"exact": True}],
)  # fmt: skip
def test_what_needs_a_query_is_refused_without_one(
    client: TestClient, options: dict[str, Any]
) -> None:
    assert "there is no query" in refused(asked(client, **options))


def test_facets_count_what_passes_the_filter(client: TestClient) -> None:
    wanted = ["place", "stars", "sold", "tags"]
    found = answer(client, query="a tree", limit=1, facets=wanted)["facets"]
    assert found["place"] == [
        {"value": "Faro", "count": 2},
        {"value": "Lisbon", "count": 2},
        {"value": "Porto", "count": 1},
        {"value": "Łódź", "count": 1},
    ]
    assert {"value": True, "count": 1} in found["sold"]
    assert found["tags"][0] == {"value": "green", "count": 2}
    few = answer(client, query="a car", facets=["place"], filter={"stars": {"gte": 4}})
    assert few["facets"] == {"place": [{"value": "Lisbon", "count": 2}]}
    assert 'facets: "width" is no declared field' in refused(asked(client, facets=["width"]))
    assert "facets" in refused(asked(client, facets=["place"] * 11))


# --- The shorter forms, and bounds


def test_the_simple_form_is_the_same_search(client: TestClient, ids: dict[str, int]) -> None:
    params: dict[str, Any] = {"q": "a tree", "limit": 2, "filter": '{"stars": {"gte": 1}}'}
    simple = client.get("/api/v1/search", params=params).json()
    whole = answer(client, query="a tree", limit=2, filter={"stars": {"gte": 1}})
    assert simple["hits"] == whole["hits"]
    following = client.get("/api/v1/search", params=params | {"cursor": simple["next_cursor"]})
    assert following.json()["hits"][0]["vector_rank"] == 3
    other = client.get("/api/v1/search", params={"q": "a", "cursor": simple["next_cursor"]})
    assert "belongs to another request" in refused(other)


def test_similar_pictures_leave_the_picture_itself_out(
    client: TestClient, ids: dict[str, int]
) -> None:
    url = f"/api/v1/images/{ids['red-apple.jpg']}/similar"
    found = client.get(url, params={"limit": 20}).json()
    assert {hit["id"] for hit in found["hits"]} == set(ids.values()) - {ids["red-apple.jpg"]}
    assert found["hits"][0]["id"] == ids["red-apple-and-banana.webp"]
    some = client.get(url, params={"filter": '{"place": "Faro"}'}).json()
    assert {hit["id"] for hit in some["hits"]} == {ids["palm.jpg"], ids["banana.jpg"]}
    assert refused(client.get(url, params={"filter": '{"x": 1}'})).startswith("filter.x: ")
    refused(client.get("/api/v1/images/1000000/similar"), 404)


@pytest.mark.parametrize("limit", [0, 1001, "many", None, 1.5, -1])
def test_limits_are_bounded(client: TestClient, limit: Any) -> None:
    assert refused(asked(client, query="a", limit=limit)).startswith("body limit: ")
    if limit is not None:
        refused(client.get("/api/v1/search", params={"q": "a", "limit": limit}))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "lexical", "hybrid": {}}, "hybrid is for the mode hybrid, not lexical"),
        ({"hybrid": {"alpha": 1.1}}, "hybrid alpha"),
        ({"hybrid": {"rrf_k": 0}}, "hybrid rrf_k"),
        ({"mode": "fuzzy"}, "mode"),
        ({"group_by": "colour"}, "group_by"),
        ({"filter": {"nope": 1}}, 'filter.nope: there is no field "nope"'),
        ({"filter": {"path": {"in": ["x" * 900] * 120}}}, "filter: more than 100,000 characters"),
        ({"collection": "No Name"}, "collection"),
        ({"unknown": 1}, "unknown: Extra inputs are not permitted"),
    ],
)
def test_options_that_do_not_fit_say_why(
    client: TestClient, options: dict[str, Any], words: str
) -> None:
    assert words in refused(asked(client, query="a", **options))


def test_collections_that_are_not_there_are_not_found(client: TestClient) -> None:
    assert "collection nope" in refused(asked(client, query="a", collection="nope"), 404)
    assert "namespace nope" in refused(asked(client, query="a", namespace="nope"), 404)
    refused(client.get("/api/v1/search", params={"q": "a", "collection": "nope"}), 404)


def test_a_picture_of_another_collection_is_no_term(
    client: TestClient, ids: dict[str, int]
) -> None:
    assert client.post("/api/v1/collections", json={"name": "other"}).status_code == 201
    found = asked(client, collection="other", query=[{"id": ids["cat.jpg"]}])
    assert f"no picture {ids['cat.jpg']}" in refused(found)
    empty = answer(client, collection="other", query="a cat")
    assert (empty["hits"], empty["coverage"], empty["no_match"]) == ([], 1.0, True)
    assert empty["underfilled"] == "Pictures in the collection: 0."
