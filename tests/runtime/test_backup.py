"""Backups: made while the service runs, restored in an empty place, and refused where damaged."""

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EIO
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from typer.testing import CliRunner

from app.access import api_keys
from app.database import connections, migrating
from app.database.embedded.postgres_programs import temporary_folder
from app.errors import BackupFailed, DatabaseUnusable
from app.main import create_app
from app.runtime.assembly import open_services
from app.runtime.backup import schedule
from app.runtime.backup.backups import find_backup, list_backups
from app.runtime.backup.folder_place import FolderPlace
from app.runtime.backup.making import make_backup
from app.runtime.backup.manifest import DUMP, FILES, MANIFEST, UPLOADS
from app.runtime.backup.restoring import restore
from app.runtime.backup.schedule import BackupSchedule
from app.settings import Settings
from scripts.backup import commands
from tests.conftest import address, administrator, local_client
from tests.fixtures.drawn_pictures import png
from tests.runtime.test_folder_place import LISTING
from tests.runtime.test_worker import wait_until

QUERY = {"query": "a green tree"}


@pytest.fixture
def elsewhere(settings: Settings) -> Iterator[Settings]:
    """An empty place: an embedded Postgres of its own, and folders."""
    with temporary_folder("elsewhere-") as place:
        yield settings.model_copy(
            update={
                "database_url": None,
                "postgres_dir": place / "postgres",
                "test_upload_dir": place / "uploads",
                "thumbnail_dir": place / "thumbnails",
            }
        )


def upload(client: TestClient, seed: int) -> int:
    sent = client.post("/upload", files={"file": (f"{seed}.png", png(seed))})
    assert sent.status_code == 201, sent.text
    image_id: int = sent.json()[0]["id"]
    return image_id


def hits(client: TestClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/search-by-text", params=QUERY).json()
    return found


def _below(elsewhere: Settings, hit: dict[str, Any]) -> str:
    """The path of an upload in its new folder."""
    return str(elsewhere.storage_dir.joinpath(*Path(hit["path"]).parts[-2:]))


def test_a_restored_backup_answers_as_the_service_did(
    settings: Settings, client: TestClient, elsewhere: Settings, tmp_path: Path
) -> None:
    kept, gone = upload(client, 1), upload(client, 2)
    answer = client.get("/search-by-text", params=QUERY)
    token, before = answer.headers["X-Search-Token"], answer.json()
    manifest = make_backup(settings, FolderPlace(tmp_path), is_verified=True)
    assert manifest.pictures == 2
    assert client.delete(f"/images/{gone}").status_code == 204
    upload(client, 3)
    assert restore(elsewhere, find_backup(FolderPlace(tmp_path), None)) == manifest
    with open_services(elsewhere) as services, local_client(create_app(elsewhere, services)) as api:
        assert hits(api) == [{**hit, "path": _below(elsewhere, hit)} for hit in before]
        assert api.get(f"/images/{kept}/file").content == png(1)
        assert api.get(f"/images/{gone}/file").content == png(2)
        rated = api.post("/api/v1/feedback", json={"token": token, "rating": 9})
        assert rated.status_code == 201  # the secret came along
        found = {one.name: one.found for one in services.doctor.examine().findings}
        assert found.pop("invalid indexes") == ["embeddings_1: no HNSW graph"]  # no job has run yet
        assert found == {name: [] for name in found}
    with pytest.raises(BackupFailed, match="not empty"):
        restore(elsewhere, find_backup(FolderPlace(tmp_path), None))


def test_without_a_folder_that_cannot_be_read_there_is_no_backup(
    settings: Settings, client: TestClient, tmp_path: Path
) -> None:
    """It would be one without that folder's pictures, and nobody would know."""
    client.post("/upload", files={"file": ("1.png", png(1))})  # unless another test did
    store = next(path.parent for path in settings.storage_dir.rglob("*.png"))
    is_watched = [True]

    def refuse(event: str, args: tuple[object, ...]) -> None:
        if is_watched and event == "os.scandir" and args[0] == str(store):
            raise PermissionError(EACCES, "Permission denied", str(store))

    sys.addaudithook(refuse)
    try:
        with pytest.raises(BackupFailed, match=f"{store}: Permission denied"):
            make_backup(settings, FolderPlace(tmp_path))
    finally:
        is_watched.clear()
    assert FolderPlace(tmp_path).stamps() == []


def test_old_backups_go_with_the_files_that_only_they_had(
    settings: Settings, client: TestClient, tmp_path: Path
) -> None:
    old = upload(client, 10)
    first = make_backup(settings, FolderPlace(tmp_path))
    stored = len(list((tmp_path / UPLOADS).rglob("*.png")))
    assert client.delete(f"/images/{old}").status_code == 204
    upload(client, 11)
    (tmp_path / first.stamp).rename(tmp_path / "20200101T000000Z")  # not in the same second
    second = make_backup(settings, FolderPlace(tmp_path), keep=1)
    assert [one.stamp for one in list_backups(FolderPlace(tmp_path))] == [second.stamp]
    assert len(list((tmp_path / UPLOADS).rglob("*.png"))) == stored  # one less, one more
    assert client.get("/api/v1/status").json()["backed_up_at"] is not None


def test_a_backup_was_made_even_if_older_ones_cannot_be_deleted(
    settings: Settings, client: TestClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It was reported as not made; one that had lost its list made every rotation fail so."""
    upload(client, 13)
    first = make_backup(settings, FolderPlace(tmp_path))
    old = (tmp_path / first.stamp).rename(tmp_path / "20200101T000000Z")  # not in the same second
    (old / FILES).unlink()
    alone = tmp_path / UPLOADS / "only in the old one"
    alone.write_text("")
    second = make_backup(settings, FolderPlace(tmp_path), keep=2)
    assert FolderPlace(tmp_path).stamps() == [old.name, second.stamp]
    assert f"{second.stamp} was made, but older ones were not deleted: " in caplog.text
    assert f"{FILES} cannot be read" in caplog.text
    assert alone.exists()


def test_another_databases_backups_are_left_alone(
    settings: Settings, client: TestClient, tmp_path: Path
) -> None:
    """Rotation counted and deleted them."""
    upload(client, 12)
    place = FolderPlace(tmp_path)
    made = make_backup(settings, place)
    manifest = tmp_path / made.stamp / MANIFEST
    assert made.database
    manifest.write_text(manifest.read_text().replace(made.database, "another"))
    with pytest.raises(BackupFailed, match="has backups of another database"):
        make_backup(settings, place, keep=1)
    assert place.stamps() == [made.stamp]
    before = {**json.loads(manifest.read_text())}
    before.pop("database")  # as a former version wrote it
    manifest.write_text(json.dumps(before))
    (tmp_path / made.stamp).rename(tmp_path / "20200101T000000Z")  # not in the same second
    assert make_backup(settings, place).stamp in place.stamps()


def test_what_is_damaged_is_named_and_nothing_is_restored(
    settings: Settings, client: TestClient, elsewhere: Settings, tmp_path: Path
) -> None:
    upload(client, 20)
    manifest = make_backup(settings, FolderPlace(tmp_path))
    backup = find_backup(FolderPlace(tmp_path), manifest.stamp)
    picture = next((tmp_path / UPLOADS).rglob("*.png"))
    folder = tmp_path / backup.stamp
    for path, name in ((picture, picture.name), (folder / DUMP, DUMP)):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with pytest.raises(BackupFailed, match=f"{name} is damaged"):
            restore(elsewhere, backup)
        path.write_bytes(whole)
    picture.unlink()
    with pytest.raises(BackupFailed, match="missing"):
        restore(elsewhere, backup)
    assert not elsewhere.storage_dir.exists() or not list(elsewhere.storage_dir.iterdir())
    assert not elsewhere.postgres_dir.exists()
    described = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(described | {"schema_revision": "9999"}))
    with pytest.raises(DatabaseUnusable, match="later version"):
        restore(elsewhere, backup)
    (folder / MANIFEST).write_text("{")
    with pytest.raises(BackupFailed, match="cannot be read"):
        restore(elsewhere, backup)


def test_an_empty_database_is_most_likely_the_wrong_one(
    settings: Settings,
    server_url: str,
    migrated: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Issue 19, trial at the command line: the backup of nothing succeeded without a word."""
    with administrator(server_url) as connection:
        connection.execute(text("CREATE DATABASE unused_without_tables"))
        connection.execute(text(f"CREATE DATABASE unused TEMPLATE {migrated}"))
    chosen = {"test_upload_dir": tmp_path / "uploads"}
    for name in ("unused_without_tables", "unused"):
        unused = settings.model_copy(update={**chosen, "database_url": address(server_url, name)})
        with pytest.raises(BackupFailed, match=r"never been used.*TESTING=1 before the command"):
            make_backup(unused, FolderPlace(tmp_path / "backups"))
        schedule_of_it = BackupSchedule(unused, str(tmp_path / "backups"))
        assert schedule_of_it.make_if_due() == schedule.UNUSED_SECONDS  # a first start, soon filled
    assert list_backups(FolderPlace(tmp_path / "backups")) == []
    assert "No backup was made" not in caplog.text
    engine = connections.open_engine(address(server_url, "unused"))
    with connections.open_sessions(engine).begin() as session:
        api_keys.create(session, "default", "me", "admin", None)
    engine.dispose()
    made = make_backup(unused, FolderPlace(tmp_path / "backups"))
    assert (made.pictures, made.files) == (0, 0), "a key is worth a backup"


def test_the_command_ends_with_a_sentence(
    settings: Settings, client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    upload(client, 30)
    monkeypatch.setenv("DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("TEST_UPLOAD_DIR", str(settings.test_upload_dir))
    monkeypatch.setenv("THUMBNAIL_DIR", str(settings.thumbnail_dir))
    monkeypatch.setenv("TESTING", "1")
    runner = CliRunner()
    none = runner.invoke(commands, ["restore", str(tmp_path)])
    assert none.exit_code == 1
    assert f"Not restored: There is no backup in {tmp_path}" in str(none.exception)
    (tmp_path / "file").write_text("")
    refused = runner.invoke(commands, ["make", str(tmp_path / "file")])
    assert f"Not backed up: {tmp_path / 'file'} cannot be created: " in str(refused.exception)
    made = runner.invoke(commands, ["make", str(tmp_path)])
    assert made.exit_code == 0, made.output
    assert list_backups(FolderPlace(tmp_path))[0].stamp in made.output
    shutil.rmtree(tmp_path / UPLOADS)


def test_a_schema_of_a_later_version_stops_with_a_sentence(sessions: connections.Sessions) -> None:
    with sessions.begin() as session:
        current = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with sessions() as session:
        engine = session.get_bind().engine
    try:
        with pytest.raises(DatabaseUnusable, match="later version"):
            migrating.migrate(engine)
    finally:
        with sessions.begin() as session:
            back = text("UPDATE alembic_version SET version_num = :current")
            session.execute(back, {"current": current})


@contextmanager
def running(backups: BackupSchedule) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=backups.make_backups, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_disk_error_does_not_end_the_schedule(
    settings: Settings, client: TestClient, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    upload(client, 81)
    monkeypatch.setattr(schedule, "RETRY_SECONDS", 0.05)
    is_broken = [True]

    def fail(event: str, args: tuple[object, ...]) -> None:
        if is_broken and event in LISTING and str(args[0]) == str(tmp_path):
            raise OSError(EIO, "Input/output error", str(tmp_path))

    sys.addaudithook(fail)
    with running(BackupSchedule(settings, str(tmp_path))):
        wait_until(lambda: f"{tmp_path}: Input/output error" in caplog.text)
        is_broken.clear()
        wait_until(lambda: bool(list_backups(FolderPlace(tmp_path))))
    assert "IMAGE_SEARCH_BACKUP_DIR: no backup was made" in caplog.text


def test_a_server_makes_backups_by_itself_when_one_is_due(
    settings: Settings, client: TestClient, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Issue 20: scheduled by a setting, with rotation; a failure is said, and tried again."""
    upload(client, 80)
    monkeypatch.setattr(schedule, "RETRY_SECONDS", 0.05)
    folder = tmp_path / "backups"
    folder.write_text("no folder yet")
    backups = BackupSchedule(settings.model_copy(update={"backup_keep": 1}), str(folder))
    with running(backups):
        wait_until(
            lambda: f"IMAGE_SEARCH_BACKUP_DIR: no backup was made in {folder}: " in caplog.text
        )
        folder.unlink()
        wait_until(lambda: bool(list_backups(FolderPlace(folder))))
    (first,) = list_backups(FolderPlace(folder))
    assert 0 < backups.seconds_until_due() <= settings.backup_hours * 3600
    old = (folder / first.stamp).rename(folder / "20200101T000000Z")
    assert backups.seconds_until_due() == 0
    with running(backups):
        wait_until(lambda: not old.exists())
    assert len(list_backups(FolderPlace(folder))) == 1
