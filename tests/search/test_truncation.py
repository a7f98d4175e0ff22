"""Texts beyond the model's context: what was not used is said (issue 21, line 31)."""

import pytest
from fastapi.testclient import TestClient

from app.encoders.encoder import unused_end
from app.runtime.services import Services
from tests.fixtures.search_library import answer, upload_pictures

FILLER = " ".join(["word"] * 90)


@pytest.fixture(scope="module")
def room(services: Services) -> int:
    """How many words of one token the model reads."""
    tokenizer = services.search.queries.encoder.load()._tokenizer
    return int(tokenizer([""]).shape[1]) - 2


@pytest.fixture(scope="module", autouse=True)
def ids(client: TestClient, services: Services) -> dict[str, int]:
    return upload_pictures(client, services)


def test_the_end_that_the_model_does_not_read_is_said(client: TestClient, room: int) -> None:
    whole, cut = (
        answer(client, query=query, limit=10) for query in (f"{FILLER} and a red car", FILLER)
    )
    assert [hit["score"] for hit in whole["hits"]] == [hit["score"] for hit in cut["hits"]]
    rest = " ".join(["word"] * (90 - room))
    assert whole["unused_text"] == f"{rest} and a red car"
    assert cut["unused_text"] == rest


def test_what_fits_is_used(client: TestClient, room: int) -> None:
    for query in ("a red car", " ".join(["word"] * room), "x" * 40):
        assert answer(client, query=query)["unused_text"] is None


def test_each_text_of_several_is_looked_at(client: TestClient) -> None:
    query = [{"text": "a car"}, {"text": f"{FILLER} red", "weight": -0.5}]
    found = answer(client, query=query, limit=3)
    assert found["unused_text"].endswith("word red")
    assert answer(client, cursor=found["next_cursor"])["unused_text"] is None


def test_words_alone_have_no_bound(client: TestClient) -> None:
    assert answer(client, query=FILLER, mode="lexical")["unused_text"] is None


def test_the_flat_endpoint_says_it_in_a_header(client: TestClient) -> None:
    told = client.get("/search-by-text", params={"query": f"{FILLER} and a red car"})
    assert told.headers["X-Query-Truncated"] == "true"
    assert isinstance(told.json(), list)
    told = client.get("/search-by-text", params={"query": "a red car"})
    assert "X-Query-Truncated" not in told.headers


def test_scripts_without_spaces_are_cut_between_characters(services: Services) -> None:
    text = "海边的日落" * 20
    unused = services.search.queries.encoder.unused_end(text)
    assert 0 < len(unused) < len(text)
    assert text.endswith(unused)
    tokenizer = services.search.queries.encoder.load()._tokenizer
    used = text.removesuffix(unused)
    assert unused_end(tokenizer, used) == ""
    assert (tokenizer([used]) == tokenizer([text])).all()
