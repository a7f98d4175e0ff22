"""Labels over HTTP, on pictures of the demo that the model knows."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.conftest import TEST_IMAGES

ASTRONAUT = "astronaut-and-rocket.webp"
NAMES = ["dog", "cat", "night", "astronaut"]


@pytest.fixture(scope="module")
def upload(client: TestClient) -> Callable[[str], int]:
    """Stores a picture of the demo; gives its id."""

    def store(name: str) -> int:
        file = {"file": (name, (TEST_IMAGES / name).read_bytes())}
        answer = client.post("/upload", files=file)
        assert answer.is_success, answer.text
        found: int = answer.json()[0]["id"]
        return found

    return store


def classify(client: TestClient, **body: Any) -> list[tuple[str, float]]:
    answer = client.post("/api/v1/classify", json=body)
    assert answer.status_code == 200, answer.text
    return [(one["label"], one["probability"]) for one in answer.json()["labels"]]


def test_a_picture_is_classified_by_any_labels(
    client: TestClient, upload: Callable[[str], int]
) -> None:
    """Issue 17, "astronaut 0.9976": the article's table."""
    sent = b64encode((TEST_IMAGES / ASTRONAUT).read_bytes()).decode()
    found = classify(client, image=sent, labels=NAMES)
    assert found[0][0] == "astronaut"
    assert found[0][1] > 0.95
    assert sum(probability for _, probability in found) == pytest.approx(1, abs=1e-5)
    assert [one for _, one in found] == sorted((one for _, one in found), reverse=True)
    assert sorted(label for label, _ in found) == sorted(NAMES)
    stored = classify(client, id=upload(ASTRONAUT), labels=NAMES)
    assert dict(stored) == pytest.approx(dict(found), abs=1e-3)  # its vector is rounded


def test_phrases_and_templates_count(client: TestClient, upload: Callable[[str], int]) -> None:
    image_id = upload("green-tree.jpg")
    labels = [{"name": "x", "phrases": ["a tree", "a flower"]}, {"name": "y", "phrases": ["a car"]}]
    assert classify(client, id=image_id, labels=labels)[0][0] == "x"
    swapped = [{"name": "x", "phrases": ["a car"]}, {"name": "y", "phrases": ["tree"]}]
    templates = ["a drawing of a {}"]
    assert classify(client, id=image_id, labels=swapped, templates=templates)[0][0] == "y"


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"labels": NAMES}, 422, "send a picture as image, or name one by its id"),
        ({"labels": NAMES, "id": 1, "image": "aaaa"}, 422, "send a picture as image, or name one"),
        ({"labels": ["dog"], "id": 1}, 422, "labels"),
        ({"labels": ["dog", " "], "id": 1}, 422, "labels[1]: this is blank: say in words"),
        (
            {"labels": ["dog", {"phrases": ["a cat"]}], "id": 1},
            422,
            "labels[1].name: it is required",
        ),
        ({"labels": ["dog", 5], "id": 1}, 422, "labels[1]: send a name, or an object"),
        ({"labels": ["dog", "dog"], "id": 1}, 422, "'dog' occurs twice"),
        ({"labels": NAMES, "id": 1, "templates": ["a photo"]}, 422, "needs {} once"),
        ({"labels": NAMES, "id": 2**62}, 404, "has no picture 4611686018427387904 with a vector"),
        ({"labels": NAMES, "image": "aGVsbG8="}, 415, "This is not a picture"),
        ({"labels": NAMES, "id": 1, "collection": "absent"}, 404, "no collection absent"),
    ],
)
def test_bad_requests_are_told(
    client: TestClient, body: dict[str, Any], status: int, told: str
) -> None:
    answer = client.post("/api/v1/classify", json=body)
    assert (answer.status_code, told in answer.json()["detail"]) == (status, True), answer.text
