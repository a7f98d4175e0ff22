"""`make replica`: a hot standby of the embedded Postgres."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.database.embedded.embedded_postgres import embedded_server
from app.database.embedded.postgres_programs import temporary_folder
from app.database.migrating import create_database
from app.settings import ROOT, TESTING_DATABASE
from tests.conftest import address
from tests.fixtures.own_postgres import asked, asked_until_answered
from tests.fixtures.process_environment import PROCESS_SECONDS, bare

SAID = "Following: IMAGE_SEARCH_READ_DATABASE_URL="


@contextmanager
def following(primary: Path, standby: Path) -> Iterator[str]:
    """The standby's URL while the command runs."""
    environment = bare(TESTING="1", IMAGE_SEARCH_POSTGRES_DIR=str(primary))
    command = [sys.executable, "-m", "scripts.replica", "--dir", str(standby)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        said = process.stdout.readline()
        try:
            assert said.startswith(SAID)
            yield said.removeprefix(SAID).strip()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PROCESS_SECONDS)


def test_a_standby_follows_from_its_first_start_on() -> None:
    with temporary_folder("follow") as folder, embedded_server(folder / "primary") as server:
        create_database(server, TESTING_DATABASE)
        ours = address(server, TESTING_DATABASE)
        asked(ours, "CREATE TABLE first AS SELECT 1 AS number")
        with following(folder / "primary", folder / "standby") as url:
            assert asked(url, "SELECT number FROM first") == 1
            assert asked(url, "SELECT pg_is_in_recovery()") is True
        asked(ours, "CREATE TABLE second AS SELECT 2 AS number")  # kept for it by its slot
        with following(folder / "primary", folder / "standby") as url:
            assert asked_until_answered(url, "SELECT number FROM second")[0] == 2


def test_without_a_server_there_is_nothing_to_copy() -> None:
    with temporary_folder("follow") as folder:
        environment = bare(TESTING="1", IMAGE_SEARCH_POSTGRES_DIR=str(folder / "none"))
        command = [sys.executable, "-m", "scripts.replica", "--dir", str(folder / "standby")]
        done = subprocess.run(
            command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert "No server runs on" in done.stderr
        assert "Traceback" not in done.stderr
