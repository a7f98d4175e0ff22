"""Uploads of bytes that a scanned folder holds: one picture, which outlives the folder's file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.catalog.images.image_names import original_filename
from app.ingest.upload_stages import Upload
from app.runtime.services import Services
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import SYNC, counts, nearest, rows, run, sql
from tests.fixtures.http_jobs import done, send

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def folder(tmp_path: Path, services: Services) -> Iterator[Path]:
    """A folder of two pictures that the index knows; the first was uploaded too."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(2):
        (folder / f"{seed}.png").write_bytes(png(seed))
    (folder / "0.png.json").write_text('{"place": "Rome"}')
    run(services, folder)
    before = rows(services)["0.png"]
    (sent,) = services.registry.default.uploads.store(
        [Upload("mine.png", png(0))], "Grandma", {"stars": 5}
    )
    assert sent.image is not None
    assert (sent.status, sent.image.id) == ("duplicate", before)
    assert (sent.image.caption, sent.image.metadata) == ("Grandma", {"place": "Rome", "stars": 5})
    yield folder
    sql(services, "TRUNCATE images, skipped_files CASCADE")


def row(services: Services, image_id: int) -> Any:
    query = "SELECT shown_path(path) AS path, caption, metadata FROM images WHERE id = :id"
    return sql(services, query, id=image_id)[0]


def test_the_upload_stays_when_the_folders_file_goes(services: Services, folder: Path) -> None:
    """Issue 21, line 19."""
    image_id = rows(services)["0.png"]
    (folder / "0.png").unlink()
    assert counts(run(services, folder, SYNC)) == {"unchanged": 1}
    path, caption, metadata = row(services, image_id)
    assert (caption, metadata) == ("Grandma", {"place": "Rome", "stars": 5})
    assert (services.gallery.sources.root / path).read_bytes() == png(0)
    assert original_filename(services.gallery.get(image_id)) == "0.png"
    assert nearest(services, png(0))[1] < 0.01
    assert len(rows(services)) == 2


def test_the_upload_stays_when_the_folders_file_changes(services: Services, folder: Path) -> None:
    """Issue 21, line 19."""
    image_id = rows(services)["0.png"]
    (folder / "0.png").write_bytes(png(20))
    run(services, folder, SYNC)
    path, caption, _ = row(services, image_id)
    assert (caption, path.startswith(str(folder))) == ("Grandma", False)
    assert rows(services).keys() > {"0.png", "1.png"}
    assert row(services, rows(services)["0.png"])[1:] == (None, {"place": "Rome"})
    assert nearest(services, png(20))[0] == "0.png"


def test_a_job_of_uploads_keeps_the_bytes_too(
    services: Services, folder: Path, client: TestClient
) -> None:
    """Issue 21, line 19."""
    image_id = rows(services)["1.png"]
    said = {"caption": "Grandpa", "metadata": json.dumps({"stars": 4})}
    assert done(client, send(client, ("any.png", png(1)), **said))["changed"] == 1
    (folder / "1.png").unlink()
    run(services, folder, SYNC)
    path, caption, metadata = row(services, image_id)
    assert (caption, metadata) == ("Grandpa", {"stars": 4})
    assert (services.gallery.sources.root / path).read_bytes() == png(1)


def test_a_deletion_takes_the_upload_along(services: Services, folder: Path) -> None:
    """Issue 21, line 19."""
    image_id = rows(services)["0.png"]
    (copy,) = sql(services, "SELECT upload_copy FROM images WHERE id = :id", id=image_id)[0]
    location = services.gallery.sources.location(copy)
    assert location.exists()
    services.gallery.delete(image_id)
    assert not location.exists()
    assert (folder / "0.png").exists()
    assert counts(run(services, folder, SYNC)) == {"unchanged": 2}


def test_an_upload_sent_again_with_words_gets_them(services: Services) -> None:
    """Issue 21, line 19: so with any duplicate."""
    services.registry.default.uploads.store([Upload("a.png", png(70))], "first", {"a": 1})
    (sent,) = services.registry.default.uploads.store(
        [Upload("b.png", png(70))], "second", {"b": 2}
    )
    assert sent.image is not None
    expected = ("duplicate", "second", {"a": 1, "b": 2})
    assert (sent.status, sent.image.caption, sent.image.metadata) == expected
    assert sent.updated
    for caption, metadata in ((None, {}), ("second", {"a": 1})):
        (sent,) = services.registry.default.uploads.store(
            [Upload("c.png", png(70))], caption, metadata
        )
        assert sent.image is not None
        assert (sent.image.caption, sent.updated) == ("second", False)
    sql(services, "TRUNCATE images CASCADE")
