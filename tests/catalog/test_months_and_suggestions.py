"""Months with counts, and suggestions for what is typed, over HTTP."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.catalog import suggestions
from tests.fixtures.drawn_pictures import jpeg_taken_at, png

DEFAULT = "/api/v1/collections/default"


def stored(client: TestClient, data: bytes, name: str = "a.jpg", **metadata: Any) -> int:
    told = {"metadata": json.dumps(metadata)}
    answer = client.post("/upload", files={"file": (name, data)}, data=told)
    assert answer.status_code == 201, answer.text
    image_id: int = answer.json()[0]["id"]
    return image_id


def suggested(client: TestClient, prefix: str) -> list[tuple[str, str, int]]:
    answer = client.get(f"{DEFAULT}/suggestions", params={"prefix": prefix})
    assert answer.status_code == 200, answer.text
    return [tuple(one.values()) for one in answer.json()["suggestions"]]


def test_months_are_counted_by_the_clock_of_the_place(client: TestClient) -> None:
    """Issue 19, item 13."""
    stored(client, png(1), kind="none")
    for number, moment in enumerate(("2019:05:31 23:59:59", "2019:05:01 00:00:00")):
        stored(client, jpeg_taken_at(moment, number), kind="photo")
    last = stored(client, jpeg_taken_at("2007:01:09 08:00:00", 3), kind="scan")
    told = client.get(f"{DEFAULT}/months").json()["months"]
    assert told == [{"month": "2019-05", "pictures": 2}, {"month": "2007-01", "pictures": 1}]
    where = json.dumps({"metadata.kind": "photo"})
    told = client.get(f"{DEFAULT}/months", params={"filter": where}).json()["months"]
    assert told == [{"month": "2019-05", "pictures": 2}]
    client.delete(f"/images/{last}")
    assert len(client.get(f"{DEFAULT}/months").json()["months"]) == 1
    assert client.get(f"{DEFAULT}/months?filter=[]").status_code == 422


def test_suggestions_are_words_that_begin_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggestions, "KEPT_SECONDS", 0.0)
    stored(client, png(11), tags=["Beach", "old bear", "海边日落"], people=["Béa"])
    stored(client, png(12), tags=["Beach"], place={"city": "Bergen"})
    assert suggested(client, "be") == [
        *(("Beach", "tags", 2), ("Bergen", "place.city", 1), ("old bear", "tags", 1))
    ]
    assert suggested(client, "日落") == [("海边日落", "tags", 1)]
    assert suggested(client, "bé") == [("Béa", "people", 1)]
    assert suggested(client, "each") == suggested(client, " ") == []
    for number in range(12):
        stored(client, png(20 + number), tags=[f"zoo {number:02}"])
    assert len(suggested(client, "zoo")) == suggestions.MAX_SUGGESTIONS
    assert client.get(f"{DEFAULT}/suggestions").status_code == 422


def test_the_rarest_value_of_a_field_is_suggested(client: TestClient) -> None:
    """The facets of a search list the 50 most frequent values alone."""
    for number in range(9):
        stored(client, png(100 + number), tags=["pier", f"pier {number}"], rating=number)
    stored(client, png(110), tags=["Über den Pier_", "PIER 100%"], people=["Pier"])

    def values(field: str, prefix: str) -> list[tuple[str, int]]:
        path = f"{DEFAULT}/suggestions"
        answer = client.get(path, params={"prefix": prefix, "field": field})
        assert answer.status_code == 200, answer.text
        return [(one["text"], one["pictures"]) for one in answer.json()["suggestions"]]

    assert values("tags", "PIER")[0] == ("pier", 9)
    assert len(values("tags", "pier")) == suggestions.MAX_SUGGESTIONS
    assert values("tags", "über") == values("tags", "r_") == [("Über den Pier_", 1)]
    assert values("tags", "0%") == [("PIER 100%", 1)]
    assert values("people", "pier") == [("Pier", 1)]
    assert values("rating", "8") == [("8", 1)]
    assert values("tags", "pi%r") == values("place.city", "pier") == []
    refused = client.get(f"{DEFAULT}/suggestions?prefix=a&field=nothing")
    assert (refused.status_code, refused.json()["code"]) == (422, "filter_invalid")


def test_values_are_counted_once_a_minute(client: TestClient) -> None:
    stored(client, png(41), tags=["first"])
    client.get(f"{DEFAULT}/suggestions?prefix=f")
    before = suggested(client, "f")
    stored(client, png(42), tags=["further"])
    assert suggested(client, "f") == before


def test_names_of_files_are_suggested(client: TestClient) -> None:
    """Issue 19, item 13."""
    names = ["Harbour.jpg", "harbour.jpg", "harbour 2.png", "harvest_100%.png", "old/hay.png"]
    ids = [stored(client, png(60 + at), name) for at, name in enumerate(names)]
    assert suggested(client, "HARB") == [("harbour 2.png", "name", 1), ("Harbour.jpg", "name", 2)]
    assert suggested(client, "harvest_100%") == [("harvest_100%.png", "name", 1)]
    assert [text for text, *_ in suggested(client, "ha")][-1] == "hay.png"
    assert suggested(client, "%") == suggested(client, "arbour") == []
    client.delete(f"/images/{ids[2]}")
    assert suggested(client, "harb") == [("Harbour.jpg", "name", 2)]
    for number in range(9):
        stored(client, png(70 + number), tags=[f"quay {number}"])
    for number in range(4):
        stored(client, png(80 + number), f"quay-{number}.png")
    client.app.state.suggestions._kept.clear()  # type: ignore[attr-defined]
    fields = [field for _, field, _ in suggested(client, "quay")]
    assert fields == ["tags"] * 5 + ["name"] * 3


def test_names_of_other_collections_are_not_suggested(client: TestClient) -> None:
    assert client.post("/api/v1/collections", json={"name": "other"}).status_code == 201
    files = {"file": ("secret.png", png(95))}
    sent = client.post("/upload?collection=other", files=files)
    assert sent.status_code == 201
    assert suggested(client, "secret") == []
    told = client.get("/api/v1/collections/other/suggestions?prefix=secret").json()
    assert [one["text"] for one in told["suggestions"]] == ["secret.png"]
