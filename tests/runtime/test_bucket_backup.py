"""Backups in a bucket: as in a folder, and whole only once the manifest is there (issue 20)."""

import logging
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from app.errors import BackupFailed
from app.main import create_app
from app.runtime.assembly import open_services
from app.runtime.backup import schedule
from app.runtime.backup.backups import find_backup, list_backups
from app.runtime.backup.making import make_backup
from app.runtime.backup.manifest import DUMP, MANIFEST, UPLOADS
from app.runtime.backup.places import Place, open_place
from app.runtime.backup.restoring import restore
from app.runtime.backup.schedule import BackupSchedule
from app.setting_names import names_of
from app.settings import Settings
from scripts.backup import commands
from tests.conftest import local_client
from tests.fixtures.drawn_pictures import png
from tests.fixtures.s3_server import ACCESS_KEY_ID, S3, SECRET_ACCESS_KEY, Fault
from tests.runtime.test_backup import elsewhere, hits, running, upload
from tests.runtime.test_worker import wait_until

__all__ = ["elsewhere"]  # a fixture

BUCKET = "backups"
PLACE = f"s3://{BUCKET}/of/mine"
OLD = "20200101T000000Z"


@pytest.fixture
def with_bucket(settings: Settings, s3: S3) -> Settings:
    s3.make(BUCKET)
    return on_bucket(settings, s3)


def on_bucket(settings: Settings, s3: S3) -> Settings:
    keys = {"s3_access_key_id": ACCESS_KEY_ID, "s3_secret_access_key": SECRET_ACCESS_KEY}
    changed = settings.model_dump() | {"s3_endpoint_url": s3.endpoint} | keys
    return Settings.model_validate(changed)


@pytest.fixture
def place(with_bucket: Settings) -> Place:
    return open_place(with_bucket, PLACE)


def names(s3: S3) -> list[str]:
    found = s3.bucket(BUCKET).objects("of/mine/")
    return [one.key.removeprefix("of/mine/") for one in found]


def sent(s3: S3) -> list[str]:
    """The uploads that were written since the last look."""
    found = [line for line in s3.asked(f"/{UPLOADS}/") if line.startswith("PUT ")]
    s3.requests.clear()
    return found


def test_a_bucket_holds_backups_as_a_folder_does(
    with_bucket: Settings, s3: S3, client: TestClient, elsewhere: Settings
) -> None:
    kept, gone = upload(client, 1), upload(client, 2)
    before = hits(client)
    manifest = make_backup(with_bucket, open_place(with_bucket, PLACE), is_verified=True)
    assert manifest.pictures == 2
    assert len(sent(s3)) == manifest.files + 2  # and the store's two markers
    empty = on_bucket(elsewhere, s3)
    assert restore(empty, find_backup(open_place(empty, PLACE), None)) == manifest
    assert not list(empty.storage_dir.parent.glob(".part-*"))
    with open_services(empty) as services, local_client(create_app(empty, services)) as api:
        assert [hit["score"] for hit in hits(api)] == [hit["score"] for hit in before]
        assert api.get(f"/images/{kept}/file").content == png(1)
    assert client.delete(f"/images/{gone}").status_code == 204
    upload(client, 3)
    for name in (MANIFEST, DUMP, "uploads.txt"):  # not in the same second
        s3.put(BUCKET, f"of/mine/{OLD}/{name}", b"".join(_read(s3, f"{manifest.stamp}/{name}")))
        s3.delete(BUCKET, f"of/mine/{manifest.stamp}/{name}")
    sent(s3)
    place = open_place(with_bucket, PLACE)
    second = make_backup(with_bucket, place, keep=1)
    assert len(sent(s3)) == 1, "what is there is not sent again"
    assert [one.stamp for one in list_backups(place)] == [second.stamp]
    assert len([name for name in names(s3) if name.endswith(".png")]) == 2
    assert not [name for name in names(s3) if name.startswith(OLD)]


def _read(s3: S3, name: str) -> list[bytes]:
    return list(s3.bucket(BUCKET).open(f"of/mine/{name}"))


def test_what_was_cut_off_is_no_backup_and_goes_with_the_next(
    with_bucket: Settings, s3: S3, client: TestClient, place: Place
) -> None:
    upload(client, 10)
    for where in (f"{UPLOADS}/", DUMP, MANIFEST):
        s3.faults.append(Fault(f"/of/mine/{where}" if where == f"{UPLOADS}/" else f"/{where}",
                               status=403, code="AccessDenied"))  # fmt: skip
        with pytest.raises(BackupFailed, match=r"s3://backups/of/mine: .*AccessDenied"):
            make_backup(with_bucket, open_place(with_bucket, PLACE))
        s3.faults.clear()
        assert list_backups(place) == []
        assert [name for name in names(s3) if not name.startswith(UPLOADS)] == []
    s3.put(BUCKET, f"of/mine/{OLD}/{DUMP}", b"of one that was killed")
    assert list_backups(place) == []
    made = make_backup(with_bucket, open_place(with_bucket, PLACE))
    assert [one.stamp for one in list_backups(place)] == [made.stamp]
    assert f"{OLD}/{DUMP}" not in names(s3)
    near = with_bucket.storage_dir.parent
    assert not list(near.glob(".part-*"))


def test_what_is_damaged_in_the_bucket_is_named_and_nothing_is_restored(
    with_bucket: Settings, s3: S3, client: TestClient, elsewhere: Settings
) -> None:
    upload(client, 20)
    manifest = make_backup(with_bucket, open_place(with_bucket, PLACE))
    empty = on_bucket(elsewhere, s3)
    backup = find_backup(open_place(empty, PLACE), manifest.stamp)
    picture = next(name for name in names(s3) if name.endswith(".png"))
    for name in (picture, f"{manifest.stamp}/{DUMP}"):
        whole = b"".join(_read(s3, name))
        s3.put(BUCKET, f"of/mine/{name}", whole[:-1])
        with pytest.raises(BackupFailed, match=f"{name} is damaged"):
            restore(empty, backup)
        s3.put(BUCKET, f"of/mine/{name}", whole)
    s3.delete(BUCKET, f"of/mine/{picture}")
    with pytest.raises(BackupFailed, match="is missing"):
        restore(empty, backup)
    assert not empty.storage_dir.exists() or not list(empty.storage_dir.iterdir())
    assert not empty.postgres_dir.exists()


def test_a_server_makes_backups_in_a_bucket_once_it_answers(
    with_bucket: Settings, s3: S3, client: TestClient,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    upload(client, 30)
    monkeypatch.setattr(schedule, "RETRY_SECONDS", 0.05)
    s3.faults.append(Fault("list-type=2", status=403, code="AccessDenied"))
    with caplog.at_level(logging.WARNING), running(BackupSchedule(with_bucket, PLACE)):
        wait_until(
            lambda: f"IMAGE_SEARCH_BACKUP_DIR: no backup was made in {PLACE}: " in caplog.text
        )
        s3.faults.clear()
        wait_until(lambda: any(name.endswith(MANIFEST) for name in names(s3)))


def test_the_commands_take_a_bucket(
    with_bucket: Settings, s3: S3, client: TestClient, monkeypatch: pytest.MonkeyPatch,
    kept_signals: None,
) -> None:  # fmt: skip
    upload(client, 40)
    for field in ("database_url", "test_upload_dir", "thumbnail_dir", "s3_endpoint_url"):
        monkeypatch.setenv(names_of(field)[0], str(getattr(with_bucket, field)))
    monkeypatch.setenv("S3_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("S3_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    monkeypatch.setenv("TESTING", "1")
    runner = CliRunner()
    made = runner.invoke(commands, ["make", PLACE])
    assert made.exit_code == 0, made.output
    assert f"{PLACE}/2" in made.output
    none = runner.invoke(commands, ["make", "s3://no-such-bucket/x"])
    assert "Not backed up: s3://no-such-bucket/x: There is no bucket" in str(none.exception)
    unnamed = runner.invoke(commands, ["restore", "s3:///x"])
    assert "Not restored: s3:///x names no bucket" in str(unnamed.exception)


def test_a_setting_names_a_folder_or_a_bucket(tmp_path: Path) -> None:
    assert Settings(backup_dir=PLACE).backup_dir == PLACE
    assert Settings(backup_dir=str(tmp_path / "a")).backup_dir == str(tmp_path / "a")
