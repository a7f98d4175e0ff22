"""The embedded server on lock files that a crash has left (issue 21, lines 7 and 45)."""

import fcntl
import os
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import make_url

from app.database.embedded import embedded_postgres
from app.database.embedded.embedded_postgres import USERS_FILE, embedded_server
from app.database.embedded.postmaster import PID_FILE
from app.errors import DatabaseUnusable
from tests.fixtures.own_postgres import asked, pid_of


def dead_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        return process.pid


PID_FILES = ("{pid}\n", "{pid}\n{folder}\n1712346200\n", "{pid}\n{folder}\n1\n5432\n{folder}\n\n",
             "{pid}\n{folder}\n1\n5432\n{folder}\n\n 8826964 65536\n",
             "{pid}\n{folder}\n1\n5432\n{folder}\n\n 8826964 65536\nready   \n", "", "\n", "what",
             "-1\n", "99999999999999999999\n")  # fmt: skip


@pytest.mark.parametrize("text", PID_FILES)
def test_a_pid_file_that_was_left_behind_is_started_over(folder: Path, text: str) -> None:
    """Issue 21, line 7: a dead process, in 1 to 8 lines, or nothing of use."""
    with embedded_server(folder):
        pass  # makes the folder
    (folder / PID_FILE).write_text(text.format(pid=dead_pid(), folder=folder))
    with embedded_server(folder) as url:
        assert asked(url) == 1


@pytest.mark.parametrize("kind", ["alien", "zombie", "ourselves", "another Postgres"])
def test_a_pid_that_belongs_to_another_process_now(
    folder: Path, kind: str, server_url: str
) -> None:
    """Issue 21, lines 7 and 45: the server starts, and the other process lives on."""
    with embedded_server(folder):
        pass
    other = int(str(asked(server_url, "SELECT pg_backend_pid()")))  # of a backend that has gone
    with subprocess.Popen(["true" if kind == "zombie" else "cat"], stdin=subprocess.PIPE) as alien:
        if kind == "zombie":
            while psutil.Process(alien.pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
        socket_folder = make_url(server_url).query["host"]
        postmaster = pid_of(Path(str(socket_folder)))
        assert other != postmaster
        pid = {"ourselves": os.getpid(), "another Postgres": postmaster}.get(kind, alien.pid)
        content = f"{pid}\n{folder}\n1\n5432\n{folder}\n\n 8826964 65536\nready   \n"
        (folder / PID_FILE).write_text(content)
        with embedded_server(folder) as url:
            assert asked(url) == 1
            assert pid_of(folder) != pid
        assert asked(server_url) == 1
        assert kind == "zombie" or alien.poll() is None
        assert alien.stdin
        alien.stdin.close()


def test_a_folder_that_another_container_uses_is_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 21, line 7: its server has no process here, and looks as if it were dead."""
    monkeypatch.setattr(embedded_postgres, "OTHERS_SECONDS", 0.1)
    with embedded_server(folder):
        pass
    with (folder / USERS_FILE).open() as elsewhere:
        fcntl.flock(elsewhere, fcntl.LOCK_SH)
        with pytest.raises(DatabaseUnusable, match="whose server cannot be seen from here"):
            embedded_server(folder).__enter__()
    with embedded_server(folder) as url:
        assert asked(url) == 1
