"""The command: keys are made, shown, used beside it, and made void."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click import unstyle
from sqlalchemy import text
from typer.testing import CliRunner

from app.access import api_keys
from app.access.api_keys import MAX_DAYS
from app.access.authentication import KEY_SECONDS, Authenticator
from app.database.connections import Sessions
from app.database.embedded.embedded_postgres import embedded_server
from app.database.embedded.postgres_programs import temporary_folder
from app.errors import KeyRejected
from app.settings import ROOT
from scripts.keys import HEADINGS, commands
from tests.fixtures.process_environment import PROCESS_SECONDS, bare

SECONDS = 60  # between two clocks
KEY = re.compile(f"^{api_keys.KEY.pattern}$", re.MULTILINE)
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _emptied(sessions: Sessions) -> Iterator[None]:
    yield
    with sessions.begin() as session:
        session.execute(text("DELETE FROM api_keys"))


def run(*options: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "scripts.keys", *options],
        cwd=ROOT, env=bare(TESTING="1", **settings), capture_output=True, text=True,
        timeout=PROCESS_SECONDS,
    )  # fmt: skip


@pytest.fixture
def command(database_url: str) -> Command:
    """Runs it on the module's database."""
    return lambda *options: run(*options, DATABASE_URL=database_url)


def create(command: Command, *more: str) -> str:
    """The text of a key that is made."""
    done = command("create", "--namespace", "mine", "--role", "writer", "--name", "CI é", *more)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"Using the database \w+ on /.*, of DATABASE_URL\.\n", done.stderr)
    (match,) = KEY.finditer(done.stdout)
    assert done.stdout.count("isk_") == 1
    assert "Authorization: Bearer <key>" in done.stdout
    assert "X-API-Key: <key>" in done.stdout
    return match[0]


def test_a_key_is_made_shown_and_made_void(command: Command, sessions: Sessions) -> None:
    assert (
        "`make create-key NAMESPACE=default ROLE=admin NAME=me` makes one" in command("list").stdout
    )
    first = command("create", "--namespace", "first", "--role", "admin", "--name", "first")
    assert "from now on every request needs one" in first.stdout
    with sessions.begin() as session:
        session.execute(text("DELETE FROM api_keys"))
    shown = create(command)
    now = [1000.0]
    access = Authenticator(sessions, "none", loopback=True, clock=lambda: now[0])
    caller = access.caller(shown)
    assert (caller.role, caller.namespace, caller.name) == ("writer", "mine", "CI é")

    told = command("list")
    heading, row = told.stdout.splitlines()
    assert re.split("  +", heading) == list(HEADINGS)
    assert row.split()[:5] == [str(caller.key_id), "mine", "writer", "CI", "é"]
    assert row.split()[-2:] == ["-", "-"]  # never expires, not revoked
    assert len(re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d", row)) == 2  # created, last used
    with sessions() as session:
        (known,) = api_keys.listed(session)
    for hidden in (shown, shown[-43:], known.hash.hex(), str(known.hash)):
        assert hidden not in told.stdout + told.stderr

    done = command("revoke", "--id", str(caller.key_id))
    assert done.returncode == 0
    assert f"Key {caller.key_id} (CI é) is revoked since 20" in done.stdout
    now[0] += KEY_SECONDS
    with pytest.raises(KeyRejected, match="revoked"):
        access.caller(shown)
    assert command("revoke", "--id", str(caller.key_id)).stdout == done.stdout
    assert command("list").stdout.splitlines()[1].split()[-3] == "-"


LOCKOUT = "make create-key NAMESPACE=mine ROLE=admin NAME=me"


def test_a_first_key_that_is_no_admins_says_how_to_make_one(
    command: Command, sessions: Sessions
) -> None:
    """With a reader's key alone nobody could manage the library, and nothing said what helps."""
    reader = ("create", "--namespace", "mine", "--role", "reader", "--name", "tablet")
    assert LOCKOUT in command(*reader).stdout
    assert LOCKOUT not in command(*reader).stdout  # the second
    with sessions.begin() as session:
        session.execute(text("DELETE FROM api_keys"))
    assert LOCKOUT not in command("create", *OF_ME).stdout


@pytest.mark.parametrize(("answer", "made"), [("n", 0), ("y", 1)])
def test_in_a_terminal_a_first_key_that_is_no_admins_is_asked_about(
    database_url: str, sessions: Sessions, answer: str, made: int
) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        [sys.executable, "-m", "scripts.keys", "create", "--namespace", "mine", "--role", "reader",
         "--name", "tablet"],
        cwd=ROOT, env=bare(TESTING="1", DATABASE_URL=database_url), stdin=theirs,
        capture_output=True, text=True, timeout=PROCESS_SECONDS,
    )  # fmt: skip
    for end in (ours, theirs):
        os.close(end)
    assert done.stdout.index(LOCKOUT) < done.stdout.index("Go on with the reader's key?")
    assert done.returncode == 1 - made
    assert "Traceback" not in done.stderr
    with sessions() as session:
        assert len(api_keys.listed(session)) == made


def test_a_key_may_be_valid_for_some_days(command: Command, sessions: Sessions) -> None:
    create(command, "--days", "30")
    with sessions() as session:
        (key,) = api_keys.listed(session)
    assert key.expires_at is not None
    assert (key.expires_at - key.created_at).total_seconds() == pytest.approx(
        30 * 86_400, abs=SECONDS
    )
    assert f"{key.expires_at:%Y-%m-%d}" in command("list").stdout


OF_ME = ("--namespace", "mine", "--role", "admin", "--name", "me")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "Usage"),
        (["create"], "Missing option"),
        (["create", *OF_ME, "--role", "owner"], "'owner'"),
        (["create", *OF_ME, "--role", ""], "--role"),
        (["create", *OF_ME, "--days", "0"], "--days"),
        (["create", *OF_ME, "--days", "9" * 30], "--days"),
        (["create", *OF_ME, "--days", str(MAX_DAYS + 1)], "--days"),
        (["revoke"], "Missing option"),
        (["revoke", "--id", "0"], "--id"),
        (["revoke", "--id", str(2**31)], "--id"),
        (["revoke", "--id", "x"], "--id"),
    ],
)
def test_what_it_is_not_made_for_is_told_before_all_else(options: list[str], told: str) -> None:
    done = CliRunner().invoke(commands, options)
    assert done.exit_code == 2
    assert told in unstyle(done.output)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["create", *OF_ME, "--namespace", "A b"], "namespace: 'A b' is not valid"),
        (["create", *OF_ME, "--name", ""], "name: it is empty"),
        (["create", *OF_ME, "--name", "\udcff"], "name: use 1 to 100 characters"),
        (["revoke", "--id", "123456"], "There is no key 123456: `make list-keys` shows all."),
    ],
)
def test_bad_input_is_a_sentence(
    command: Command, sessions: Sessions, options: list[str], told: str
) -> None:
    done = command(*options)
    assert done.returncode == 1
    assert f"\nNot done: {told}" in done.stderr
    assert "Traceback" not in done.stderr
    with sessions() as session:
        assert api_keys.listed(session) == []


def test_a_database_that_is_away_is_a_sentence() -> None:
    done = run("list", DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert done.returncode == 1
    assert "\nNot done: No Postgres can be used at DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder("keys") as folder:
        yield folder / "postgres"


def test_it_makes_keys_without_a_server_and_beside_one(folder: Path) -> None:
    process = folder / "postmaster.pid"
    done = run("create", *OF_ME, POSTGRES_DIR=str(folder))
    assert done.returncode == 0, done.stderr
    assert KEY.search(done.stdout)
    assert not process.exists(), "its server is stopped"
    with embedded_server(folder):
        assert run("create", *OF_ME, POSTGRES_DIR=str(folder)).returncode == 0
        assert process.exists(), "the other's server goes on"
        rows = run("list", POSTGRES_DIR=str(folder)).stdout.splitlines()[1:]
    assert [row.split()[:4] for row in rows] == [[n, "mine", "admin", "me"] for n in "12"]


def test_it_loads_no_model() -> None:
    look = "import sys, scripts.keys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], cwd=ROOT, env=bare()).returncode == 0
