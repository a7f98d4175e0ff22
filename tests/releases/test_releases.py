"""A database of each former release is brought up to date, and answers as it did then."""

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app.database import migrating
from app.database.embedded.postgres_programs import find_programs
from app.main import create_app
from app.runtime.assembly import open_services
from app.settings import ROOT, Settings
from tests.conftest import local_client
from tests.fixtures.folder_jobs import sql
from tests.releases.record import DUMP_SECONDS, FOLDER, ask

RELEASES = sorted(path.stem for path in FOLDER.glob("*.sql"))
MOST_BYTES = 200_000  # of a dump
ROUNDING = 0.002  # of distances, between processors and their precisions
HELD = {"images": 15, "collections": 2, "feedback": 1, "embeddings": 15}


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def settings(release: str, server_url: str, tmp_path: Path) -> Settings:
    """The demo model on a database as the release has left it."""
    name = f"release_{release}"
    migrating.create_database(server_url, name)
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    restored = ("--quiet", "--set=ON_ERROR_STOP=1", f"--file={FOLDER / release}.sql")
    find_programs().run("psql", *restored, url, seconds=DUMP_SECONDS)
    return Settings(
        testing=True,
        precision="fp32",
        database_url=url,
        postgres_dir=tmp_path / "postgres",
        test_images_dir=tmp_path / "images",
        test_upload_dir=tmp_path / "uploads",
        thumbnail_dir=tmp_path / "thumbnails",
    )


def test_it_answers_as_it_did(release: str, settings: Settings) -> None:
    then = json.loads((FOLDER / f"{release}.json").read_text())
    with open_services(settings) as services:
        with local_client(create_app(settings, services)) as client:
            now = ask(client)
        held = {table: sql(services, f"SELECT count(*) FROM {table}")[0][0] for table in HELD}
    assert held == HELD
    assert now.keys() == then.keys()
    for question, hits in now.items():
        assert [image for image, _ in hits] == [image for image, _ in then[question]], question
        distances = [distance for _, distance in then[question]]
        assert [distance for _, distance in hits] == pytest.approx(distances, abs=ROUNDING)


def test_each_release_of_the_changelog_is_kept() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## (\d+\.\d+\.\d+) ", text, re.MULTILINE)
    assert sorted(released) == RELEASES


def test_dumps_are_small() -> None:
    assert not [path for path in FOLDER.glob("*.sql") if path.stat().st_size > MOST_BYTES]
