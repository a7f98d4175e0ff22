"""A store belongs to one database, and may be moved: issue 21, line 48."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app.catalog.originals import OnDisk
from app.database import connections, migrating
from app.database.connections import Sessions
from app.errors import ImageNotFound
from app.ingest.upload_stages import Upload
from app.runtime.doctor.lost_files import FORGOTTEN, LostFiles
from app.runtime.doctor.stray_files import StrayFiles
from app.runtime.services import Services
from app.runtime.stores import open_stores
from app.settings import ROOT, Settings
from app.storage.disk import IDENTITY, OWNER, TRASH, Stores
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import sql
from tests.runtime.doctor.test_doctor import age, index_file

COUNT = 15


@pytest.fixture
def uploaded(services: Services, settings: Settings) -> Iterator[list[Path]]:
    """Pictures that were uploaded, old enough for the doctor; later there is nothing."""
    sent = [Upload(f"{n}.png", png(n)) for n in range(COUNT)]
    outcomes = services.registry.default.uploads.store(sent, "a caption", {})
    files = [ROOT / one.image.path for one in outcomes if one.image]
    assert len(files) == COUNT
    yield [age(path) for path in files]
    for table in ("images", "stores", "embeddings"):
        sql(services, f"DELETE FROM {table}")
    shutil.rmtree(settings.storage_dir, ignore_errors=True)
    original = services.doctor.stores.uploads
    original.mark(IDENTITY, original.prefix.split("/")[2])
    open_stores(settings, services.sessions)


@pytest.fixture
def other_database(server_url: str, request: pytest.FixtureRequest) -> Iterator[Sessions]:
    """Another database, migrated and empty."""
    name = request.node.name[:60]
    migrating.create_database(server_url, name)
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    engine = connections.open_engine(url)
    migrating.migrate(engine)
    yield connections.open_sessions(engine)
    engine.dispose()


def moved_to(services: Services, settings: Settings, folder: Path) -> Stores:
    """The stores as a process with this UPLOAD_DIR opens them."""
    there = settings.model_copy(update={"test_upload_dir": folder})
    return open_stores(there, services.sessions)


def lost_files(services: Services, stores: Stores) -> LostFiles:
    """The doctor's look at rows without file, of a process with these stores."""
    sources = replace(services.doctor.sources, uploads=stores.uploads)
    return LostFiles(services.sessions, sources, stores)


def row_count(services: Services) -> int:
    ((count,),) = sql(services, "SELECT count(*) FROM images WHERE removed_at IS NULL")
    return int(count)


def test_another_database_on_the_same_folder_touches_nothing(
    services: Services, settings: Settings, uploaded: list[Path], other_database: Sessions
) -> None:
    stores = open_stores(settings, other_database)
    doctor = replace(services.doctor, sessions=other_database, stores=stores)
    found, _ = StrayFiles(doctor.sessions, doctor.stores).look()
    assert [list(one.found) for one in found] == [[]] * 4
    assert all(path.exists() for path in uploaded)
    assert stores.uploads.folder.parent == settings.storage_dir
    assert not stores.uploads.owns(uploaded[0])


def test_it_is_said_once_that_a_folder_belongs_to_another_database(
    services: Services,
    settings: Settings,
    uploaded: list[Path],
    other_database: Sessions,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The demo beside one's own library said so of the thumbnails at every start."""
    thumbnails = settings.thumbnail_dir.parent / "shared thumbnails"
    apart = settings.model_copy(update={"thumbnail_dir": thumbnails})
    open_stores(apart, services.sessions)
    assert "belongs to another database" not in caplog.text
    said = (
        f"{thumbnails} belongs to another database: this one's files go to {thumbnails}/database-"
    )
    for _ in range(2):
        open_stores(apart, other_database)
        assert caplog.text.count(said) == 1
    assert "Nothing needs to be done; to keep them elsewhere, set IMAGE_SEARCH_THUMB" in caplog.text


def test_a_folder_of_unknown_files_is_left_to_its_own_database(
    services: Services, settings: Settings, uploaded: list[Path], other_database: Sessions
) -> None:
    """As an earlier version has left it, without the name of its database."""
    (settings.storage_dir / OWNER).unlink()
    stores = open_stores(settings, other_database)
    assert stores.uploads.folder != settings.storage_dir
    assert open_stores(settings, services.sessions).uploads.folder == settings.storage_dir


def test_a_machine_with_a_disk_of_its_own_forgets_nothing(
    services: Services, settings: Settings, uploaded: list[Path], tmp_path: Path
) -> None:
    """Equal paths, one database, two disks: rows of the first machine's uploads and folder."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(100, 120):
        path = folder / f"{number}.png"
        path.write_bytes(png(number))
        index_file(services, path)
    for path in folder.iterdir():
        path.unlink()
    (folder / "another.png").write_bytes(png(1_000))
    stores = moved_to(services, settings, tmp_path / "uploads")
    finding, notes = lost_files(services, stores).look()
    assert len(finding.found) == 20
    assert f"All 20 files of {folder} are missing: was it moved?" in finding.doubts
    assert [note.split(":")[0] for note in notes] == [
        f"{COUNT} pictures are kept in another store of uploads, opened last in "
        f"{settings.storage_dir}"
    ]
    assert finding.mend() == 0
    assert row_count(services) == COUNT + 20
    assert finding.mend(sure=True) == 20
    assert row_count(services) == COUNT
    forgotten = (stores.uploads.trash() / FORGOTTEN).read_text().splitlines()
    assert json.loads(forgotten[0])["path"] == str(folder / "100.png")


def test_one_missing_file_may_lie_on_another_machine(
    services: Services, settings: Settings, uploaded: list[Path], tmp_path: Path
) -> None:
    for number in (100, 101):
        path = tmp_path / f"{number}.png"
        path.write_bytes(png(number))
        index_file(services, path)
    (tmp_path / "100.png").unlink()
    stores = moved_to(services, settings, tmp_path / "uploads")
    finding, _ = lost_files(services, stores).look()
    assert finding.doubts == [
        "This database has 2 stores of uploads: 1 missing files may lie on another machine."
    ]
    assert (finding.mend(), row_count(services)) == (0, COUNT + 2)


def test_uploads_are_found_where_their_folder_was_moved(
    services: Services, settings: Settings, uploaded: list[Path], tmp_path: Path
) -> None:
    settings.storage_dir.rename(tmp_path / "moved")
    stores = moved_to(services, settings, tmp_path / "moved")
    gallery = replace(
        services.gallery,
        stores=stores,
        sources=replace(services.gallery.sources, uploads=stores.uploads),
    )
    for (image_id,) in sql(services, "SELECT id FROM images"):
        original = gallery.original(image_id)
        assert isinstance(original, OnDisk)
        original.file.close()
        assert gallery.get(image_id).path == str(original.path)
        assert original.path.is_relative_to(tmp_path / "moved")
    assert lost_files(services, stores).look()[0].found == []
    with pytest.raises(ImageNotFound, match="is gone"):
        services.gallery.original(image_id)


@pytest.mark.parametrize("is_moved", [False, True])
def test_rows_of_an_earlier_version_are_adopted(
    services: Services, settings: Settings, uploaded: list[Path], tmp_path: Path, is_moved: bool
) -> None:
    sql(services, "UPDATE images SET path = shown_path(path)")
    sql(services, "DELETE FROM stores")
    (settings.storage_dir / OWNER).unlink()
    folder = settings.storage_dir
    if is_moved:
        folder = folder.rename(tmp_path / "moved")
    stores = moved_to(services, settings, folder)
    found = {path for (path,) in sql(services, "SELECT path FROM images")}
    assert len(found) == COUNT
    assert all(path.startswith(stores.uploads.prefix) for path in found)
    assert lost_files(services, stores).look()[0].found == []


def test_files_that_were_moved_without_the_store_s_markers_are_still_its_files(
    services: Services, settings: Settings, uploaded: list[Path], tmp_path: Path
) -> None:
    for folder in settings.storage_dir.glob("[0-9a-f]*"):
        shutil.copytree(folder, tmp_path / "moved" / folder.name)
    stores = moved_to(services, settings, tmp_path / "moved")
    assert stores.uploads.prefix == services.doctor.stores.uploads.prefix


def test_a_store_whose_files_are_all_missing_is_doubted(
    services: Services, settings: Settings, uploaded: list[Path]
) -> None:
    for path in uploaded:
        path.unlink()
    lost = lost_files(services, services.doctor.stores)
    finding, _ = lost.look()
    assert finding.doubts == [f"{settings.storage_dir} is gone or empty: is its disk mounted?"]
    services.doctor.stores.uploads.put(f"{'ab' * 32}.png", b"another")
    finding, _ = lost.look()
    assert finding.doubts == [
        f"All {COUNT} files of {settings.storage_dir} are missing: was it moved?"
    ]
    assert (finding.mend(), row_count(services)) == (0, COUNT)


def test_more_than_a_small_share_is_removed_only_for_a_person_who_is_sure(
    services: Services, settings: Settings, uploaded: list[Path]
) -> None:
    for path in uploaded[:11]:
        path.unlink()
    disk = services.doctor.stores.uploads
    strays = [age(disk.put(f"{n:064x}.png", b"x")) for n in range(11)]
    doctor = services.doctor
    lost, stray = doctor.examine().findings[:2]
    assert lost.doubts == ["11 of 15 files are missing: more than a small share at once."]
    assert stray.doubts == ["11 of 15 files have no row: more than a small share at once."]
    assert (lost.mend(), stray.mend()) == (0, 0)
    assert all(path.exists() for path in strays)
    assert (lost.mend(sure=True), stray.mend(sure=True)) == (11, 11)
    assert row_count(services) == 4
    kept = list((disk.folder / TRASH / time.strftime("%Y-%m-%d")).glob("??/*"))
    assert sorted(path.name for path in kept) == sorted(path.name for path in strays)
    assert [one.found for one in doctor.examine().findings[:2]] == [[], []]
