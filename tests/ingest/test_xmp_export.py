"""What is said of pictures, written as XMP sidecars beside or apart from them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.catalog.images.image_changes import Change
from app.ingest.upload_stages import Upload
from app.ingest.xmp_export import FOREIGN, NOT_BESIDE, Exported, XmpExport
from app.pictures.metadata.xmp import read_xmp
from app.runtime.services import Services
from app.settings import ROOT, Settings
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import SYNC, counts, rows, run, sql
from tests.fixtures.process_environment import bare
from tests.fixtures.written_metadata import alternatives, bag, xmp

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, services: Services) -> Path:
    """A folder of two pictures, one of them described, and an upload."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed, name in enumerate(("pier.png", "silent.png")):
        (folder / name).write_bytes(png(seed))
    run(services, folder)
    said = {"tags": ["Lisbon"], "rating": 4}
    services.gallery.change(rows(services)["pier.png"], Change("The pier", said))
    services.registry.default.uploads.store([Upload("../album/sent.png", png(7))], "Sent", {})
    return folder


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "sidecars"


def export(
    services: Services, into: Path | None, *, by_stem: bool = False
) -> tuple[XmpExport, list[Exported]]:
    found = sql(services, "SELECT id FROM collections WHERE name = 'default'")[0][0]
    told: list[Exported] = []
    made = XmpExport(services.sessions, found, into, ROOT, by_stem)
    made.run(told.append)
    return made, told


def test_sidecars_go_into_a_folder_and_the_second_time_nothing_does(
    services: Services, folder: Path, into: Path
) -> None:
    """Issue 16, write back."""
    before = {path: path.read_bytes() for path in folder.iterdir()}
    made, _ = export(services, into)
    assert made.counts == {"written": 2, "nothing to say": 1}
    written = sorted(path for path in into.rglob("*") if path.is_file())
    assert [path.name for path in written] == ["sent.png.xmp", "pier.png.xmp"]
    assert all(path.is_relative_to(into) for path in written)
    said = read_xmp(written[1].read_bytes())
    assert (said.caption, said.tags, said.rating) == ("The pier", ("Lisbon",), 4)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    again, _ = export(services, into)
    assert again.counts == {"unchanged": 2, "nothing to say": 1}


def test_another_programs_sidecar_is_left_as_it_is(
    services: Services, folder: Path, into: Path
) -> None:
    export(services, into)
    (ours,) = into.rglob("pier.png.xmp")
    foreign = ours.read_bytes().replace(b"image-search", b"darktable 5")
    ours.write_bytes(foreign)
    _, told = export(services, into)
    assert [done.reason for done in told if done.outcome == "refused"] == [FOREIGN]
    assert ours.read_bytes() == foreign


def test_beside_the_pictures_and_read_from_there(services: Services, folder: Path) -> None:
    made, told = export(services, None)
    assert made.counts == {"written": 1, "refused": 1, "nothing to say": 1}
    assert [done.reason for done in told if done.outcome == "refused"] == [NOT_BESIDE]
    assert sorted(path.name for path in folder.iterdir()) == [
        "pier.png", "pier.png.xmp", "silent.png"
    ]  # fmt: skip
    job = run(services, folder)
    assert counts(job).get("failed") is None
    told_again = sql(services, "SELECT caption FROM images WHERE path LIKE '%pier.png'")
    assert told_again[0][0] == "The pier"
    (folder / "pier.png.xmp").unlink()


def test_what_people_said_stays_when_its_exported_sidecar_changes_or_goes(
    services: Services, folder: Path
) -> None:
    """Issue 16, write back: read again, their words counted as the sidecar's own."""
    said = ("The pier", {"tags": ["Lisbon"], "rating": 4})
    sidecar = folder / "pier.png.xmp"
    export(services, None)
    run(services, folder, SYNC)
    elements = bag("dc:subject", "Porto") + alternatives("dc:description", default="A boat")
    sidecar.write_bytes(xmp(elements, 'xmp:Rating="1" xmp:Label="Red"'))
    run(services, folder, SYNC)
    query = "SELECT caption, metadata FROM images WHERE path LIKE '%/pier.png'"
    assert sql(services, query) == [(said[0], {**said[1], "label": "Red"})]
    sidecar.unlink()
    run(services, folder, SYNC)
    assert sql(services, query) == [said]


def test_what_people_removed_stays_away_while_a_sidecar_says_it(
    services: Services, folder: Path
) -> None:
    image_id = rows(services)["silent.png"]
    elements = alternatives("dc:description", default="A boat")
    sidecar = folder / "silent.png.xmp"
    sidecar.write_bytes(xmp(elements, 'xmp:Rating="1" xmp:Label="Red"'))
    run(services, folder, SYNC)
    services.gallery.change(image_id, Change("", {"rating": None, "unknown": None}))
    sidecar.write_bytes(xmp(elements, 'xmp:Rating="2" xmp:Label="Blue"'))
    os.utime(sidecar, ns=(1, 1))
    run(services, folder, SYNC)
    query = "SELECT caption, metadata, said_metadata FROM images WHERE id = :id"
    said = {"rating": None}
    assert sql(services, query, id=image_id) == [(None, {"label": "Blue"}, said)]
    sidecar.unlink()
    run(services, folder, SYNC)
    assert sql(services, query, id=image_id) == [(None, {}, said)]


def test_two_pictures_of_one_stem_are_not_mixed(
    services: Services, folder: Path, into: Path
) -> None:
    (folder / "pier.webp").write_bytes(png(9))
    run(services, folder)
    sql(services, "UPDATE images SET caption = 'A pier' WHERE path LIKE '%pier.%'")
    made, told = export(services, into, by_stem=True)
    assert made.counts["refused"] == 1
    (refused,) = (done for done in told if done.outcome == "refused")
    assert "Another picture" in refused.reason
    assert [path.name for path in into.rglob("pier*")] == ["pier.xmp"]


def test_the_command(services: Services, folder: Path, settings: Settings, into: Path) -> None:
    command = [sys.executable, "-m", "picture_search", "export", "xmp"]
    environment = bare(TESTING="1", DATABASE_URL=str(settings.database_url))
    done = subprocess.run(
        [*command, "--to", into], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert " written, 0 unchanged, " in done.stdout
    undecided = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert undecided.returncode == 1
    assert "--to FOLDER" in undecided.stderr
