"""Generated captions over HTTP: written by a job, marked, found by words and by meaning."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.runtime.services import Services
from tests.conftest import TEST_IMAGES
from tests.fixtures.folder_jobs import sql
from tests.fixtures.http_jobs import JOBS, ended, working
from tests.fixtures.search_library import answer, refused

DEFAULT = "/api/v1/collections/default"
NAMES = ("sunflower.jpg", "dog.jpg", "red-rose.jpg")
GIVEN = "our pet in the garden"


@pytest.fixture(scope="module")
def ids(client: TestClient, services: Services) -> Iterator[dict[str, int]]:
    """Pictures of the demo, one of which has a caption; the annotator has looked at all."""
    found = {name: upload(client, name) for name in NAMES}
    client.patch(f"/api/v1/images/{found['dog.jpg']}", json={"caption": GIVEN})
    with working(services):
        turn_on(client)
    yield found
    client.patch(DEFAULT, json={"annotators": []})


def upload(client: TestClient, name: str) -> int:
    data = (TEST_IMAGES / name).read_bytes()
    sent = client.post("/upload", files={"file": (f"{NAMES.index(name)}.jpg", data)})
    assert sent.is_success, sent.text
    found: int = sent.json()[0]["id"]
    return found


def turn_on(client: TestClient) -> None:
    changed = client.patch(DEFAULT, json={"annotators": ["caption"]})
    assert changed.is_success, changed.text
    job = ended(client, f"{JOBS}/{annotator(client)['job_id']}")
    assert (job["status"], job["source"]) == ("succeeded", {"annotate": "caption"})


def annotator(client: TestClient) -> dict[str, Any]:
    (found,) = client.get(f"{DEFAULT}/annotators").json()["data"]
    return dict(found)


def details(client: TestClient, image_id: int) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/v1/images/{image_id}").json()
    return found


def test_a_generated_caption_is_marked_and_a_given_one_stays(
    client: TestClient, ids: dict[str, int]
) -> None:
    flower, dog = details(client, ids["sunflower.jpg"]), details(client, ids["dog.jpg"])
    assert "yellow flower" in flower["caption"]
    assert flower["caption_source"] == "generated"
    assert (dog["caption"], dog["caption_source"]) == (GIVEN, "given")
    assert (annotator(client)["read"], annotator(client)["waiting"]) == (3, 0)


def test_it_is_found_by_its_words_and_counts_less_than_a_given_one(
    client: TestClient, ids: dict[str, int]
) -> None:
    (hit,) = answer(client, query="yellow", mode="lexical")["hits"]
    assert (hit["id"], hit["caption_source"]) == (ids["sunflower.jpg"], "generated")
    assert hit["texts"] == []  # these are read in the picture
    rose = ids["red-rose.jpg"]
    client.patch(f"/api/v1/images/{rose}", json={"caption": "nothing yellow"})
    hits = answer(client, query="yellow", mode="lexical")["hits"]
    assert [one["id"] for one in hits] == [rose, ids["sunflower.jpg"]]
    client.patch(f"/api/v1/images/{rose}", json={"caption": None})
    assert details(client, rose)["caption_source"] == "generated"  # it shows again


def test_its_meaning_is_a_ranking_of_its_own_which_is_off_by_default(
    client: TestClient, ids: dict[str, int]
) -> None:
    """Each ranking's part of a score is told, and they add up to it."""
    query = {"query": "a yellow flower", "explain": True, "limit": 3}
    with_captions = answer(client, **query, hybrid={"alpha": 1, "captions": 0.5})["hits"]
    assert (with_captions[0]["id"], with_captions[0]["caption_rank"]) == (ids["sunflower.jpg"], 1)
    assert sorted(hit["caption_rank"] for hit in with_captions) == [1, 2, 3]
    for hit in with_captions:
        parts = hit["explain"]
        told = parts["from_vector"] + parts["from_words"] + parts["from_captions"]
        assert hit["score"] == pytest.approx(told)
        assert parts["from_captions"] == pytest.approx(0.5 / (60 + hit["caption_rank"]))
    for hit in answer(client, **query, hybrid={"alpha": 1})["hits"]:
        assert (hit["caption_rank"], "from_captions" in hit["explain"]) == (None, False)
    refused(client.post("/api/v1/search", json={"query": "a", "hybrid": {"captions": 2}}))


def test_pages_go_on_with_all_three_rankings(client: TestClient, ids: dict[str, int]) -> None:
    query = {"query": "a flower", "hybrid": {"captions": 1}}
    whole = answer(client, **query, limit=3)["hits"]
    first = answer(client, **query, limit=2)
    second = answer(client, cursor=first["next_cursor"])
    paged = [hit["id"] for hit in [*first["hits"], *second["hits"]]]
    assert paged == [hit["id"] for hit in whole]
    assert second["hits"][-1]["caption_rank"] is not None


def test_a_filter_holds_for_captions_too(client: TestClient, ids: dict[str, int]) -> None:
    rose = ids["red-rose.jpg"]
    hybrid = {"alpha": 1, "captions": 1}
    hits = answer(client, query="a sunflower", hybrid=hybrid, filter={"id": rose})["hits"]
    assert [(hit["id"], hit["caption_rank"]) for hit in hits] == [(rose, 1)]


def test_what_is_found_in_another_model_or_text_is_made_anew(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    """A caption that goes takes its vector with it; one without a vector gets one by a job."""
    count = "SELECT count(*) FROM text_embeddings"
    assert sql(services, count) == [(3,)]
    sql(services, "DELETE FROM text_embeddings WHERE image_id = :id", id=ids["dog.jpg"])
    before = annotator(client)["job_id"]
    services.annotators.keep_current()
    with working(services):
        ended(client, f"{JOBS}/{annotator(client)['job_id']}")
    assert annotator(client)["job_id"] != before
    assert sql(services, count) == [(3,)]


def test_turned_off_its_captions_are_gone(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    client.patch(DEFAULT, json={"annotators": []})
    flower, dog = details(client, ids["sunflower.jpg"]), details(client, ids["dog.jpg"])
    assert (flower["caption"], flower["caption_source"]) == (None, None)
    assert (dog["caption"], dog["caption_source"]) == (GIVEN, "given")
    assert answer(client, query="yellow", mode="lexical")["hits"] == []
    assert sql(services, "SELECT count(*) FROM text_embeddings") == [(0,)]
