"""A disk that does not answer: requests, searches, jobs and Ctrl-C go on without it.

Issue 21, lines 27 and 53.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from app.database.embedded.postgres_programs import temporary_folder
from app.settings import ROOT
from tests.fixtures.drawn_pictures import png
from tests.fixtures.hung_file import hung
from tests.fixtures.process_environment import bare
from tests.test_start import Server, free_port

COUNT = 45  # files that hang: more than FastAPI has threads
STOP_SECONDS = 10.0  # after Ctrl-C
SOON = 5.0  # seconds: on a machine with other work, far below any bound of reads


@pytest.fixture
def folder() -> Iterator[Path]:
    """Its servers end with it."""
    with temporary_folder("hung") as folder:
        (folder / "pictures").mkdir()
        yield folder
        for server in Server.started:
            server.end()
        Server.started.clear()


def started(folder: Path, **settings: str) -> Server:
    pictures = {"TEST_IMAGES_DIR": str(folder / "pictures")}
    return Server(folder, free_port(), **pictures, **settings)


def status_of(server: Server, path: str) -> int:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


def seconds_of(server: Server, path: str) -> float:
    began = time.monotonic()
    assert status_of(server, path) == 200
    return time.monotonic() - began


def stop(server: Server) -> float:
    """Ctrl-C; the seconds that the process takes to end."""
    began = time.monotonic()
    server.stop()
    return time.monotonic() - began


def test_originals_that_hang_hold_nobody_else(folder: Path) -> None:
    files = [folder / "pictures" / f"{number}.png" for number in range(COUNT + 1)]
    for number, path in enumerate(files):
        path.write_bytes(png(number))
    server = started(folder)
    server.wait_until_ready()
    ids = {
        Path(one["path"]): one["id"]
        for one in server.get("/search-by-text?query=a%20tree&limit=50")
    }
    assert set(ids) == set(files)
    pipe = files.pop()
    pipe.unlink()
    os.mkfifo(pipe)
    assert status_of(server, f"/images/{ids[pipe]}/file") == 404
    with hung(*files), ThreadPoolExecutor(COUNT) as clients:
        for path in files:
            clients.submit(status_of, server, f"/images/{ids[path]}/file")
        time.sleep(1)
        assert seconds_of(server, "/search-by-text?query=a%20red%20car") < SOON
        assert seconds_of(server, "/readyz") < SOON
        assert stop(server) < STOP_SECONDS
    assert not server.postgres()


def test_a_job_that_hangs_does_not_hold_the_end_and_goes_on_at_the_next_start(
    folder: Path,
) -> None:
    files = [folder / "pictures" / f"{number}.png" for number in range(3)]
    for number, path in enumerate(files):
        path.write_bytes(png(number))
    with hung(files[1]):
        server = started(folder, LEASE_SECONDS="2")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.2)
            try:
                if server.get("/api/v1/jobs")["data"][0]["total"] == 3:
                    break
            except (OSError, IndexError):
                continue
        time.sleep(1)
        assert stop(server) < STOP_SECONDS
    again = started(folder, LEASE_SECONDS="2")
    assert "(3 images indexed)" in again.wait_until_ready()


def test_ctrl_c_ends_a_command_that_hangs(folder: Path) -> None:
    """The same of `make ingest`."""
    files = [folder / "pictures" / f"{number}.png" for number in range(3)]
    for number, path in enumerate(files):
        path.write_bytes(png(number))
    environment = bare(
        TESTING="1",
        POSTGRES_DIR=str(folder / "postgres"),
        TEST_UPLOAD_DIR=str(folder / "uploads"),
        THUMBNAIL_DIR=str(folder / "thumbnails"),
    )
    command = [sys.executable, "-m", "scripts.ingest", "--dir", str(folder / "pictures")]
    with (
        hung(files[1]),
        subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE) as process,
    ):
        try:
            assert process.stderr
            shown = b""
            while b"/3 [" not in shown:  # the folder is listed
                piece = os.read(process.stderr.fileno(), 1_000)
                assert piece, shown
                shown += piece
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            process.communicate(timeout=60)
            assert time.monotonic() - began < STOP_SECONDS
            assert process.returncode == 130
        finally:
            process.kill()
