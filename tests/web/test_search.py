"""`POST /api/v1/search` and its shorter forms, over HTTP: what comes back, and what is refused."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.runtime.services import Services
from app.search import page_content
from app.settings import Settings
from tests.fixtures.search_library import (
    PICTURES,
    answer,
    asked,
    names,
    pages,
    refused,
    shown_ids,
    upload_pictures,
    warned,
)


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """One caller may ask for more at once than there are connections."""
    return settings.model_copy(update={"max_searches": 200})


@pytest.fixture(scope="module", autouse=True)
def ids(client: TestClient, services: Services) -> dict[str, int]:
    return upload_pictures(client, services)


# --- What comes back


def test_the_envelope_tells_the_truth(client: TestClient, services: Services) -> None:
    found = answer(client, query="a tree", limit=2)
    index = services.registry.default.index
    assert (found["model"], found["fingerprint"]) == ("demo model", index.fingerprint)
    assert (found["index_id"], found["method"]) == (index.id, "exact")
    assert (found["collection_size"], found["coverage"]) == (len(PICTURES), 1.0)
    assert found["warnings"] == []
    assert found["total"] is found["facets"] is found["explain"] is None
    assert found["timings_ms"]["encode"] >= 0
    assert found["timings_ms"]["database"] > 0
    assert found["next_cursor"]


def test_the_method_is_named(client: TestClient) -> None:
    for body, method in (
        ({"query": "a"}, "exact"),  # a small collection: all are compared
        ({"query": "a", "exact": True}, "exact"),
        ({"query": "a", "filter": {"width": {"gt": 1}}}, "exact"),  # few: all are compared
        ({"query": "a", "mode": "lexical"}, "lexical"),
        ({"query": "a", "mode": "hybrid"}, "hybrid"),
        ({"query": "a", "hybrid": {"alpha": 0.9}}, "hybrid"),
        ({}, "listing"),
    ):
        assert answer(client, **body)["method"] == method


@pytest.mark.usefixtures("search_by_graph")
def test_a_large_collection_is_searched_by_its_graph(client: TestClient) -> None:
    assert answer(client, query="a boat")["method"] == "hnsw"


@pytest.mark.usefixtures("search_by_graph")
def test_exact_and_graph_agree_on_few_pictures(client: TestClient, ids: dict[str, int]) -> None:
    for query in ("a tree", "something red", "an animal"):
        assert names(client, ids, query=query) == names(client, ids, query=query, exact=True)


def test_parts_that_are_not_included_are_absent(client: TestClient) -> None:
    scores = {"id", "score", "distance", "vector_rank", "lexical_rank", "confidence", "duplicates"}
    scores |= {"external_id", "page", "seconds", "caption_rank"}
    parts = {
        "size": {"width", "height", "format"},
        "dates": {"taken_at", "created_at"},
        **{one: {one} for one in ("path", "original_filename", "url", "thumbnail_url")},
        "caption": {"caption", "caption_source"},
        **{one: {one} for one in ("metadata", "box", "texts")},
    }
    for part, fields in parts.items():
        (hit,) = answer(client, query="a tree", limit=1, include=[part])["hits"]
        assert set(hit) == scores | fields
    (bare,) = answer(client, query="a tree", limit=1, include=[])["hits"]
    (whole,) = answer(client, query="a tree", limit=1)["hits"]
    assert set(bare) == scores
    assert set(whole) == scores.union(*parts.values())
    assert "include[0]" in refused(asked(client, query="a", include=["vectors"]))


def test_vectors_are_included_on_request(client: TestClient) -> None:
    """Issue 19, item 8."""
    found = answer(client, query="a tree", limit=3, include=["vector"])
    vectors = np.array([hit["vector"] for hit in found["hits"]])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-3)
    best = found["hits"][0]
    like_it = answer(client, query=[{"id": best["id"]}], limit=1, include=["vector"])
    assert like_it["hits"][0]["vector"] == best["vector"]
    similarity = float(vectors[0] @ vectors[1])
    near = answer(client, query=[{"id": best["id"]}], limit=100)["hits"]
    scores = {hit["id"]: hit["score"] for hit in near}
    assert scores[found["hits"][1]["id"]] == pytest.approx(similarity, abs=2e-3)


def test_what_explain_adds_up_is_the_score(client: TestClient) -> None:
    terms = [{"text": "a car"}, {"text": "a taxi", "weight": -0.4}, {"text": "red", "weight": 2}]
    found = answer(client, query=terms, explain=True)
    assert found["explain"]["scan"]["method"] == "exact"
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


@pytest.mark.parametrize(
    "options", [{}, {"mode": "hybrid"}, {"mode": "lexical"}, {"group_by": "copies"}]
)
@pytest.mark.parametrize(("order", "sign"), [("stars", 1), ("-stars", -1)])
def test_the_whole_answer_is_ordered_by_a_field(
    client: TestClient, ids: dict[str, int], options: dict[str, Any], order: str, sign: int
) -> None:
    """Issue 19, item 8: each page was ordered on its own, 2022 … 2005, 2021 … 2006."""
    best = names(client, ids, query="a red car", limit=100, **options)
    stars = {name: PICTURES[name][1].get("stars") for name in best}
    known = sorted(sign * number for number in stars.values() if number is not None)
    found = pages(client, query="a red car", limit=2, order_by=order, **options)
    shown = [name for one in shown_ids(found) for name, known_id in ids.items() if known_id == one]
    assert sorted(shown) == sorted(best)
    assert [sign * (stars[name] or 0) for name in shown[: len(known)]] == known
    lacking = [name for name in best if stars[name] is None]
    assert shown[len(known) :] == lacking


def test_the_best_hits_alone_are_ordered(
    client: TestClient, ids: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_content, "MAX_SORTED", 5)
    best = names(client, ids, query="a tree", limit=5)
    found = pages(client, query="a tree", limit=2, order_by="metadata.note")
    assert [len(page) for page in found] == [2, 2, 1]
    assert sorted(shown_ids(found)) == sorted(ids[name] for name in best)


def test_whether_anything_matches_is_told_by_the_best_hits(client: TestClient) -> None:
    asked_for = {"query": "a red car", "limit": 1}
    expected = answer(client, **asked_for)["no_match"]
    for order in ("id", "-id"):
        assert answer(client, **asked_for, order_by=order)["no_match"] == expected


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
        body: dict[str, Any] = {"query": "a car", "mode": mode, "exact": True}
        scores = [hit["score"] for hit in answer(client, **body)["hits"]]
        least = scores[0] * 0.999
        found = answer(client, **body, min_score=least)
        assert [hit["score"] for hit in found["hits"]] == [one for one in scores if one >= least]
        assert f"Others scored below min_score {least:g}." in warned(found)
        assert found["next_cursor"] is None
        none = answer(client, **body, min_score=2)
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
    assert warned(found) == "These are all that pass the filter."
    assert names(client, ids, **lisbon, order_by="stars") == ["red-car.png", "tree.jpg"]


def test_a_listing_has_pages(client: TestClient) -> None:
    for order in ("id", "-stars", "created_at", "place"):
        seen = shown_ids(pages(client, limit=3, order_by=order))
        assert len(seen) == len(set(seen)) == len(PICTURES)
        assert answer(client, limit=3, order_by=order)["total"] == len(PICTURES)


@pytest.mark.parametrize(
    "options",
    [{"mode": "lexical"}, {"hybrid": {}}, {"min_score": 0}, {"group_by": "duplicates"},
     {"exact": True}],
)  # fmt: skip
def test_what_needs_a_query_is_refused_without_one(
    client: TestClient, options: dict[str, Any]
) -> None:
    assert "it needs a query" in refused(asked(client, **options))


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
    listed = answer(client, limit=1, facets=["format"])
    assert sum(one["count"] for one in listed["facets"]["format"]) == listed["total"]
    few = answer(client, query="a car", facets=["place"], filter={"stars": {"gte": 4}})
    assert few["facets"] == {"place": [{"value": "Lisbon", "count": 2}]}
    assert 'facets: "width" is not a declared field' in refused(asked(client, facets=["width"]))
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
        ({"hybrid": {"alpha": 1.1}}, "hybrid.alpha: send a number of at most 1."),
        ({"hybrid": {"rrf_k": 0}}, "hybrid.rrf_k"),
        ({"mode": "fuzzy"}, "mode"),
        ({"group_by": "colour"}, "group_by"),
        ({"filter": {"nope": 1}}, 'filter.nope: there is no field "nope"'),
        ({"filter": {"path": {"in": ["x" * 900] * 120}}}, "filter: more than 100,000 characters"),
        ({"collection": "No Name"}, "collection"),
        ({"unknown": 1}, "unknown: there is no field of this name"),
    ],
)
def test_options_that_do_not_fit_say_why(
    client: TestClient, options: dict[str, Any], words: str
) -> None:
    assert words in refused(asked(client, query="a", **options))


def test_more_searches_at_once_than_there_are_connections(
    client: TestClient, services: Services
) -> None:
    """None holds a connection while it waits for another."""
    services.search.statistics._counted = None  # each begins by counting
    with ThreadPoolExecutor(80) as threads:
        found = list(threads.map(lambda n: asked(client, query=f"a {n % 9}"), range(160)))
    assert {one.status_code for one in found} == {200}


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
    assert warned(empty) == "Pictures in the collection: 0."
