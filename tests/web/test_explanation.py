"""Explanations over HTTP."""

import pytest
from fastapi.testclient import TestClient

from tests.fixtures.drawn_pictures import png


@pytest.fixture(scope="module")
def picture(client: TestClient) -> int:
    """One that was uploaded before all others."""
    sent = client.post("/upload", files={"file": ("noise.png", png(1))}).json()
    found: int = sent[0]["id"]
    return found


def test_a_picture_is_explained_by_its_id_or_its_path(client: TestClient, picture: int) -> None:
    path = client.get(f"/images/{picture}").json()["path"]
    by_id = client.get("/api/v1/explain", params={"q": "noise", "id": picture})
    by_path = client.get("/api/v1/explain", params={"q": "noise", "path": path})
    assert by_id.status_code == by_path.status_code == 200
    assert by_id.json()["cause"] == "found"
    assert by_id.json()["exact_rank"] == by_id.json()["approximate_rank"] == 1
    assert by_id.json()["score"] == pytest.approx(1 - by_id.json()["distance"])
    assert by_id.json()["sentence"] == "It is number 1 of the answer."
    assert by_path.json()["image_id"] == picture


def test_the_clause_that_removes_it_is_named(client: TestClient, picture: int) -> None:
    asked: dict[str, int | str] = {
        "q": "noise",
        "id": picture,
        "filter": '{"format": "PNG", "width": {"gt": 9999}}',
    }
    told = client.get("/api/v1/explain", params=asked).json()
    assert told["cause"] == "filtered"
    assert told["removed_by"] == ["filter.width.gt"]


@pytest.mark.parametrize("named", [{}, {"id": 1, "path": "x"}])
def test_one_picture_is_to_be_named(client: TestClient, named: dict[str, int | str]) -> None:
    answer = client.get("/api/v1/explain", params={"q": "noise", **named})
    assert answer.status_code == 422
    assert "by its id or by its path" in answer.json()["detail"]
