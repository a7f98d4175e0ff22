"""Backups: made while the service runs, restored in an empty place, and refused where damaged."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from typer.testing import CliRunner

from app.database import connections
from app.database.embedded.postgres_programs import temporary_folder
from app.errors import BackupFailed, DatabaseUnusable
from app.main import create_app
from app.runtime.assembly import open_services
from app.runtime.backup.making import make_backup
from app.runtime.backup.manifest import DUMP, MANIFEST, UPLOADS, find_backup, list_backups
from app.runtime.backup.restoring import restore
from app.settings import Settings
from scripts.backup import commands
from tests.conftest import local_client
from tests.fixtures.drawn_pictures import png

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
    manifest = make_backup(settings, tmp_path, is_verified=True)
    assert manifest.pictures == 2
    assert client.delete(f"/images/{gone}").status_code == 204
    upload(client, 3)
    assert restore(elsewhere, find_backup(tmp_path, None)) == manifest
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
        restore(elsewhere, find_backup(tmp_path, None))


def test_old_backups_go_with_the_files_that_only_they_had(
    settings: Settings, client: TestClient, tmp_path: Path
) -> None:
    old = upload(client, 10)
    first = make_backup(settings, tmp_path)
    stored = len(list((tmp_path / UPLOADS).rglob("*.png")))
    assert client.delete(f"/images/{old}").status_code == 204
    upload(client, 11)
    (tmp_path / first.stamp).rename(tmp_path / "20200101T000000Z")  # not in the same second
    second = make_backup(settings, tmp_path, keep=1)
    assert [one.folder.name for one in list_backups(tmp_path)] == [second.stamp]
    assert len(list((tmp_path / UPLOADS).rglob("*.png"))) == stored  # one less, one more
    assert client.get("/api/v1/status").json()["backed_up_at"] is not None


def test_what_is_damaged_is_named_and_nothing_is_restored(
    settings: Settings, client: TestClient, elsewhere: Settings, tmp_path: Path
) -> None:
    upload(client, 20)
    manifest = make_backup(settings, tmp_path)
    backup = find_backup(tmp_path, manifest.stamp)
    picture = next((tmp_path / UPLOADS).rglob("*.png"))
    for path, name in ((picture, picture.name), (backup.dump, DUMP)):
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
    described = json.loads((backup.folder / MANIFEST).read_text())
    (backup.folder / MANIFEST).write_text(json.dumps(described | {"schema_revision": "9999"}))
    with pytest.raises(DatabaseUnusable, match="later version"):
        restore(elsewhere, backup)
    (backup.folder / MANIFEST).write_text("{")
    with pytest.raises(BackupFailed, match="cannot be read"):
        restore(elsewhere, backup)


def test_the_command_ends_with_a_sentence(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
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
    assert "Not backed up: " in str(refused.exception)
    made = runner.invoke(commands, ["make", str(tmp_path)])
    assert made.exit_code == 0, made.output
    assert list_backups(tmp_path)[0].folder.name in made.output
    shutil.rmtree(list_backups(tmp_path)[0].uploads)


def test_a_schema_of_a_later_version_stops_with_a_sentence(sessions: connections.Sessions) -> None:
    with sessions.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with sessions() as session:
        engine = session.get_bind().engine
    try:
        with pytest.raises(DatabaseUnusable, match="later version"):
            connections.migrate(engine)
    finally:
        with sessions.begin() as session:
            session.execute(text("UPDATE alembic_version SET version_num = '0017'"))
