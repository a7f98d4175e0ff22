"""Data of another major version of Postgres (issue 21, lines 9 and 42)."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine, text

from app.database import connections, migrating
from app.database.embedded.data_folder import VERSION_FILE, data_version, unfinished_upgrade
from app.database.embedded.embedded_postgres import embedded_server
from app.database.embedded.major_upgrade import upgrade
from app.database.embedded.postgres_programs import (
    VERSION,
    VERSIONS,
    ProgramFailed,
    find_programs,
    temporary_folder,
)
from app.database.embedded.postmaster import processes_in
from app.errors import DatabaseUnusable, ResourceInUse
from tests.database.test_migrations import config

OLD = VERSIONS[0]
pytestmark = pytest.mark.skipif(OLD == VERSION, reason="the wheel has one version of Postgres only")

PICTURE = """
INSERT INTO images (collection_id, path, content_hash, etag, bytes, width, height, format, caption)
SELECT id, 'a.png', sha256(''), '', 1, 1, 1, 'PNG', 'two trees' FROM collections
"""
FOUND = "SELECT path FROM images WHERE words @@ plainto_tsquery('english', 'tree')"


@pytest.fixture(scope="module")
def original() -> Iterator[Path]:
    """Data of the older version, as this program left them before `language` was text."""
    with temporary_folder("old") as parent:
        folder = parent / "data"
        with embedded_server(folder, OLD) as url:
            migrating.create_database(url, "ours")
            engine = connections.open_engine(url.replace("/postgres?", "/ours?"))
            with engine.begin() as connection:
                command.upgrade(config(connection), "0004")
            with engine.begin() as connection:
                connection.execute(text(PICTURE))
                connection.execute(text("SELECT lo_create(0)"))
            engine.dispose()
        yield folder


@pytest.fixture
def folder(original: Path) -> Iterator[Path]:
    """A copy that a test may change."""
    with temporary_folder("old") as parent:
        subprocess.run(["cp", "-a", original, parent], check=True)
        yield parent / original.name


def ours(url: str) -> Engine:
    return connections.open_engine(url.replace("/postgres?", "/ours?"))


def test_data_of_another_version_are_named_and_moved(folder: Path) -> None:
    message = f"belongs to Postgres {OLD}, and this program runs Postgres {VERSION}. Run `make upg"
    with pytest.raises(DatabaseUnusable, match=message):
        embedded_server(folder).__enter__()

    kept = upgrade(folder)
    assert kept == folder.with_name(f"data.postgres-{OLD}")
    assert (data_version(folder), data_version(kept)) == (VERSION, OLD)
    with embedded_server(folder) as url:
        engine = ours(url)
        migrating.migrate(engine)
        with engine.connect() as connection:
            assert connection.execute(text(FOUND)).scalars().all() == ["a.png"]
            assert connection.execute(text("SHOW server_version_num")).scalar_one()[:2] == "18"
        engine.dispose()
    assert upgrade(folder) is None
    with embedded_server(kept, OLD) as url:
        engine = ours(url)
        with engine.connect() as connection:
            assert connection.execute(text(FOUND)).scalars().all() == ["a.png"]
        engine.dispose()


def test_a_refused_upgrade_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line 42: without its migration the column of type regconfig is such a reason."""
    monkeypatch.setattr(migrating, "migrate", lambda engine: None)
    with pytest.raises(DatabaseUnusable, match=r"(?s)is as it was: .*reg\*"):
        upgrade(folder)
    assert not unfinished_upgrade(folder).exists()
    assert data_version(folder) == OLD
    assert list(processes_in(folder)) == []
    monkeypatch.undo()
    assert upgrade(folder) is not None


def test_an_upgrade_that_ended_between_its_renames_is_finished(folder: Path) -> None:
    kept = folder.with_name(f"data.postgres-{OLD}")
    new = unfinished_upgrade(folder)
    with embedded_server(new):
        pass
    folder.rename(kept)
    with pytest.raises(DatabaseUnusable, match=r"An upgrade of .* was interrupted"):
        embedded_server(folder).__enter__()
    assert upgrade(folder) == kept
    assert data_version(folder) == VERSION
    assert not new.exists()


def test_nothing_is_moved_while_a_server_uses_it(folder: Path) -> None:
    with embedded_server(folder, OLD), pytest.raises(ResourceInUse, match="is in use"):
        upgrade(folder)


def test_what_cannot_be_read_is_said_so(folder: Path) -> None:
    with pytest.raises(DatabaseUnusable, match="is not a Postgres data folder"):
        upgrade(folder.with_name("absent"))
    (folder / VERSION_FILE).write_text("9999\n")
    with pytest.raises(DatabaseUnusable, match="belongs to Postgres 9999, and this program can"):
        upgrade(folder)
    with pytest.raises(
        DatabaseUnusable, match=r"belongs to Postgres 9999.* set IMAGE_SEARCH_POSTGRES_DIR"
    ):
        embedded_server(folder).__enter__()


def test_programs_say_what_went_wrong() -> None:
    with pytest.raises(ProgramFailed, match="no data directory specified"):
        find_programs().run("pg_controldata", seconds=10)
