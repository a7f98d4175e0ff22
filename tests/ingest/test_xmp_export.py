"""What is said of pictures, written as XMP sidecars beside or apart from them."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.ingest.uploads import Upload
from app.ingest.xmp_export import FOREIGN, NOT_BESIDE, Exported, XmpExport
from app.pictures.metadata.xmp import read_xmp
from app.runtime.services import Services
from app.settings import ROOT, Settings
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import counts, run, sql
from tests.fixtures.process_environment import bare

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, services: Services) -> Path:
    """A folder of two pictures, one of them described, and an upload."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed, name in enumerate(("pier.png", "silent.png")):
        (folder / name).write_bytes(png(seed))
    run(services, folder)
    described = "UPDATE images SET caption = 'The pier', metadata = CAST(:said AS jsonb)"
    where = " WHERE path LIKE '%pier.png'"
    sql(services, described + where, said='{"tags": ["Lisbon"], "rating": 4}')
    services.uploads.store([Upload("../album/sent.png", png(7))], "Sent", {})
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
    command = [sys.executable, "-m", "scripts.image_search", "export", "xmp"]
    environment = bare(TESTING="1", DATABASE_URL=str(settings.database_url))
    done = subprocess.run(
        [*command, "--to", into], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert " written, 0 unchanged, " in done.stdout
    undecided = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert undecided.returncode == 1
    assert "--to FOLDER" in undecided.stderr
