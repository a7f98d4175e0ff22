"""Issue 19, trial at the command line: how commands end, and what they say of what was typed."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from app.database.migrating import create_database
from app.errors import ImageSearchError, SettingsInvalid
from app.settings import DATABASE, ROOT, TESTING_DATABASE
from scripts import backup, commands, compare_models, ingest, keys, reindex
from scripts.chosen_database import describe
from scripts.command_line import (
    Command,
    application_of,
    exit_status,
    open_settings,
    sentences,
    worded,
)
from tests.conftest import address, administrator
from tests.fixtures.own_postgres import asked
from tests.fixtures.process_environment import PROCESS_SECONDS, bare

LAUNCHED = re.compile(r"\$\(RUN\) ([\w.]+):(\w+)")
INTERRUPTED_AT = """\
import os, signal, sys

class Interrupter:
    def find_spec(self, name, *_):
        if name == "sqlalchemy":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupter())
"""
"""A sitecustomize.py: Ctrl-C arrives in the middle of the imports."""


@pytest.mark.parametrize(
    "command",
    [
        ["scripts.launch", "make start", "app.main:main"],
        ["scripts.launch", "make worker", "scripts.worker:main"],
        ["scripts.launch", "make list-keys", "scripts.keys:commands", "list"],
        ["picture_search", "golden", "list"],
    ],
    ids=lambda command: command[1],
)
def test_ctrl_c_during_the_imports_ends_a_command_quietly(
    command: list[str], tmp_path: Path
) -> None:
    """It was a traceback: imports take a second."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED_AT)
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT, env=bare(PYTHONPATH=str(tmp_path)), capture_output=True, text=True,
        timeout=PROCESS_SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("typed", ["make wait", "wait.py"])
def test_ctrl_c_later_ends_a_command_quietly_too(
    typed: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    kept_signals: None,
) -> None:
    """It was a traceback in commands that are no programs of typer's, such as make migrate."""

    def wait() -> None:
        with sentences("Not done"):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(sys, "argv", [typed])
    assert exit_status(application_of(wait)) == 130
    assert capfd.readouterr() == ("", "")


def test_an_error_while_torch_is_at_work_is_no_abort() -> None:
    """As in a command that loads a model: Python's own end tears torch down under its thread."""
    program = """
import threading
from scripts.command_line import run_command

def work():
    import torch
    begun.set()
    while True:
        torch.ones(64, 64, requires_grad=True).sum().backward()

def command():
    threading.Thread(target=work, daemon=True).start()
    begun.wait()
    raise LookupError("nowhere")

begun = threading.Event()
run_command(command)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env=bare(), capture_output=True, text=True, timeout=PROCESS_SECONDS,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr.endswith("LookupError: nowhere\n")


def test_the_makefile_launches_every_command() -> None:
    """So that each ends quietly; what is launched exists."""
    text = (ROOT / "Makefile").read_text()
    plain = set(re.findall(r"\$\(PYTHON\) -m ([\w.]+)", text))
    assert plain == {"scripts.launch", "scripts.chromium", "ruff", "mypy", "pytest", "coverage"}
    launched = LAUNCHED.findall(text)
    assert launched
    for module, name in launched:
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
        assert re.search(rf"^(def {name}\(|{name} = )", source, re.MULTILINE), (module, name)


@pytest.mark.parametrize(
    ("target", "command", "options", "told"),
    [
        ("revoke-key", keys.commands, ["revoke"], "make revoke-key: ID=… is missing."),
        ("revoke-key", keys.commands, ["revoke", "--id", "x"], "Invalid value for ID=…: "),
        ("create-key", keys.commands, ["create"], "NAMESPACE=… is missing."),
        ("compare", compare_models.main, [], "make compare: MODELS=… is missing."),
        ("ingest", ingest.main, [], "Name a folder (DIR=…) or a bucket (BUCKET=…)"),
        ("reindex", reindex.main, ["--storage", "tiny"], "value for STORAGE=…: 'tiny' is not"),
        ("backup", backup.commands, ["make", "x", "--keep", "0"], "Invalid value for KEEP=…"),
        ("import-takeout", commands.commands, ["import", "takeout"], "PARTS=… is m"),
        ("export-xmp", commands.commands, ["export", "xmp"], "TO=folder, or BESIDE=1"),
    ],
)
def test_what_make_calls_speaks_of_makes_variables(
    target: str,
    command: Command,
    options: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It spoke of options that nobody had typed, such as '--id'."""
    monkeypatch.setattr(sys, "argv", [f"make {target}", *options])
    assert exit_status(application_of(command)) in {1, 2}
    shown = capfd.readouterr().err
    assert told in shown
    assert "--" not in shown
    assert len(shown.splitlines()) == 1


def test_only_options_become_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make pull-model` without a hub named a folder hub/modelsLAION__=…CLIP-ViT-B-32."""
    monkeypatch.setattr(sys, "argv", ["make pull-model"])
    folder = "Copy the folder hub/models--laion--CLIP-ViT-B-32 or /data/--raw/own--model."
    assert worded(folder) == folder
    assert worded("Name one (--dir), or option '--top-k'.") == "Name one (DIR=…), or TOP_K=…."
    assert worded("--limit: too many") == "LIMIT=…: too many"


def test_what_is_called_with_options_speaks_of_them(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts/ingest.py"])
    assert exit_status(application_of(ingest.main)) == 1
    assert capfd.readouterr().err == "Name a folder (--dir) or a bucket (--bucket), one of them.\n"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ImageSearchError("Set --limit."), "Not done: Set --limit."),
        (PermissionError(13, "Permission denied", "/x"), "Not done: /x: Permission denied."),
    ],
)
def test_a_fault_is_a_sentence(error: Exception, told: str, kept_signals: None) -> None:
    with pytest.raises(SystemExit) as end, sentences("Not done"):
        raise error
    assert end.value.code == told


@pytest.fixture
def both(server_url: str) -> Iterator[None]:
    """The demo's database and one's own, both without tables."""
    for name in (DATABASE, TESTING_DATABASE):
        create_database(server_url, name)
    yield
    with administrator(server_url) as connection:
        for name in (DATABASE, TESTING_DATABASE):
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def test_a_command_says_which_database_it_opens_and_when_another_is_meant(
    server_url: str,
    both: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Beside a demo server, a command without TESTING=1 worked silently on the other database."""

    def said() -> str:
        open_settings()
        return capsys.readouterr().err

    folder = asked(server_url, "SHOW data_directory")
    monkeypatch.setenv("POSTGRES_DIR", str(folder))
    monkeypatch.setattr(sys, "argv", ["make doctor"])
    alone = f"Using your own database, in {folder}.\n"
    assert said() == alone, "nobody uses the demo database"
    with connected(server_url, TESTING_DATABASE):
        assert said() == (
            f"{alone}It is empty, and the demo database is in use. To work on that one, put "
            "TESTING=1 before the command: TESTING=1 make doctor …\n"
        )
        asked(address(server_url, DATABASE), "CREATE TABLE images AS SELECT 1 AS id")
        assert said() == alone, "it is not empty"
    monkeypatch.setenv("TESTING", "1")
    with connected(server_url, DATABASE):
        assert said() == (
            f"Using the demo database, in {folder}.\n"
            "It is empty, and your own database is in use. To work on that one, leave out "
            "TESTING=1: make doctor …\n"
        )
    monkeypatch.setenv("POSTGRES_DIR", f"{folder}/none")
    assert said() == f"Using the demo database, in {folder}/none.\n"


def test_a_key_is_not_made_where_no_server_would_take_it(
    server_url: str, both: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside a demo server, `make create-key` made keys in the other database."""
    folder = asked(server_url, "SHOW data_directory")
    monkeypatch.setenv("POSTGRES_DIR", str(folder))
    monkeypatch.setattr(sys, "argv", ["make create-key"])
    asked(address(server_url, DATABASE), "CREATE TABLE images AS SELECT 1 AS id")
    with connected(server_url, TESTING_DATABASE):
        with pytest.raises(SettingsInvalid) as error:
            open_settings(of_server=True)
        assert str(error.value) == (
            "A server is running on the demo database, and none on your own. For the server "
            "that runs, type TESTING=1 make create-key …; for your own database, type TESTING=0 "
            "make create-key …"
        )
        assert not open_settings().testing, "other commands need no server"
        with connected(server_url, DATABASE):
            assert not open_settings(of_server=True).testing, "a server runs on it too"
        for chosen in ("0", "1"):
            monkeypatch.setenv("TESTING", chosen)
            assert open_settings(of_server=True).testing == (chosen == "1")
    monkeypatch.delenv("TESTING")
    assert not open_settings(of_server=True).testing, "no server runs"
    capsys.readouterr()


@contextmanager
def connected(url: str, name: str) -> Iterator[None]:
    """Somebody works on a database of the embedded server."""
    with administrator(address(url, name)):
        yield


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:hush@db:5433/pictures", "the database pictures on db:5433"),
        ("postgresql:///pictures?host=/run/postgresql", "the database pictures on /run/postgresql"),
        ("hush", "the database of DATABASE_URL"),
    ],
)
def test_a_database_of_ones_own_is_named_without_its_password(
    url: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert describe(open_settings()).startswith(told)
    assert "hush" not in capsys.readouterr().err
