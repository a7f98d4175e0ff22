"""What `picture-search search` says of an answer."""

import pytest
from fastapi.testclient import TestClient

from scripts.search import remark_on
from tests.conftest import TEST_IMAGES


def answered(client: TestClient, words: str) -> str | None:
    answer = client.post("/api/v1/search", json={"query": words})
    assert answer.status_code == 200
    return remark_on(answer.json())


def test_an_empty_collection_is_not_said_to_have_nearest_pictures(client: TestClient) -> None:
    told = answered(client, "a green tree")
    assert told is not None
    assert "no picture here" in told
    assert "nearest" not in told
    data = (TEST_IMAGES / "green-tree.jpg").read_bytes()
    assert client.post("/upload", files={"file": ("tree.jpg", data)}).status_code == 201
    assert answered(client, "a green tree") is None


@pytest.mark.parametrize("no_match", [True, False])
def test_only_the_nearest_pictures_are_said_to_be_that(no_match: bool) -> None:
    told = remark_on({"hits": [{"id": 1}], "no_match": no_match})
    assert (told is not None and "nearest" in told) is no_match
