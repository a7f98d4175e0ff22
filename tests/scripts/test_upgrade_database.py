"""`make upgrade-database`, as a command."""

import subprocess
import sys

import pytest

from app.database.embedded.embedded_postgres import embedded_server
from app.database.embedded.postgres_programs import VERSION, VERSIONS, temporary_folder
from app.settings import ROOT
from tests.fixtures.process_environment import bare


def run(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "scripts.upgrade_database"],
        cwd=ROOT, env=bare(**environment), capture_output=True, text=True,
    )  # fmt: skip


def test_data_of_the_installed_version_stay_as_they_are() -> None:
    with temporary_folder("same") as folder:
        done = run(POSTGRES_DIR=str(folder / "data"))
        assert done.returncode == 1
        assert "is not a Postgres data folder: there is nothing to upgrade." in done.stderr
        with embedded_server(folder / "data"):
            pass
        done = run(POSTGRES_DIR=str(folder / "data"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder / 'data'} belongs to Postgres {VERSION} already.\n"


def test_a_database_of_ones_own_is_left_to_its_owner() -> None:
    done = run(DATABASE_URL="postgresql://127.0.0.1:1/mine")
    assert done.returncode == 1
    assert done.stderr == "DATABASE_URL is set: that Postgres is upgraded by its own tools.\n"


@pytest.mark.skipif(VERSIONS[0] == VERSION, reason="the wheel has one version of Postgres only")
def test_what_is_not_taken_over_is_named() -> None:
    with temporary_folder("old") as parent:
        folder = parent / "data"
        with embedded_server(folder, VERSIONS[0]):
            pass
        done = run(POSTGRES_DIR=str(folder))
        assert done.returncode == 0, done.stderr
        assert f"The old data is in {folder}.postgres-{VERSIONS[0]}: " in done.stdout
        for name in ("postgresql.conf", "postgresql.auto.conf", "pg_hba.conf"):
            assert name in done.stdout
            assert (folder / name).exists()
