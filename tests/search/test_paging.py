"""Answers of many pages: to the end of a collection, no hit is repeated and none is skipped."""

from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, text

from app.catalog.filters.filters import parse
from app.index import vector_indexes
from app.runtime.services import Services
from app.search import page_content
from app.search.queries.query_terms import Term
from app.search.ranking import Ranking
from app.search.search_request import SearchRequest
from app.vectors import Vectors
from tests.fixtures.folder_jobs import sql
from tests.fixtures.generated_vectors import clip_like, copy_vectors, insert_images
from tests.fixtures.search_library import answer, pages, shown_ids, warned

pytestmark = pytest.mark.usefixtures("search_by_graph")

COUNT = 2_600
DIMENSIONS = 128  # of the demo model
TIED = range(100, 400)  # rows of one and the same vector
COPIES = range(400, 700)  # in threes of the same bytes
DELETED_NAMESPACE = [n for n in range(1, COUNT + 1) if n % 97 == 0]
QUERY = "a red car"
DRESSING = (
    """
    UPDATE images SET
        caption = concat_ws(
            ' ',
            'picture',
            CASE WHEN id % 3 = 0 THEN 'car' END,
            CASE WHEN id % 5 = 0 THEN 'red' END,
            CASE WHEN id % 4 = 0 THEN 'tree' END
        ),
        perceptual_hash = ('x' || left(encode(content_hash, 'hex'), 16))::bit(64)::bigint
    """,
    """
    UPDATE images SET perceptual_hash = NULL,
        content_hash = sha256(('copy ' || (id - 401) / 3)::bytea)
    WHERE id BETWEEN 401 AND 700
    """,
)
"""What people say of the pictures, and which are copies."""


@pytest.fixture(scope="module", autouse=True)
def live(services: Services) -> set[int]:
    """The ids of the pictures; some are buried, and their vectors still there."""
    with services.search.sessions.begin() as session:
        index = services.search.index
        insert_images(session, index.collection_id, ['{"even": false}', '{"even": true}'] * 1300)
        copy_vectors(session, index, _vectors())
        vector_indexes.build_hnsw(session, index)
    for query in DRESSING:
        sql(services, query)
    sql(
        services, "UPDATE images SET removed_at = now() WHERE id = ANY(:ids)", ids=DELETED_NAMESPACE
    )
    return set(range(1, COUNT + 1)) - set(DELETED_NAMESPACE)


def _vectors() -> Vectors:
    vectors = clip_like(COUNT, DIMENSIONS, seed=3)
    vectors[TIED.start : TIED.stop] = vectors[TIED.start]
    vectors[COPIES.start : COPIES.stop] = np.repeat(vectors[COPIES.start : COPIES.stop : 3], 3, 0)
    return vectors


def check_whole(found: list[int], expected: set[int]) -> None:
    assert len(found) == len(set(found)), "repeated"
    assert set(found) == expected


@pytest.mark.parametrize("limit", [63, 250, 1000])
@pytest.mark.parametrize("exact", [False, True])
def test_pages_by_vectors_show_each_picture_once(
    client: TestClient, live: set[int], limit: int, exact: bool
) -> None:
    found = pages(client, query=QUERY, limit=limit, exact=exact, include=[])
    check_whole(shown_ids(found), live)
    ranks = [hit["vector_rank"] for page in found for hit in page]
    assert ranks == sorted(ranks)
    if exact:
        scores = [hit["score"] for page in found for hit in page]
        assert scores == sorted(scores, reverse=True)


def test_pages_of_a_picture_among_its_likes_show_each_once(
    client: TestClient, live: set[int]
) -> None:
    """The first 300 are equally near."""
    found = shown_ids(pages(client, query=[{"id": TIED.start + 1}], limit=47, include=[]))
    check_whole(found, live)
    tied = {n + 1 for n in TIED} & live
    assert set(found[: len(tied)]) == tied


@pytest.mark.parametrize("limit", [31, 600])
def test_pages_of_words_show_each_match_once(
    client: TestClient, live: set[int], limit: int
) -> None:
    found = pages(client, query="car", mode="lexical", limit=limit, include=[])
    check_whole(shown_ids(found), {n for n in live if n % 3 == 0})
    either = pages(client, query="car or tree", mode="lexical", limit=limit, include=[])
    check_whole(shown_ids(either), {n for n in live if n % 3 == 0 or n % 4 == 0})


@pytest.mark.parametrize("limit", [60, 450])
@pytest.mark.parametrize("alpha", [0.2, 0.5, 1])
def test_pages_of_both_show_each_picture_once(
    client: TestClient, live: set[int], limit: int, alpha: float
) -> None:
    found = pages(client, query="car", hybrid={"alpha": alpha}, limit=limit, include=[])
    check_whole(shown_ids(found), live)


@pytest.mark.parametrize("query", ["car", "red car", "car -tree"])
def test_a_ranking_of_all_the_weight_is_alone(client: TestClient, query: str) -> None:
    """Far beyond the block of places that are fused at a time."""
    for alpha, mode in ((1, "vector"), (0, "lexical")):
        body: dict[str, Any] = {"query": query, "limit": 90, "include": []}
        fused = shown_ids(pages(client, **body, hybrid={"alpha": alpha}))
        alone = shown_ids(pages(client, **body | {"limit": 200}, mode=mode))
        assert fused[:200] == alone[:200]
        assert set(fused) == set(alone)


@pytest.mark.parametrize("mode", ["vector", "lexical", "hybrid"])
def test_pages_of_a_filter_show_each_that_passes_once(
    client: TestClient, live: set[int], mode: str
) -> None:
    where = {"metadata.even": True}
    passing = {n for n in live if n % 2 == 0}
    expected = {n for n in passing if n % 3 == 0} if mode == "lexical" else passing
    found = pages(client, query="car", mode=mode, filter=where, limit=77, include=[])
    check_whole(shown_ids(found), expected)


@pytest.mark.parametrize("limit", [130, 700])
@pytest.mark.parametrize("mode", ["vector", "lexical", "hybrid"])
def test_pages_of_groups_name_each_picture_once(
    client: TestClient, live: set[int], mode: str, limit: int
) -> None:
    body = {"query": "picture", "mode": mode, "group_by": "duplicates", "limit": limit}
    found = pages(client, **body, include=[])
    first, named = (
        shown_ids(found),
        [d for page in found for hit in page for d in hit["duplicates"]],
    )
    assert not set(first) & set(named)
    copied = {n for n in live if 400 < n <= 700}
    assert len([n for n in first if n in copied]) == len({(n - 401) // 3 for n in copied})
    assert set(first) - copied == live - copied
    if mode == "vector":  # copies lie side by side
        check_whole(first + named, live)


@pytest.mark.parametrize("limit", [45, 1000])
def test_pages_of_a_least_score_hold_all_that_reach_it(client: TestClient, limit: int) -> None:
    """The fusion of a later block may be above that of an earlier one's end."""
    for mode, least in (("vector", 0.0), ("hybrid", 0.003), ("hybrid", 0.0021)):
        body: dict[str, Any] = {"query": "car", "mode": mode, "include": [], "exact": True}
        whole = [hit for page in pages(client, **body, limit=200) for hit in page]
        expected = {hit["id"] for hit in whole if hit["score"] >= least}
        assert 0 < len(expected) < len(whole)
        if mode == "vector" or limit < 200:  # a larger block fuses more places at a time
            found = shown_ids(pages(client, **body, limit=limit, min_score=least))
            check_whole(found, expected)


def test_the_same_request_leads_on_as_the_cursor_alone_does(client: TestClient) -> None:
    body: dict[str, Any] = {"query": QUERY, "limit": 30, "mode": "hybrid", "filter": {"width": 1}}
    first = answer(client, **body, facets=[], explain=True)
    alone = answer(client, cursor=first["next_cursor"])
    again = answer(client, **body, cursor=first["next_cursor"])
    assert alone["hits"] == again["hits"]
    assert len(alone["hits"]) >= 29
    assert alone["timings_ms"]["encode"] == 0


def test_what_is_deleted_under_a_search_is_named(client: TestClient, services: Services) -> None:
    """After its vectors were compared, and before its rows were read."""
    body: dict[str, Any] = {"query": [{"id": 98}], "limit": 20, "include": []}
    doomed = [hit["id"] for hit in answer(client, **body)["hits"][5:8]]
    engine = services.search.sessions.kw["bind"]

    def delete(*told: Any) -> None:
        if "<=>" in told[2]:  # the statement
            sql(services, "UPDATE images SET removed_at = now() WHERE id = ANY(:ids)", ids=doomed)

    event.listen(engine, "after_cursor_execute", delete)
    found = answer(client, **body, facets=["tags"])  # which no kept answer has
    event.remove(engine, "after_cursor_execute", delete)
    sql(services, "UPDATE images SET removed_at = NULL WHERE id = ANY(:ids)", ids=doomed)
    assert len(found["hits"]) == 17
    assert "Deleted a moment ago: 3." in warned(found)
    assert found["next_cursor"]


@pytest.mark.parametrize("exact", [False, True])
def test_the_buried_take_no_place_of_a_page(client: TestClient, exact: bool) -> None:
    body: dict[str, Any] = {"query": [{"id": 98}], "limit": 1000, "include": [], "exact": exact}
    assert len(answer(client, **body)["hits"]) == 1000


def test_a_buried_picture_hides_none_of_its_copies(client: TestClient, live: set[int]) -> None:
    """485 would be the first of its group: its copies have higher ids and the same distance."""
    copies = {485, 486, 487}
    assert copies & live == {486, 487}
    body = {"query": [{"id": 486}], "group_by": "duplicates", "limit": 20, "include": []}
    best = answer(client, **body, exact=True)["hits"][0]
    assert {best["id"], *best["duplicates"]} == {486, 487}


def test_duplicates_without_end_end_a_page_and_not_the_answer(
    client: TestClient, live: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_content, "MAX_GROUPED_RANKS", 30)  # there are only threes of copies
    where = {"id": {"gte": 401, "lte": 700}}
    body = {"query": QUERY, "filter": where, "group_by": "duplicates", "limit": 18, "include": []}
    first = answer(client, **body)
    assert 0 < len(first["hits"]) < 18
    assert "There are so many that they continue on the next page." in warned(first)
    found = [(n - 401) // 3 for n in shown_ids(pages(client, **body))]
    assert sorted(found) == sorted({(n - 401) // 3 for n in live if 401 <= n <= 700})


def test_pages_are_explained_to_their_scores(client: TestClient) -> None:
    """Ranks beyond the block that a score was fused in are no part of it."""
    body = {"query": "car", "mode": "hybrid", "explain": True, "include": []}
    found = answer(client, **body, limit=150, group_by="duplicates")
    for hit in found["hits"]:
        parts = hit["explain"]["from_vector"] + hit["explain"]["from_words"]
        assert parts == pytest.approx(hit["score"])
        ranks = (hit["vector_rank"], hit["lexical_rank"])
        fused = sum(0.5 / (60 + rank) for rank in ranks if rank)
        assert fused == pytest.approx(hit["score"])


def test_after_the_graph_the_planner_is_free_again(services: Services) -> None:
    """While it is read, the index of words could not be used."""
    opened = services.registry.default
    with services.search.sessions.begin() as session:
        question = SearchRequest("default", "default", (Term(text="tree"),), "hybrid")
        query = opened.search.queries.encode(question.terms)
        where = parse({}, {})
        ranking = Ranking(session, opened.collection, opened.index, question, query, where, None)
        assert len(ranking.window(0, 5)) == 5
        assert ranking.scan is not None
        assert ranking.scan.method == "hnsw"
        for way in ("bitmapscan", "seqscan", "sort"):
            assert session.execute(text(f"SHOW enable_{way}")).scalar_one() == "on"
