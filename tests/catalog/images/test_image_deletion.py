"""Pictures removed by ids and by filter, over HTTP, and what becomes of their files."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.catalog import gallery
from app.catalog.images import image_deletion
from app.catalog.images.image_removal import DELETE_BATCH
from app.database.tables import Image
from app.ingest.jobs.job_submission import JobOptions
from app.runtime.doctor.findings import YOUNG_SECONDS
from app.runtime.services import Services
from app.settings import ROOT
from app.web.routes.images import collection_images
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import counts, run, sql
from tests.fixtures.http_jobs import Answer, working
from tests.runtime.doctor.test_doctor import age, look, mend

COLLECTIONS = "/api/v1/collections"
PROBLEM = "application/problem+json"


@pytest.fixture(autouse=True)
def empty(client: TestClient) -> Iterator[None]:
    yield
    remove(client, filter={"id": {"gt": 0}})


def stored(client: TestClient, *seeds: int, **told: str) -> list[int]:
    files = [("file", (f"{seed}.png", png(seed))) for seed in seeds]
    answer = client.post("/upload", files=files, data=told)
    assert answer.status_code == 201, answer.text
    return sorted(one["id"] for one in answer.json())


def remove(client: TestClient, name: str = "default", **asked: Any) -> Answer:
    return client.post(f"{COLLECTIONS}/{name}/images/delete", json=asked)


def removed(client: TestClient, **asked: Any) -> list[int]:
    answer = remove(client, **asked)
    assert answer.status_code == 200, answer.text
    ids: list[int] = answer.json()["ids"]
    assert answer.json()["deleted"] == len(ids)
    return ids


def left(client: TestClient) -> list[int]:
    page = client.get(f"{COLLECTIONS}/default/images", params={"limit": 100}).json()
    return [one["id"] for one in page["data"]]


def test_pictures_are_removed_by_their_ids(client: TestClient, services: Services) -> None:
    ids = stored(client, 1, 2, 3, 4)
    pictures = [client.get(f"/images/{image_id}").json() for image_id in ids]
    for one in pictures:
        assert client.get(one["thumbnail_url"]).status_code == 200
    asked = [ids[2], 999_999, ids[0], ids[0], 2**63 - 1]
    assert removed(client, ids=asked) == sorted([ids[0], ids[2]])
    assert left(client) == [ids[1], ids[3]]
    there = [(ROOT / one["path"]).exists() for one in pictures]
    assert there == [False, True, False, True]
    thumbnails = {path.name.split("-")[0] for path in services.doctor.stores.thumbnails.files()}
    assert thumbnails == {pictures[1]["content_hash"], pictures[3]["content_hash"]}
    assert client.get(f"/images/{ids[0]}").status_code == 404
    assert sql(services, "SELECT count(*) FROM embeddings") == [(2,)]
    hits = client.get("/search-by-text", params={"query": "x"}).json()
    assert {hit["id"] for hit in hits} == {ids[1], ids[3]}
    assert removed(client, ids=asked) == []
    assert removed(client, ids=[]) == []


def test_pictures_are_removed_by_a_filter(client: TestClient) -> None:
    rome = stored(client, 1, 2, 3, metadata='{"place": "Rome"}')
    oslo = stored(client, 4, 5, metadata='{"place": "Oslo"}')
    assert removed(client, filter={"metadata.place": "Bonn"}) == []
    asked = {"metadata.place": "Rome", "id": {"ne": rome[1]}}
    assert removed(client, filter=asked) == [rome[0], rome[2]]
    assert left(client) == [rome[1], *oslo]


def test_those_of_another_collection_stay(client: TestClient) -> None:
    ids = stored(client, 1, 2)
    assert client.post(COLLECTIONS, json={"name": "other"}).status_code == 201
    for asked in ({"ids": ids}, {"filter": {"id": {"gt": 0}}}):
        assert remove(client, "other", **asked).json() == {"deleted": 0, "ids": [], "more": False}
    assert left(client) == ids
    assert client.delete(f"{COLLECTIONS}/other").status_code == 204
    assert remove(client, "other", ids=ids).status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "send either ids or a filter that is not empty"),
        ({"filter": {}}, "send either ids or a filter that is not empty"),
        ({"ids": [1], "filter": {}}, "send either ids or a filter that is not empty"),
        ({"ids": [1], "filter": {"id": 1}}, "send either ids or a filter that is not empty"),
        ({"ids": None, "filter": None}, "send either ids or a filter that is not empty"),
        ({"filter": {"and": []}}, "every picture of the collection"),
        ({"filter": {"and": [{}, {"and": [{}]}]}}, "every picture of the collection"),
        ({"filter": {"surprise": 1}}, "there is no field"),
        ({"filter": {"id": {}}}, "an operator is needed"),
        ({"ids": [0]}, "body ids[0]"),
        ({"ids": ["x"]}, "body ids[0]"),
        ({"ids": [2**63]}, "body ids[0]"),
        ({"ids": [1] * 10_001}, "body ids"),
        ({"id": [1]}, "body id"),
    ],
)
def test_what_is_not_clear_removes_nothing(
    client: TestClient, body: dict[str, Any], words: str
) -> None:
    ids = stored(client, 1)
    answer = remove(client, **body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert words in answer.json()["detail"]
    assert left(client) == ids


def test_files_in_a_persons_folder_stay(
    client: TestClient, services: Services, tmp_path: Path
) -> None:
    for seed in range(3):
        (tmp_path / f"{seed}.png").write_bytes(png(seed))
    with working(services):
        assert counts(run(services, tmp_path)) == {"added": 3}
        ids = left(client)
        assert removed(client, filter={"path": {"prefix": str(tmp_path)}}) == ids
        assert len(list(tmp_path.iterdir())) == 3
        assert counts(run(services, tmp_path)) == {"unchanged": 3}, "they stay away"
        again = run(services, tmp_path, JobOptions(include_deleted=True))
        assert counts(again) == {"added": 3}


def test_more_than_one_transaction_holds(client: TestClient, services: Services) -> None:
    many = 2 * DELETE_BATCH + 5
    sql(
        services,
        "INSERT INTO images (collection_id, path, content_hash, etag, bytes, width, height, format)"
        " SELECT 1, '/nowhere/' || n, sha256(n::text::bytea), '', 1, 1, 1, 'PNG'"
        " FROM generate_series(1, :many) n",
        many=many,
    )
    ids = sorted(image_id for (image_id,) in sql(services, "SELECT id FROM images"))
    assert removed(client, ids=ids[:600]) == ids[:600]
    assert removed(client, filter={"width": 1}) == ids[600:]
    assert left(client) == []


def test_one_request_removes_only_so_many(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection_images, "MAX_REMOVED", 3)
    monkeypatch.setattr(gallery, "DELETE_BATCH", 2)
    ids = stored(client, *range(7))
    answers = [remove(client, filter={"id": {"gt": 0}}).json() for _ in range(3)]
    assert [one["ids"] for one in answers] == [ids[:3], ids[3:6], ids[6:]]
    assert [one["more"] for one in answers] == [True, True, False]
    ids = stored(client, *range(3))
    assert remove(client, filter={"id": {"gt": 0}}).json()["more"] is False


def test_a_picture_that_is_changed_meanwhile_stays(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the choice and the deletion somebody says that it is wanted."""
    ids = stored(client, 1, 2, 3, metadata='{"place": "Rome"}')
    remove_chosen = image_deletion.remove

    def late(*args: Any) -> list[Image]:
        body = {"metadata": {"place": "Oslo"}}
        assert client.patch(f"/api/v1/images/{ids[1]}", json=body).status_code == 200
        return remove_chosen(*args)

    monkeypatch.setattr(image_deletion, "remove", late)
    assert removed(client, filter={"metadata.place": "Rome"}) == [ids[0], ids[2]]
    assert left(client) == [ids[1]]
    assert client.get(f"/images/{ids[1]}/file").status_code == 200


def test_the_same_pictures_removed_at_once_are_counted_once(client: TestClient) -> None:
    ids = stored(client, *range(20))
    asked = [{"ids": ids}, {"ids": ids[::-1]}, {"filter": {"id": {"gt": 0}}}] * 2
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda one: removed(client, **one), asked))
    assert sorted(chain.from_iterable(found)) == ids
    assert left(client) == []


def test_a_file_whose_row_went_before_a_crash_is_found(
    client: TestClient, services: Services
) -> None:
    """The row goes first: what a crash leaves is a file that the doctor deletes."""
    (image_id,) = stored(client, 1)
    path = ROOT / client.get(f"/images/{image_id}").json()["path"]
    sql(services, "DELETE FROM images")
    age(path, YOUNG_SECONDS + 60)
    assert look(services) == {"files without row": [str(path)]}
    mend(services)
    assert not path.exists()
    assert look(services) == {}
