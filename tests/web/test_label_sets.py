"""Label sets over HTTP: pictures of the demo are labelled by a job, and those that come later."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.index import paged_scans, vector_indexes
from app.index.categories import category_graphs
from app.runtime.services import Services
from tests.conftest import TEST_IMAGES
from tests.fixtures.http_jobs import JOBS, counts, ended, working

SETS = "/api/v1/collections/default/label-sets"
PLANTS, ANIMALS = ("green-tree.jpg", "red-rose.jpg"), ("cat.jpg", "dog.jpg")
EXCLUSIVE = {
    "labels": [
        {"name": "plant", "phrases": ["a tree", "a rose", "a flower"]},
        {"name": "animal", "phrases": ["a cat", "a dog"]},
    ],
    "exclusive": True,
}


@pytest.fixture(scope="module")
def ids(client: TestClient) -> dict[str, int]:
    """The ids of some pictures of the demo, by name."""
    return {name: upload(client, name) for name in (*PLANTS, *ANIMALS, "ambulance.jpg")}


@pytest.fixture
def labelled(client: TestClient, services: Services, ids: dict[str, int]) -> Iterator[None]:
    """The set `kind`, with all pictures labelled by it."""
    with working(services):
        put(client, "kind", EXCLUSIVE)
    yield
    client.delete(f"{SETS}/kind")


def upload(client: TestClient, name: str) -> int:
    answer = client.post("/upload", files={"file": (name, (TEST_IMAGES / name).read_bytes())})
    assert answer.is_success, answer.text
    found: int = answer.json()[0]["id"]
    return found


def put(client: TestClient, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """The set once its job has ended, which it must well."""
    answer = client.put(f"{SETS}/{name}", json=body)
    assert answer.is_success, answer.text
    job = ended(client, f"{JOBS}/{answer.json()['job_id']}")
    assert (job["status"], job["source"]["labels"]["name"]) == ("succeeded", name)
    found: dict[str, Any] = client.get(f"{SETS}/{name}").json()
    return found


def move(client: TestClient, image_id: int, source: str, target: str) -> None:
    body = {"ids": [image_id], "collection": target}
    answer = client.post(f"/api/v1/collections/{source}/images/move", json=body)
    assert answer.is_success, answer.text


def labels_of(client: TestClient, image_id: int) -> dict[str, str]:
    found = client.get(f"/api/v1/images/{image_id}/labels").json()["labels"]
    assert all(0 <= one["probability"] <= 1 for one in found)
    return {one["set"]: one["label"] for one in found}


def passing(client: TestClient, where: dict[str, Any], **more: Any) -> list[int]:
    answer = client.post("/api/v1/search", json={"filter": where, "limit": 50, **more})
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


@pytest.mark.usefixtures("labelled")
def test_stored_pictures_are_labelled_by_a_job(client: TestClient, ids: dict[str, int]) -> None:
    """Issue 17, "Labels": a label set added over HTTP labels all pictures in one call."""
    for name in PLANTS:
        assert labels_of(client, ids[name]) == {"kind": "plant"}, name
    for name in ANIMALS:
        assert labels_of(client, ids[name]) == {"kind": "animal"}, name
    assert labels_of(client, ids["ambulance.jpg"]) == {"kind": "other"}
    details = client.get(f"{SETS}/kind").json()
    assert details["labelled"] == len(ids)
    assert client.get(SETS).json()["data"] == [details]
    job = client.get(f"{JOBS}/{details['job_id']}").json()
    assert counts(job) == {"total": len(ids), "processed": len(ids)}


@pytest.mark.usefixtures("labelled")
def test_labels_are_fields(client: TestClient, ids: dict[str, int]) -> None:
    plants = sorted(ids[name] for name in PLANTS)
    assert sorted(passing(client, {"labels.kind": "plant"})) == plants
    assert sorted(passing(client, {"labels.kind": "plant"}, query="a cat")) == plants
    assert len(passing(client, {"labels.kind": {"ne": "plant"}})) == len(ids) - len(plants)
    both = {"labels.kind": {"in": ["plant", "animal"]}}
    assert len(passing(client, both)) == len(PLANTS) + len(ANIMALS)
    assert passing(client, {"not": {"labels.kind": {"exists": True}}}) == []
    assert passing(client, {"labels.kind": {"in": []}}) == []
    sure = passing(client, {"labels.kind.plant": {"gte": 0.5}}, order_by="-labels.kind.plant")
    assert sorted(sure) == plants
    answer = client.post("/api/v1/search", json={"facets": ["labels.kind"], "limit": 1}).json()
    found = {one["value"]: one["count"] for one in answer["facets"]["labels.kind"]}
    assert found == {"plant": len(PLANTS), "animal": len(ANIMALS), "other": 1}


@pytest.mark.usefixtures("labelled")
def test_new_pictures_are_labelled_at_once(client: TestClient, ids: dict[str, int]) -> None:
    """No worker runs: the upload itself labels."""
    image_id = upload(client, "tulip.webp")
    assert labels_of(client, image_id) == {"kind": "plant"}
    client.delete(f"/api/v1/images/{image_id}")
    assert client.get(f"/api/v1/images/{image_id}/labels").status_code == 404


@pytest.mark.usefixtures("labelled")
def test_a_changed_set_makes_labels_stale(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    changed = {"labels": [{"name": "cat", "phrases": ["a cat"]}], "threshold": 0.4}
    first = client.put(f"{SETS}/kind", json=changed)
    assert first.status_code == 200
    assert first.json()["labelled"] == 0
    assert labels_of(client, ids["cat.jpg"]) == {}
    again = client.put(f"{SETS}/kind", json={**changed, "threshold": 0.5})
    assert again.json()["job_id"] == first.json()["job_id"]  # that is still to come
    with working(services):
        assert put(client, "kind", {**changed, "threshold": 0.5})["labelled"] == len(ids)
    assert labels_of(client, ids["cat.jpg"]) == {"kind": "cat"}
    assert labels_of(client, ids["dog.jpg"]) == {"kind": "other"}


@pytest.mark.usefixtures("labelled")
def test_a_deleted_set_leaves_nothing(client: TestClient, ids: dict[str, int]) -> None:
    assert client.delete(f"{SETS}/kind").status_code == 204
    assert client.delete(f"{SETS}/kind").status_code == 404
    assert labels_of(client, ids["cat.jpg"]) == {}
    answer = client.post("/api/v1/search", json={"filter": {"labels.kind": "plant"}})
    assert answer.status_code == 422
    assert 'there is no label set "kind"' in answer.json()["detail"]


@pytest.mark.usefixtures("labelled")
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"filter": {"labels.kind": {"gte": "a"}}}, "of the type labels has no operator"),
        ({"filter": {"labels.kind": 5}}, "5 is not a text"),
        ({"filter": {"labels.kind": "plnt"}}, 'no label "plnt"; did you mean plant?'),
        ({"order_by": "labels.kind.plnt"}, 'order_by: the label set has no label "plnt"'),
        ({"filter": {"labels.absent": "a"}}, 'no label set "absent" in this collection; there are'),
        ({"order_by": "labels.kind"}, "holds labels, which have no order"),
        ({"facets": ["labels.knd"]}, 'no label set "knd" in this collection; did you mean kind?'),
    ],
)
def test_bad_fields_are_told(client: TestClient, body: dict[str, Any], told: str) -> None:
    answer = client.post("/api/v1/search", json=body)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    assert passing(client, {"metadata.labels.kind": "a"}) == []


def test_bad_sets_are_refused(client: TestClient) -> None:
    for body, told in (
        ({"labels": ["a", "a"]}, "'a' occurs twice"),
        ({"labels": ["other"]}, "'other' is reserved for pictures"),
        ({"labels": ["a"], "other": []}, "compared with nothing"),
        ({"labels": []}, "labels"),
        ({"labels": ["a"], "threshold": 2}, "threshold"),
    ):
        answer = client.put(f"{SETS}/bad", json=body)
        assert answer.status_code == 422, answer.text
        assert told in answer.json()["detail"]
    assert client.get(f"{SETS}/bad").status_code == 404
    assert client.put(f"{SETS}/Bad Name", json={"labels": ["a"]}).status_code == 422


@pytest.fixture
def category(
    client: TestClient,
    services: Services,
    labelled: None,
    search_by_graph: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The set `kind` is a category, and the service has built graphs; two pictures are many."""
    for module in (category_graphs, paged_scans):
        monkeypatch.setattr(module, "FEWEST_KEPT", 2)
    monkeypatch.setattr(category_graphs, "FEWEST", 2)
    with services.sessions.begin() as session:
        vector_indexes.build_hnsw(session, services.search.index)
    before = client.get(f"{SETS}/kind").json()
    services.worker.upkeep.maintain_categories()
    assert (before["category"], before["graphs"]) == (False, [])
    marked = client.put(f"{SETS}/kind", json={**EXCLUSIVE, "category": True}).json()
    assert marked["labelled"] == before["labelled"]  # nothing is told anew
    services.worker.upkeep.maintain_categories()
    assert graphs(client) == []  # a job is open: it might tell more
    with working(services):
        ended(client, f"{JOBS}/{marked['job_id']}")
    services.worker.upkeep.maintain_categories()
    assert graphs(client) == ["animal", "plant"]


def graphs(client: TestClient) -> list[str]:
    """The labels of the set `kind` that have a graph."""
    found: list[str] = client.get(f"{SETS}/kind").json()["graphs"]
    return found


def plants(client: TestClient) -> set[int]:
    """What a search within the label finds."""
    return set(passing(client, {"labels.kind": "plant"}, query="a cat"))


@pytest.mark.usefixtures("category")
def test_a_search_within_a_category_follows_each_change(
    client: TestClient, ids: dict[str, int]
) -> None:
    tree, rose = (ids[name] for name in PLANTS)
    assert plants(client) == {tree, rose}
    tulip = upload(client, "tulip.webp")
    assert plants(client) == {tree, rose, tulip}
    client.delete(f"/api/v1/images/{tulip}")
    assert plants(client) == {tree, rose}
    client.post("/api/v1/collections", json={"name": "elsewhere"})
    move(client, rose, "default", "elsewhere")
    assert plants(client) == {tree}
    move(client, rose, "elsewhere", "default")
    assert plants(client) == {tree, rose}


@pytest.mark.usefixtures("category")
def test_a_set_that_is_no_category_any_more_loses_its_graphs(
    client: TestClient, services: Services, ids: dict[str, int]
) -> None:
    """Issue 17, "Categories": the service drops them, beside the jobs."""
    client.put(f"{SETS}/kind", json=EXCLUSIVE)
    services.worker.upkeep.maintain_categories()
    assert graphs(client) == []
    assert plants(client) == {ids[name] for name in PLANTS}
