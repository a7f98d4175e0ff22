"""Files that a listing skips: of pictures that were deleted here, and those that were refused."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.catalog.known_contents import is_known
from app.ingest.jobs.job_submission import JobOptions
from app.runtime.assembly import open_services
from app.runtime.services import Services
from app.settings import Settings
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import ADD, SYNC, counts, items, rows, run, sql

pytestmark = pytest.mark.usefixtures("worker")

INCLUDE = JobOptions(include_deleted=True)
DRY = JobOptions(dry_run=True)


@pytest.fixture
def folder(tmp_path: Path, services: Services) -> Iterator[Path]:
    """A folder of three pictures that the index knows; the first was deleted over the API."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(3):
        (folder / f"{seed}.png").write_bytes(png(seed))
    run(services, folder)
    services.gallery.delete(rows(services)["0.png"])
    yield folder
    sql(services, "TRUNCATE images, skipped_files CASCADE")


def test_the_contents_of_pictures_and_of_deleted_ones_are_known(
    services: Services, folder: Path
) -> None:
    def known(data: bytes, collection_id: int) -> bool:
        return is_known(services.sessions, collection_id, hashlib.sha256(data).digest())

    here = services.registry.default.collection.id
    contents = [(folder / name).read_bytes() for name in ("0.png", "1.png")]
    assert [known(data, here) for data in contents] == [True, True]
    assert not known(png(3), here)
    assert not known(contents[0], here + 1)
    assert not known(contents[1], here + 1)


@pytest.mark.parametrize("options", [ADD, SYNC])
def test_a_deleted_picture_stays_away(
    services: Services, folder: Path, options: JobOptions
) -> None:
    """Issue 21, line 20."""
    assert (folder / "0.png").exists()
    assert counts(run(services, folder, options)) == {"unchanged": 3}
    assert set(rows(services)) == {"1.png", "2.png"}


def test_a_deleted_picture_stays_away_when_its_file_is_touched_or_moved(
    services: Services, folder: Path
) -> None:
    """Issue 21, line 20."""
    os.utime(folder / "0.png", (1, 1))
    job = run(services, folder)
    assert counts(job) == {"unchanged": 3}
    assert "was deleted here" in str(items(services, job)["0.png"].reason)
    (folder / "deep").mkdir()
    (folder / "0.png").rename(folder / "deep" / "moved.png")
    assert counts(run(services, folder, DRY)) == {"unchanged": 3}
    assert counts(run(services, folder)) == {"unchanged": 3}
    again = run(services, folder)
    assert (counts(again), items(services, again)) == ({"unchanged": 3}, {})
    assert set(rows(services)) == {"1.png", "2.png"}


def test_a_deleted_picture_comes_back_with_other_content(services: Services, folder: Path) -> None:
    """Issue 21, line 20."""
    (folder / "0.png").write_bytes(png(20))
    assert counts(run(services, folder)) == {"added": 1, "unchanged": 2}
    assert set(rows(services)) == {"0.png", "1.png", "2.png"}
    assert sql(services, "SELECT 1 FROM skipped_files") == []


def test_a_deleted_picture_comes_back_when_somebody_asks(services: Services, folder: Path) -> None:
    """Issue 21, line 20."""
    assert counts(run(services, folder, INCLUDE)) == {"added": 1, "unchanged": 2}
    assert counts(run(services, folder)) == {"unchanged": 3}
    assert set(rows(services)) == {"0.png", "1.png", "2.png"}


def test_another_copy_of_a_deleted_picture_is_indexed(services: Services, folder: Path) -> None:
    (folder / "copy.png").write_bytes(png(0))
    assert counts(run(services, folder)) == {"added": 1, "unchanged": 3}


def test_a_refused_file_is_known_by_its_etag(
    services: Services, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    """Issue 21, line 22: it is not read again. With the same size and time, this one would be."""
    film, good = folder / "film.png", png(30)
    film.write_bytes(b"ftypmp42".rjust(len(good)))
    os.utime(film, (1_000, 1_000))
    assert counts(run(services, folder, DRY)) == {"unchanged": 3, "failed": 1}
    first = run(services, folder)
    assert counts(first) == {"unchanged": 3, "failed": 1}
    film.write_bytes(good)
    os.utime(film, (1_000, 1_000))
    second = run(services, folder)
    assert counts(second) == {"unchanged": 3, "failed": 1}
    told = [items(services, job)["film.png"].reason for job in (first, second)]
    assert told[0] == told[1]
    assert items(services, second)["film.png"].code == "image_unsupported"
    assert not second.retryable
    assert "not a picture" in str(told[0])

    # Under other limits it is read again, here by a worker on a disk of its own.
    changes = {"max_megapixels": settings.max_megapixels + 1, "test_upload_dir": tmp_path / "up"}
    with open_services(settings.model_copy(update=changes)) as other, other.working():
        job_id = other.job_submission.folder(folder, ADD)
        assert counts(services.job_submission.follow(job_id)) == {"unchanged": 3, "added": 1}


def test_a_retry_reads_a_refused_file_again(services: Services, folder: Path) -> None:
    film, good = folder / "film.png", png(31)
    film.write_bytes(b"x" * len(good))
    os.utime(film, (1_000, 1_000))
    run(services, folder)
    second = run(services, folder)
    film.write_bytes(good)
    os.utime(film, (1_000, 1_000))
    services.job_submission.retry(second.id)
    assert counts(services.job_submission.follow(second.id)) == {"unchanged": 3, "added": 1}


def test_a_known_picture_that_became_damaged_is_read_once(services: Services, folder: Path) -> None:
    damaged = png(1)[:60]
    (folder / "1.png").write_bytes(damaged)
    os.utime(folder / "1.png", (1_000, 1_000))
    assert counts(run(services, folder)) == {"unchanged": 2, "failed": 1}
    (folder / "1.png").write_bytes(b"x" * len(damaged))
    os.utime(folder / "1.png", (1_000, 1_000))
    job = run(services, folder)
    assert "damaged" in str(items(services, job)["1.png"].reason)
    assert set(rows(services)) == {"1.png", "2.png"}
