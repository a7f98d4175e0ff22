"""Words inside runs: of scripts without spaces, and beside digits (issue 21, line 30)."""

import importlib
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.search import word_splitting
from app.search.word_splitting import numbers_apart, spaced
from tests.fixtures.drawn_pictures import png
from tests.fixtures.search_library import answer

TOLD: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sunset": ("1.png", "海边的日落", {}),
    "seaside": ("2.png", "日光下的海边", {"place": "落日大道"}),
    "tokyo": ("3.png", "", {"place": "東京タワー", "tags": ["夜景と東京"]}),
    "busan": ("4.png", "부산 바다에서", {}),
    "named": ("红色汽车2024.png", "", {}),
    "invoice": ("invoice-4711.png", "", {}),
    "glued": ("invoice4712b.png", "", {}),
    "dated": ("IMG_20240531_203012.png", "", {}),
    "caption": ("5.png", "Bill no. INV-2077/3 of 1.5 kg", {}),
    "metadata": ("6.png", "", {"order": {"number": "PO-8123a"}, "weight": 2.5}),
    "decomposed": ("7.png", "Mu\u0308nchen", {"place": "Ko\u0308ln"}),
    "quoted": ("8.png", "", {"said": '"\u0308 \\u0031 日"本', "n": "a\n2"}),
}


@pytest.fixture(scope="module", autouse=True)
def ids(client: TestClient) -> dict[str, int]:
    found = {}
    for seed, (key, (name, caption, metadata)) in enumerate(TOLD.items()):
        data = {"caption": caption, "metadata": json.dumps(metadata)}
        (stored,) = client.post("/upload", files={"file": (name, png(seed))}, data=data).json()
        found[key] = stored["id"]
    return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("日落", {"sunset"}),  # not 落日, nor 日 and 落 apart
        ("海边", {"sunset", "seaside"}),
        ("海边的日落", {"sunset"}),
        ("海", {"sunset", "seaside"}),
        ("海边 日落", {"sunset"}),
        ("海边 -日落", {"seaside"}),
        ('"海边的日落"', {"sunset"}),
        ("日落 or 汽车", {"sunset", "named"}),
        ("落日", {"seaside"}),  # metadata
        ("東京", {"tokyo"}),
        ("タワー", {"tokyo"}),
        ("夜景", {"tokyo"}),
        ("京夜", set()),
        ("바다", {"busan"}),
        ("汽车", {"named"}),
        ("红色汽车2024", {"named"}),
        ("2024", {"named"}),
        ("4711", {"invoice"}),
        ("invoice", {"invoice", "glued"}),
        ("invoice-4711", {"invoice"}),
        ("invoice-4711.png", {"invoice"}),
        ("invoice4711", {"invoice"}),
        ("4712", {"glued"}),
        ("invoice4712b", {"glued"}),
        ("20240531", {"dated"}),
        ("IMG_20240531_203012", {"dated"}),
        ('"IMG_20240531"', {"dated"}),
        ("2077", {"caption"}),
        ("INV-2077/3", {"caption"}),
        ("1.5", {"caption"}),
        ("2.5", {"metadata"}),
        ("8123", {"metadata"}),
        ("PO-8123a", {"metadata"}),
        ("München", {"decomposed"}),
        ("Mu\u0308nchen", {"decomposed"}),
        ("Köln", {"decomposed"}),
        ("本日", set()),
    ],
)
def test_words_inside_runs_are_found(
    client: TestClient, ids: dict[str, int], query: str, expected: set[str]
) -> None:
    known = {image_id: key for key, image_id in ids.items()}
    hits = answer(client, query=query, mode="lexical", limit=20)["hits"]
    assert {known[hit["id"]] for hit in hits} == expected


def test_queries_are_split() -> None:
    assert spaced('red 海边的 -日落 "a 日落b"') == 'red "海 边 的"  -"日 落"  "a  日 落 b"'
    assert numbers_apart('a-4 -b5 "c6" d 7') == 'a 4 -"b 5" "c 6" d 7'


def test_the_index_and_queries_know_the_same_scripts() -> None:
    migration = importlib.import_module("migrations.versions.0010_words_in_names_and_runs")
    assert migration.UNSPACED.encode().decode("unicode_escape") == word_splitting.UNSPACED
    assert set(migration.SIGNS) == {chr(sign) for sign in word_splitting.SIGNS}
