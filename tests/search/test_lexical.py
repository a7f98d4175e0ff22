"""The lexical leg: which words find which pictures, over HTTP and in Postgres."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.database.tables import images
from app.runtime.services import Services
from app.search.lexical import LexicalSearch
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import sql
from tests.fixtures.search_library import answer, asked, refused, warned

SAID: dict[str, tuple[str, str, dict[str, Any]]] = {
    "oak": ("IMG_1.png", "An old oak among trees", {"place": "Lisbon"}),
    "tree": ("IMG_2.png", "The tree", {"tags": ["winter", "snow"], "year": 1987}),
    "car": ("red_car-2.old.png", "", {"note": {"deep": ["Porsche", 911]}}),
    "phrase": ("x.png", "red car", {}),
    "swapped": ("y.png", "a car, red", {}),
    "ends": ("blue.png", "the sky is", {"a": "blue", "b": "sea"}),
    "city": ("z.png", "Łódź, Bäume im Regen", {}),
    "stopped": ("w.png", "the", {}),
    "negative": ("-v.png", "running", {"-sold": True}),
    "cjk": ("u.png", "一棵树", {}),
}


@pytest.fixture(scope="module", autouse=True)
def ids(client: TestClient) -> dict[str, int]:
    found = {}
    for seed, (key, (name, caption, metadata)) in enumerate(SAID.items()):
        data = {"caption": caption, "metadata": json.dumps(metadata)}
        (stored,) = client.post("/upload", files={"file": (name, png(seed))}, data=data).json()
        found[key] = stored["id"]
    return found


def found(client: TestClient, ids: dict[str, int], query: Any, **more: Any) -> list[str]:
    """The pictures that hold the words, the best first."""
    known = {image_id: key for key, image_id in ids.items()}
    return [known[hit["id"]] for hit in answer(client, query=query, mode="lexical", **more)["hits"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tree", {"tree", "oak"}),  # the language's stems, both ways
        ("trees", {"tree", "oak"}),
        ("TREE", {"tree", "oak"}),
        ("run", {"negative"}),
        ("lisbon", {"oak"}),  # metadata
        ("snow", {"tree"}),
        ("1987", {"tree"}),
        ("porsche 911", {"car"}),
        ("deep", set()),  # keys are not words
        ("red car", {"car", "phrase", "swapped"}),  # the name without its signs, too
        ("old", {"oak", "car"}),
        ('"red car"', {"car", "phrase"}),
        ('"car red"', {"swapped"}),
        ('"sky is blue"', set()),  # no phrase goes from one part to the next
        ('"blue sea"', set()),
        ("car -red", set()),
        ("tree -oak", {"tree"}),
        ("oak or snow", {"oak", "tree"}),
        ("łódź", {"city"}),
        ("the", {"tree", "ends", "stopped"}),  # as it is: of the language it is no word
        ("the tree", {"tree", "oak"}),
        ("一棵树", {"cjk"}),
        ("x.png", {"phrase"}),
        ("IMG_1.png", {"oak"}),
        ("red_car-2.old.png", {"car"}),
        ("unheard-of", set()),
        ("oak tree porsche", set()),  # all words are needed
    ],
)
def test_words_find_their_pictures(
    client: TestClient, ids: dict[str, int], query: str, expected: set[str]
) -> None:
    assert set(found(client, ids, query)) == expected


def test_the_phrase_is_not_found_across_both_readings(
    client: TestClient, ids: dict[str, int]
) -> None:
    """A caption is read as it is and in the language: "car, red" is not followed by itself."""
    assert "swapped" not in found(client, ids, '"red car"')
    assert "phrase" not in found(client, ids, '"car red"')
    assert "phrase" not in found(client, ids, '"car x"')


def test_a_caption_counts_more_than_a_name_and_that_more_than_metadata(
    client: TestClient, ids: dict[str, int]
) -> None:
    assert found(client, ids, "blue or 一棵树")[0] == "cjk"
    assert found(client, ids, "red")[-1] == "car"
    hits = answer(client, query="red", mode="lexical")["hits"]
    assert [hit["lexical_rank"] for hit in hits] == [1, 2, 3]
    assert all(0 < hit["score"] < 1 for hit in hits)
    assert {hit["distance"] for hit in hits} == {hit["confidence"] for hit in hits} == {None}


@pytest.mark.parametrize(
    "query",
    [
        *("'; DROP TABLE images; --", "-----a", "a or or or b", "((((", '"', '"""', "-", "or"),
        *("!!&|<->", "a:*", "a:AB", "\\", "a <-> b", '-"', '-""', "a & | b", "%", "'", "$1", ":x"),
        *("一" * 1000, "x" * 1000, "- " * 5, '"a ' * 300, "a-" * 500, "or " * 333, "\ufeff"),
        *("\u202ea", "a\tb\nc", "1e999", "//a.b/c?d=e", "a@b.c", "<b>a</b>", "&amp;"),
    ],
)
@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_no_words_are_a_fault(client: TestClient, query: str, mode: str) -> None:
    whole = answer(client, query=query, mode=mode)
    if mode == "hybrid":
        assert len(whole["hits"]) == len(SAID)


def test_what_postgres_cannot_read_as_words_is_refused(client: TestClient) -> None:
    for mode in ("lexical", "hybrid"):
        detail = refused(asked(client, query="- " * 500, mode=mode))
        assert detail.startswith("query: it cannot be read as words")
    assert answer(client, query="- " * 500)["hits"]  # vectors can


@pytest.mark.parametrize("query", ["...", "🌳 !"])
def test_signs_alone_are_no_words(client: TestClient, query: str) -> None:
    nothing = answer(client, query=query, mode="lexical")
    assert (nothing["hits"], nothing["no_match"]) == ([], True)
    assert warned(nothing) == "The query holds no words."


def test_how_many_hold_the_words_is_told(client: TestClient) -> None:
    few = answer(client, query="tree", mode="lexical")
    assert warned(few) == "Pictures that hold these words: 2."
    assert few["no_match"] is False
    fewer = answer(client, query="tree", mode="lexical", filter={"metadata.place": "Lisbon"})
    expected = "Pictures that hold these words and pass the filter: 1."
    assert warned(fewer) == expected
    both = answer(client, query="tree", hybrid={"alpha": 0})
    assert len(both["hits"]) == 2
    assert warned(both) == "Pictures that hold these words: 2."


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_a_picture_alone_has_no_words(client: TestClient, ids: dict[str, int], mode: str) -> None:
    for terms in ([{"id": ids["oak"]}], [{"id": ids["oak"]}, {"text": "a tree", "weight": -1}]):
        detail = refused(asked(client, query=terms, mode=mode))
        assert detail == f"mode: {mode} needs a text of positive weight."


def test_what_words_cannot_say_is_refused(client: TestClient, ids: dict[str, int]) -> None:
    for term in ({"id": ids["oak"]}, {"text": "oak", "weight": -1}):
        detail = refused(asked(client, query=[{"text": "a tree"}, term], mode="lexical"))
        assert detail.startswith("query[1]: the mode lexical searches by words alone")
    assert found(client, ids, [{"text": "tree"}, {"text": "snow"}]) == ["tree"]


def test_a_picture_and_words_are_searched_for_together(
    client: TestClient, ids: dict[str, int]
) -> None:
    terms = [{"id": ids["city"]}, {"text": "porsche", "weight": 0.1}]
    hits = answer(client, query=terms, mode="hybrid")["hits"]
    ranks = {hit["id"]: (hit["vector_rank"], hit["lexical_rank"]) for hit in hits}
    assert ranks[ids["city"]] == (1, None)
    assert ranks[ids["car"]][1] == 1
    assert hits[0]["id"] == ids["car"]  # it is in both rankings


def test_another_language_reads_the_words_anew(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    assert found(client, ids, "baum") == []
    try:
        for table in ("collections", "images"):
            sql(services, f"UPDATE {table} SET language = 'german'")
        assert found(client, ids, "baum") == ["city"]
        assert set(found(client, ids, "tree")) == {"tree"}  # as it is, in any language
    finally:
        for table in ("collections", "images"):
            sql(services, f"UPDATE {table} SET language = 'english'")


def test_words_of_another_collection_are_not_found(client: TestClient, services: Services) -> None:
    collection = services.registry.default.collection
    with services.search.sessions.begin() as session:
        assert LexicalSearch(session, collection, "tree", None).count() == 2
        buried = images.c.id < 0
        assert LexicalSearch(session, collection, "tree", buried).count() == 0
        session.execute(text("UPDATE images SET removed_at = now() WHERE caption = 'The tree'"))
        search = LexicalSearch(session, collection, "tree", None)
        assert (search.count(), len(search.window(0, 10)), search.window(1, 10)) == (1, 1, [])
        session.rollback()
