"""Several pictures at once, over HTTP: changed, hidden and restored, moved, downloaded."""

import io
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.catalog import gallery, zip_stream
from app.catalog.images import image_moves, image_removal
from app.errors import IndexGone
from app.index.vector_indexes import require_active
from app.runtime.services import Services
from app.settings import Settings
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import counts, run
from tests.fixtures.http_jobs import Answer

IMAGES = "/api/v1/collections/default/images"


@pytest.fixture(autouse=True)
def empty(client: TestClient) -> Iterator[None]:
    yield
    client.post(f"{IMAGES}/delete", json={"filter": {"id": {"gt": 0}}})


def stored(client: TestClient, *seeds: int, name: str = "") -> list[int]:
    files = [("file", (name or f"{seed}.png", png(seed))) for seed in seeds]
    answer = client.post("/upload", files=files)
    assert answer.status_code == 201, answer.text
    return [one["id"] for one in answer.json()]


def ask(client: TestClient, verb: str, ids: list[int], **asked: Any) -> Answer:
    return client.post(f"{IMAGES}/{verb}", json={"ids": ids, **asked})


def metadata(client: TestClient, image_id: int) -> Any:
    return client.get(f"/images/{image_id}").json()["metadata"]


def found(client: TestClient, collection: str = "default") -> list[int]:
    asked = {"query": "a tree", "collection": collection, "limit": 100}
    answer = client.post("/api/v1/search", json=asked)
    assert answer.status_code == 200, answer.text
    return sorted(hit["id"] for hit in answer.json()["hits"])


def files(settings: Settings) -> set[Path]:
    return set(settings.storage_dir.rglob("*.png"))


# --- change


def test_tags_and_metadata_of_several_are_changed_at_once(client: TestClient) -> None:
    first, second = stored(client, 1, 2)
    client.patch(f"/api/v1/images/{first}", json={"metadata": {"tags": ["old", "sea"], "n": 1}})
    changes = {"add_tags": ["sea", "sun"], "remove_tags": ["old"], "metadata": {"n": None, "a": 2}}
    answer = ask(client, "change", [second, first, second, 10**9], **changes)
    assert answer.status_code == 200, answer.text
    assert answer.json()["changed"] == 2
    assert [one["status"] for one in answer.json()["results"]] == [
        *("changed", "changed", "not_found")
    ]
    assert metadata(client, first) == {"tags": ["sea", "sun"], "a": 2}
    assert metadata(client, second) == {"tags": ["sea", "sun"], "a": 2}
    ask(client, "change", [first, second], remove_tags=["sea", "sun"], caption="here")
    assert metadata(client, first) == {"a": 2}
    assert client.get(f"/images/{second}").json()["caption"] == "here"


def test_one_that_would_become_too_large_is_refused_alone(client: TestClient) -> None:
    first, second = stored(client, 1, 2)
    client.patch(f"/api/v1/images/{first}", json={"metadata": {"long": "x" * 15_000}})
    answer = ask(client, "change", [first, second], metadata={"more": "y" * 10_000})
    refused, changed = answer.json()["results"]
    assert (refused["status"], changed["status"]) == ("refused", "changed")
    assert "20,000" in refused["reason"]
    assert "more" not in metadata(client, first)


@pytest.mark.parametrize(
    "asked", [{"ids": []}, {"ids": [1] * 501}, {"ids": [0]}, {"ids": [1], "add_tags": [""]}]
)
def test_what_is_no_selection_is_refused(client: TestClient, asked: dict[str, Any]) -> None:
    assert client.post(f"{IMAGES}/change", json=asked).status_code == 422


# --- delete and restore


def test_a_deletion_is_undone_while_it_is_a_tombstone(
    client: TestClient, settings: Settings
) -> None:
    ids = stored(client, 3, 4)
    before = files(settings)
    answer = ask(client, "delete", ids, restorable=True)
    assert answer.json()["ids"] == sorted(ids)
    assert found(client) == []
    assert client.get(f"/images/{ids[0]}").status_code == 404
    assert ask(client, "delete", ids, restorable=True).json()["deleted"] == 0
    assert ask(client, "restore", [*ids, 10**9]).json()["ids"] == sorted(ids)
    assert found(client) == sorted(ids)
    assert files(settings) == before
    assert client.get(f"/images/{ids[0]}/file").content == png(3)
    assert ask(client, "restore", ids).json()["restored"] == 0


def test_after_its_time_it_is_deleted_with_its_file(
    client: TestClient,
    services: Services,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, doomed = stored(client, 5, 6)
    ask(client, "delete", [kept], restorable=True)
    monkeypatch.setattr(gallery, "RESTORABLE", timedelta(0))
    before = files(settings)
    ask(client, "delete", [doomed], restorable=True)
    assert ask(client, "restore", [doomed]).json()["restored"] == 0
    image_removal.delete_marked(services.sessions, services.gallery.stores)
    assert len(before - files(settings)) == 1
    assert ask(client, "restore", [kept]).json()["ids"] == [kept]
    assert client.get(f"/images/{kept}/file").content == png(5)


def test_an_upload_of_the_same_bytes_brings_a_deleted_picture_back(client: TestClient) -> None:
    (image_id,) = stored(client, 7)
    ask(client, "delete", [image_id], restorable=True)
    assert stored(client, 7) == [image_id]
    assert ask(client, "restore", [image_id]).json()["restored"] == 0
    assert found(client) == [image_id]


def test_a_deleted_picture_of_a_folder_stays_away_until_it_is_restored(
    client: TestClient, services: Services, worker: None, tmp_path: Path
) -> None:
    """Issue 19, item 12."""
    (tmp_path / "one.png").write_bytes(png(8))
    run(services, tmp_path)
    ids = found(client)
    ask(client, "delete", ids, restorable=True)
    assert "added" not in counts(run(services, tmp_path))
    assert found(client) == []
    assert ask(client, "restore", ids).json()["ids"] == ids
    assert counts(run(services, tmp_path)) == {"unchanged": 1}
    assert found(client) == ids
    ask(client, "delete", ids)
    run(services, tmp_path)
    assert found(client) == []
    assert (tmp_path / "one.png").exists()


# --- move


@pytest.fixture
def other(client: TestClient) -> Iterator[str]:
    client.post("/api/v1/collections", json={"name": "other", "language": "german"})
    yield "other"
    client.delete("/api/v1/collections/other")


def test_pictures_move_with_all_that_is_said_of_them(
    client: TestClient, services: Services, settings: Settings, other: str
) -> None:
    ids = stored(client, 11, 12)
    client.patch(f"/api/v1/images/{ids[0]}", json={"caption": "Häuser"})
    answer = ask(client, "move", [*ids, 10**9], collection=other)
    assert answer.status_code == 200, answer.text
    assert [one["status"] for one in answer.json()["results"]] == ["moved", "moved", "not_found"]
    assert (found(client), found(client, other)) == ([], sorted(ids))
    assert client.get(f"/images/{ids[0]}/file").content == png(11)
    assert client.get(f"/images/{ids[0]}").json()["caption"] == "Häuser"
    assert all("collection-" in str(path) for path in files(settings))
    with services.sessions.begin() as session:
        languages = session.execute(text("SELECT DISTINCT language FROM images")).scalars().all()
    assert languages == ["german"]
    again = stored(client, 11)
    assert ask(client, "move", again, collection=other).json()["results"] == [
        {"id": again[0], "status": "duplicate"}
    ]
    assert found(client) == again


def test_what_does_not_move_leaves_no_copy_of_its_file(
    client: TestClient, services: Services, settings: Settings, other: str
) -> None:
    """Copies are made before it is decided: of what the other has by its bytes, or by its name."""
    alike, named = stored(client, 15, 16)
    there = f"/api/v1/collections/{other}/images/by-external-id/sku-1"
    for seed in (15, 17):  # the second replaces the first
        assert client.put(there, files={"file": ("a.png", png(seed))}).status_code < 300
    client.patch(f"/api/v1/images/{named}", json={"external_id": "sku-1"})
    client.put(there.replace("sku-1", "sku-2"), files={"file": ("a.png", png(15))})
    before = files(settings)
    answer = ask(client, "move", [alike, named], collection=other)
    assert [one["status"] for one in answer.json()["results"]] == ["duplicate", "duplicate"]
    assert files(settings) == before

    here, target = (services.registry.find("default", one) for one in ("default", other))
    gone = replace(target.index, id=10**6)
    with pytest.raises(IndexGone):
        image_moves.move_many(
            services.sessions,
            services.gallery.stores,
            (here.collection, here.index),
            (target.collection, gone),
            [named],
        )
    assert files(settings) == before


def interrupt(patch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Have the next move do `act` between the copying of files and its transaction."""

    def interrupted(*given: Any) -> None:
        patch.setattr(image_moves, "require_active", require_active)
        act()
        require_active(*given)

    patch.setattr(image_moves, "require_active", interrupted)


def test_a_copy_that_another_move_deletes_is_made_again(
    client: TestClient,
    services: Services,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    other: str,
) -> None:
    """The other one copies the same bytes, finds the copy there, fails, and takes it away."""
    (image_id,) = stored(client, 18)
    here, target = (services.registry.find("default", one) for one in ("default", other))
    to = (target.collection, replace(target.index, id=10**6))

    def fail() -> None:
        given = (services.sessions, services.gallery.stores, (here.collection, here.index), to)
        with pytest.raises(IndexGone):
            image_moves.move_many(*given, [image_id])
        assert not any("collection-" in str(path) for path in files(settings))

    interrupt(monkeypatch, fail)
    answer = ask(client, "move", [image_id], collection=other)
    assert answer.json()["results"] == [{"id": image_id, "status": "moved"}]
    assert client.get(f"/images/{image_id}/file").content == png(18)


def test_what_cannot_be_copied_again_stays(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    (image_id,) = stored(client, 19)
    digest = client.get(f"/images/{image_id}").json()["content_hash"]

    def lose() -> None:
        for path in settings.storage_dir.rglob(f"{digest}.png"):
            path.unlink()

    interrupt(monkeypatch, lose)
    answer = ask(client, "move", [image_id], collection=other)
    assert answer.json()["results"] == [{"id": image_id, "status": "elsewhere"}]
    assert (found(client), found(client, other)) == ([image_id], [])


def test_a_moved_picture_of_a_folder_stays_away_from_the_old_collection(
    client: TestClient, services: Services, worker: None, tmp_path: Path, other: str
) -> None:
    (tmp_path / "one.png").write_bytes(png(13))
    run(services, tmp_path)
    ids = found(client)
    assert ask(client, "move", ids, collection=other).json()["moved"] == 1
    run(services, tmp_path)
    assert (found(client), found(client, other)) == ([], ids)
    assert client.get(f"/images/{ids[0]}/file").content == png(13)


def test_a_move_to_where_vectors_do_not_fit_is_refused(client: TestClient, other: str) -> None:
    client.post("/api/v1/collections", json={"name": "wide", "storage": "vector"})
    (image_id,) = stored(client, 14)
    for name, status in (("wide", 422), ("default", 422), ("none", 404)):
        assert ask(client, "move", [image_id], collection=name).status_code == status
    assert found(client) == [image_id]
    client.delete("/api/v1/collections/wide")


# --- download


def download(client: TestClient, *ids: int, collection: str = "default") -> Answer:
    path = f"/api/v1/collections/{collection}/images/zip"
    return client.get(path, params={"ids": list(ids)})


def entries(answer: Answer) -> dict[str, bytes]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert "attachment" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
        return {one.filename: archive.read(one) for one in archive.infolist()}


def test_a_zip_has_the_files_under_their_own_names(client: TestClient, other: str) -> None:
    first, second = (
        stored(client, 21, name="Strand 海.png"),
        stored(client, 22, name="strand 海.png"),
    )
    third = stored(client, 23, name="../a:b.png")
    answer = download(client, *first, *second, *third, *first, 10**9)
    assert entries(answer) == {
        "Strand 海.png": png(21),
        "strand 海 (2).png": png(22),
        "a_b.png": png(23),
    }
    assert download(client, *first, collection=other).status_code == 404


def test_a_file_that_is_gone_is_named_in_the_zip(client: TestClient, settings: Settings) -> None:
    ids = stored(client, 24, 25)
    gone = client.get(f"/images/{ids[0]}").json()
    for path in settings.storage_dir.rglob(f"{gone['content_hash']}.png"):
        path.unlink()
    found = entries(download(client, *ids))
    assert set(found) == {"25.png", "missing.txt"}
    assert b"24.png: " in found["missing.txt"]


def test_more_than_a_zip_may_have_is_refused(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = stored(client, 26, 27)
    monkeypatch.setattr(zip_stream, "MAX_ZIP_BYTES", 10)
    answer = download(client, *ids)
    assert answer.status_code == 413
    assert answer.json()["code"] == "selection_too_large"
    assert download(client, *range(1, 502)).status_code == 422


@pytest.mark.parametrize("exact", [False, True])
def test_a_hidden_picture_takes_no_place_of_an_answer(client: TestClient, exact: bool) -> None:
    """Issue 19, second trial: the best hit was hidden, and an answer of one was empty."""
    ids = stored(client, 1, 2, 3)
    ask(client, "delete", ids[:1], restorable=True)
    body = {"query": [{"image": b64encode(png(1)).decode()}], "limit": 1, "exact": exact}
    found = client.post("/api/v1/search", json=body).json()
    assert len(found["hits"]) == 1
    assert found["hits"][0]["id"] != ids[0]
    assert found["warnings"] == []
    flat = client.post("/search-by-image?limit=1", files={"file": ("1.png", png(1))}).json()
    assert [hit["id"] for hit in flat] == [found["hits"][0]["id"]]
