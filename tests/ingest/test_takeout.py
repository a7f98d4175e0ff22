"""A Google Takeout archive in several parts, which is read where it lies."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path

import pytest

from app.errors import SourceUnreadable, StorageUnwritable
from app.ingest import source_listing
from app.ingest.jobs import jobs
from app.ingest.jobs.jobs import Job, NewJob
from app.runtime.services import Services
from app.settings import ROOT
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import counts, items, sql

pytestmark = pytest.mark.usefixtures("worker")

PHOTOS = "Takeout/Google Photos"
YEAR, LISBON, SEA = f"{PHOTOS}/Photos from 2009", f"{PHOTOS}/Lisbon", f"{PHOTOS}/The sea"


def said(title: str, description: str = "") -> bytes:
    """Takeout's sidecar of a picture."""
    return json.dumps(
        {
            "title": title,
            "description": description,
            "photoTakenTime": {"timestamp": "1258375918"},
            "geoData": {"latitude": 38.69, "longitude": -9.21},
            "people": [{"name": "Grandma"}],
        }
    ).encode()


def album(title: str) -> bytes:
    return json.dumps({"title": title, "description": ""}).encode()


PARTS: tuple[Mapping[str, bytes], ...] = (
    {
        f"{YEAR}/pier.png": png(1),
        f"{YEAR}/other.png": png(2),
        f"{YEAR}/clip.HEIC.mp4": b"no picture",
        f"{YEAR}/.DS_Store": b"x",
    },
    {
        f"{YEAR}/pier.png.supplemental-metadata.json": said("pier.png", "Grandma on the pier"),
        f"{YEAR}/other.png.json": said("other.png"),
        f"{YEAR}/gone.png.json": said("gone.png"),
        f"{LISBON}/metadata.json": album("Lisbon 2009"),
        f"{SEA}/metadata.json": album("The sea"),
    },
    {
        f"{LISBON}/pier.png": png(1),
        f"{SEA}/pier.png": png(1),
        f"{SEA}/wave.png": png(3),
    },
)


@pytest.fixture
def parts(tmp_path: Path, services: Services) -> Iterator[list[Path]]:
    """The archive; its sidecars lie in another part than their pictures."""
    for number, files in enumerate(PARTS, 1):
        with zipfile.ZipFile(tmp_path / f"takeout-{number:03}.zip", "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    yield sorted(tmp_path.glob("*.zip"))
    sql(services, "TRUNCATE images, skipped_files CASCADE")


def imported(services: Services, parts: list[Path]) -> Job:
    return services.job_submission.follow(services.job_submission.archives(parts))


def test_sidecars_in_other_parts_are_found_and_albums_become_tags(
    services: Services, parts: list[Path]
) -> None:
    """Issue 16, folders; a picture in two albums is one picture with both tags."""
    job = imported(services, parts)
    assert job.state == "succeeded", job.reason
    assert (job.added, job.changed) == (3, 2)  # the copies in the other albums add tags
    found = {
        origin.rpartition("/")[2]: (caption, metadata, taken)
        for origin, caption, metadata, taken in sql(
            services, "SELECT origin, caption, metadata, taken_at FROM images"
        )
    }
    caption, metadata, taken = found["pier.png"]
    assert caption == "Grandma on the pier"
    assert set(metadata["tags"]) == {"Lisbon 2009", "The sea"}
    assert metadata["people"] == ["Grandma"]
    assert taken.isoformat().startswith("2009-11-16T12:51:58")
    assert found["wave.png"][1]["tags"] == ["The sea"]
    assert "tags" not in found["other.png"][1]
    assert "38.69" not in str(sql(services, "SELECT * FROM images")), "KEEP_GPS is not set"
    reasons = {name: str(item.reason) for name, item in items(services, job).items()}
    assert "describes no picture" in reasons["gone.png.json"]


def test_a_damaged_part_is_named_and_the_others_are_read(
    services: Services, parts: list[Path]
) -> None:
    parts[0].write_bytes(b"PK\x03\x04 cut short")
    job = imported(services, parts)
    assert (job.state, job.added) == ("succeeded", 2)
    refused = items(services, job)[parts[0].name]
    assert "could not be read to its end: The zip is damaged" in str(refused.reason)


def test_a_part_that_is_not_there_is_said_before_anything_is_done(
    services: Services, parts: list[Path]
) -> None:
    with pytest.raises(SourceUnreadable, match=r"takeout-009\.zip is not there"):
        services.job_submission.archives([*parts, parts[0].with_name("takeout-009.zip")])


def test_a_second_import_adds_nothing(services: Services, parts: list[Path]) -> None:
    imported(services, parts)
    before = sql(services, "SELECT id, caption, metadata->'tags' FROM images ORDER BY id")
    again = imported(services, parts)
    assert (counts(again).get("added"), again.duplicate) == (None, 5)
    assert sql(services, "SELECT id, caption, metadata->'tags' FROM images ORDER BY id") == before


def test_an_archive_is_not_unpacked_far_ahead_of_what_is_indexed(
    services: Services, parts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 16, folders: a large export must not fill the disk; its job waits, and goes on."""
    monkeypatch.setattr(source_listing, "MAX_STAGED_BYTES", len(png(1)))
    monkeypatch.setattr(source_listing, "STAGING_PATIENCE_SECONDS", 0.0)
    lister = replace(services.registry.default.source_lister, batch_size=1)
    source = {"archives": [str(part) for part in parts]}
    with services.sessions.begin() as session:
        new = NewJob(lister.index.collection_id, source, "worked on by nobody")
        job_id = jobs.create(session, new)
    waiting = "SELECT count(*) FROM job_items WHERE job_id = :id AND state = 'pending'"
    for _ in range(3):
        with pytest.raises(StorageUnwritable, match="wait to be indexed"):
            lister.list_source(job_id, 1)
        assert sql(services, waiting, id=job_id) == [(2,)]
        assert "wait to be indexed" in str(services.job_submission.job(job_id).waiting)
        done = "UPDATE job_items SET state = 'succeeded', staged = NULL WHERE job_id = :id"
        sql(services, done, id=job_id)
    lister.list_source(job_id, 1)
    job = services.job_submission.job(job_id)
    assert (job.listed, job.total) == (True, 7)
    services.job_submission.cancel(job_id)


def test_the_installed_command_says_how_it_is_called(tmp_path: Path) -> None:
    """Issue 16: `picture-search import takeout`, from any folder."""
    installed = [one.read_text("direct_url.json") for one in distributions(name="picture-search")]
    if not any(f'"{ROOT.as_uri()}"' in str(one) for one in installed):
        pytest.skip("picture-search is not installed from here: make install does it")
    command = Path(sys.executable).with_name("picture-search")
    shown = subprocess.run(
        [command, "import", "takeout", "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert "picture-search import takeout" in shown.stdout
