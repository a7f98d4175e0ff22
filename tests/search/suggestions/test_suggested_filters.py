"""Dates and names in a query's words, offered as filters (issue 16, natural dates and places)."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.catalog.known_values import KnownValues
from app.search.suggestions.filter_suggestions import suggest
from app.search.suggestions.known_names import Known
from tests.browser.serving import wait
from tests.fixtures.search_library import answer
from tests.ingest.test_camera_metadata import photograph

TODAY = date(2026, 11, 28)
KNOWN = Known.of(
    KnownValues(
        {
            "place.city": ["Lisbon", "New York", "里斯本"],
            "place.state": ["Lisbon", "New York"],
            "tags": ["new", "lisbon", "LISBON", "42", "x"],
            "people": ["Ann Lee"],
        },
        frozenset({date(2019, 5, 1), date(2026, 7, 1)}),
    )
)


def parts(query: str) -> list[tuple[str, str]]:
    return [(one.text, one.query) for one in suggest(query, KNOWN, TODAY)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Lisbon last summer", [("Lisbon", "last summer"), ("last summer", "Lisbon")]),
        ("beach in lisbon, 2019", [("in lisbon", "beach, 2019"), ("2019", "beach in lisbon")]),
        ("new york with ann lee", [("new york", "with ann lee"), ("with ann lee", "new york")]),
        ("在里斯本的海边", [("在里斯本", "海边")]),
        ("Lisbon", [("Lisbon", "")]),
        ("2018", []),  # no picture was taken then: “2001: a space odyssey”
        ("42 x", []),
        ('"in Lisbon 2019" -Lisbon', []),
        ("a dog", []),
        ("", []),
    ],
)
def test_parts(query: str, expected: list[tuple[str, str]]) -> None:
    assert parts(query) == expected


def test_a_name_in_several_fields_is_one_filter() -> None:
    (found,) = suggest("LISBON", KNOWN, TODAY)
    assert found.filter == {
        "or": [
            {"place.city": {"in": ["Lisbon"]}},
            {"place.state": {"in": ["Lisbon"]}},
            {"tags": {"in": ["lisbon", "LISBON"]}},
        ]
    }


@pytest.fixture(scope="module")
def pictures(client: TestClient) -> list[int]:
    ids = []
    for number, (day, metadata) in enumerate(
        [("2019:05:31", {"place": {"city": "Lisbon"}}), ("2018:05:31", {"tags": ["Lisbon"]})]
    ):
        data = photograph(7_100 + number, f"{day} 12:00:00", "+00:00")
        sent = client.post(
            "/upload",
            files={"file": ("a.jpg", data)},
            data={"metadata": json.dumps(metadata)},
        )
        ids.append(sent.json()[0]["id"])
    return ids


def suggested(client: TestClient, query: object) -> list[dict[str, Any]]:
    """What is suggested, once the names were read in the background."""
    known: Callable[[], Any] = lambda: answer(client, query="Lisbon")["suggested_filters"]  # noqa: E731
    wait(known)
    found: list[dict[str, Any]] = answer(client, query=query)["suggested_filters"]
    return found


def test_each_is_a_filter_that_pictures_pass(client: TestClient, pictures: list[int]) -> None:
    place, year = suggested(client, "beach in Lisbon 2019")
    passing = [
        {hit["id"] for hit in answer(client, query=one["query"], filter=one["filter"])["hits"]}
        for one in (place, year)
    ]
    assert passing == [set(pictures), {pictures[0]}]
    (month,) = suggested(client, "in May")
    assert month["filter"] == {"taken_month": 5}
    assert answer(client, filter=month["filter"], facets=["taken_month"])["total"] == 2
    assert len(answer(client, query="beach in Lisbon 2019")["hits"]) == 2  # none is applied


def test_only_the_one_text_that_is_searched_for(client: TestClient, pictures: list[int]) -> None:
    (found,) = suggested(client, [{"text": "Lisbon"}, {"text": "2019", "weight": -1}])
    assert found["query"] == ""
    assert suggested(client, [{"text": "Lisbon"}, {"text": "2019"}]) == []
    assert answer(client, filter={"taken_month": 5})["suggested_filters"] == []
