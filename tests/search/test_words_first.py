"""The mode auto: pictures that match the words come first."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.runtime.services import Services
from tests.fixtures.search_library import answer, asked, names, refused, upload_pictures


@pytest.fixture(scope="module")
def ids(client: TestClient, services: Services) -> dict[str, int]:
    found = upload_pictures(client, services)
    body = {"caption": "Grandma on the pier", "metadata": {}}
    assert client.patch(f"/api/v1/images/{found['zebra.jpg']}", json=body).status_code == 200
    return found


def first(client: TestClient, ids: dict[str, int], query: Any, **more: Any) -> str:
    return names(client, ids, query=query, mode="auto", **more)[0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Grandma", "zebra.jpg"),  # a caption, which the model knows nothing of
        ("grandma pier", "zebra.jpg"),
        ("Łódź", "cat.jpg"),  # metadata
        ("waits", "taxi.jpg"),
        ("zebra", "zebra.jpg"),  # the name
    ],
)
def test_exact_words_come_first(
    client: TestClient, ids: dict[str, int], query: str, expected: str
) -> None:
    found = answer(client, query=query, mode="auto")
    assert found["hits"][0]["id"] == ids[expected]
    assert found["hits"][0]["lexical_rank"] == 1
    assert found["method"] == "hybrid"
    assert found["no_match"] is False
    assert len(found["hits"]) == 10  # the others follow, by the model


def test_without_a_match_it_is_the_search_by_vectors(
    client: TestClient, ids: dict[str, int]
) -> None:
    by_vector, auto = (
        answer(client, query="something to eat", mode=mode) for mode in ("vector", "auto")
    )
    for told in ("hits", "method", "no_match"):
        assert auto[told] == by_vector[told]
    assert auto["method"] in {"hnsw", "exact"}


@pytest.mark.parametrize("query", ["the", "a", "-red", "red or -car", "...", "-" * 900])
def test_what_asks_for_no_word_leaves_the_order_to_the_model(
    client: TestClient, ids: dict[str, int], query: str
) -> None:
    assert answer(client, query=query, mode="auto")["method"] in {"hnsw", "exact"}


def test_every_match_comes_before_all_others(client: TestClient, ids: dict[str, int]) -> None:
    hits = answer(client, query="car", mode="auto")["hits"]
    ranks = [hit["lexical_rank"] for hit in hits]
    assert set(ranks[:2]) == {1, 2}
    assert ranks[2:] == [None] * 8


def test_matches_are_ordered_by_similarity(client: TestClient, ids: dict[str, int]) -> None:
    hits = answer(client, query="tree", mode="auto", limit=2)["hits"]
    assert {hit["id"] for hit in hits} == {ids["tree.jpg"], ids["palm.jpg"]}
    assert hits[0]["distance"] < hits[1]["distance"]


def test_pages_neither_repeat_nor_skip(client: TestClient, ids: dict[str, int]) -> None:
    found = answer(client, query="car", mode="auto", limit=3)
    seen = [hit["id"] for hit in found["hits"]]
    while found["next_cursor"]:
        found = answer(client, cursor=found["next_cursor"])
        seen += [hit["id"] for hit in found["hits"]]
        assert found["no_match"] is False
    assert sorted(seen) == sorted(ids.values())
    assert {seen[0], seen[1]} == {ids["red-car.png"], ids["taxi.jpg"]}


def test_where_something_is_unwanted_the_model_decides(
    client: TestClient, ids: dict[str, int]
) -> None:
    query = [{"text": "car"}, {"text": "red", "weight": -0.5}]
    by_vector, auto = (answer(client, query=query, mode=mode) for mode in ("vector", "auto"))
    assert auto["method"] in {"hnsw", "exact"}
    for shown in ("id", "score", "lexical_rank"):
        assert [hit[shown] for hit in auto["hits"]] == [hit[shown] for hit in by_vector["hits"]]


def test_in_hybrid_unwanted_words_are_no_match(client: TestClient, ids: dict[str, int]) -> None:
    query = [{"text": "car"}, {"text": "first", "weight": -0.5}]
    hits = answer(client, query=query, mode="hybrid")["hits"]
    ranks = {hit["id"]: hit["lexical_rank"] for hit in hits}
    assert (ranks[ids["taxi.jpg"]], ranks[ids["red-car.png"]]) == (1, None)


def test_the_filter_holds_for_words_too(client: TestClient, ids: dict[str, int]) -> None:
    found = answer(client, query="Grandma", mode="auto", filter={"place": "Lisbon"})
    assert ids["zebra.jpg"] not in [hit["id"] for hit in found["hits"]]
    assert found["method"] in {"hnsw", "exact"}


def test_a_picture_alone_is_compared_by_vectors(client: TestClient, ids: dict[str, int]) -> None:
    assert first(client, ids, [{"id": ids["cat.jpg"]}]) == "cat.jpg"


def test_min_score_has_no_scale_there(client: TestClient, ids: dict[str, int]) -> None:
    detail = refused(asked(client, query="car", mode="auto", min_score=0.3))
    assert detail.startswith("min_score: in the mode auto")
