"""The server as a process, as its user starts and stops it."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil
import pytest

from app.database import migrating
from app.database.embedded.postgres_programs import temporary_folder
from app.ingest.upload_stages import Upload
from app.runtime.assembly import open_services
from app.settings import ROOT, Settings
from tests.conftest import TEST_IMAGES
from tests.fixtures.drawn_pictures import png
from tests.fixtures.process_environment import PROCESS_SECONDS, bare


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def upload_request(url: str, picture: bytes) -> Request:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    form_type = {"Content-Type": "multipart/form-data; boundary=x"}
    return Request(url, data=head + picture + b"\r\n--x--\r\n", headers=form_type)


COMMAND = (sys.executable, "-m", "app.main")


class Server:
    """A server with the demo model and folders of its own."""

    started: ClassVar[list["Server"]] = []

    def __init__(
        self, folder: Path, port: int, command: Sequence[str] = COMMAND, **settings: str
    ) -> None:
        self.folder = folder
        self.port = port
        folders = {
            "POSTGRES_DIR": str(folder / "postgres"),
            "TEST_UPLOAD_DIR": str(folder / "uploads"),
            "THUMBNAIL_DIR": str(folder / "thumbnails"),
        }
        plain = {"TESTING": "1", "PRECISION": "auto", "API_PORT": str(port)}  # as users start it
        self.environment = bare(**{**plain, **folders, **settings})
        self.process = subprocess.Popen(
            command,
            cwd=ROOT, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.lines: list[str] = []
        self.started.append(self)

    def end(self) -> None:
        """Make sure that a failed test leaves nothing running."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=PROCESS_SECONDS)
        for pid in self.postgres():
            psutil.Process(pid).terminate()

    def wait_until_ready(self) -> str:
        """The line that says so."""
        assert self.process.stdout
        hang = threading.Timer(PROCESS_SECONDS, self.process.kill)  # which ends the loop below
        hang.start()
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("Ready:"):
                hang.cancel()
                return line.strip()
        hang.cancel()
        pytest.fail(f"the server ended: {self.lines}")

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send the signal, return the exit status; everything printed is in `lines`."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=PROCESS_SECONDS)
        self.lines.append(rest)
        return self.process.returncode

    def get(self, path: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.load(answer)

    def postgres(self) -> list[int]:
        """The embedded server's process ids."""
        return [
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if str(self.folder / "postgres") in (process.info["cmdline"] or [])
        ]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Its servers end with it."""
    with temporary_folder("srv") as folder:
        yield folder
        for server in Server.started:
            server.end()
        Server.started.clear()


def test_start_search_restart_and_stop(folder: Path) -> None:
    pictures = len([path for path in TEST_IMAGES.iterdir() if path.suffix != ".csv"])
    server = Server(folder, free_port())
    ready = f"Ready: http://127.0.0.1:{server.port} ({pictures} images indexed) [demo model]"
    assert server.wait_until_ready() == ready
    readiness = server.get("/readyz")
    assert (readiness["status"], readiness["model"]) == ("ready", "demo model")
    assert server.get("/healthz") == {"status": "alive"}
    first = server.get("/search-by-text?query=a%20green%20tree&limit=4")
    assert "tree" in first[0]["path"]
    assert first[0]["path"].startswith("data/test_images/")
    _check_make_test_api(server)
    _check_unread_body_is_refused(server)
    _check_second_start(server)
    _check_ingest_beside_it(server)
    _upload_into_another_collection(server)
    assert server.postgres()
    assert server.stop() == 0
    assert not server.postgres()
    assert "Stopped." in server.lines[-1]
    assert "Traceback" not in "".join(server.lines)

    assert "IMAGE_SEARCH_BACKUP_DIR" not in "".join(server.lines)

    again = Server(folder, server.port, IMAGE_SEARCH_BACKUP_DIR=str(folder / "backups"))
    assert f"({pictures + 2} images indexed in 2 collections)" in again.wait_until_ready()
    assert again.get("/search-by-text?query=a%20green%20tree&limit=4") == first
    again.stop(signal.SIGTERM)
    assert "".join(again.lines).count("the demo (TESTING=1) is not backed up") == 1
    assert not (folder / "backups").exists()
    assert not again.postgres()


def _check_unread_body_is_refused(server: Server) -> None:
    """A body that is declared, or turns out, too large is answered before it is all sent."""
    head = b"POST /search-by-image HTTP/1.1\r\nHost: localhost\r\n"
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    for framing, body in (
        (b"Content-Length: 90000000\r\n\r\n", [b"x" * 1000]),
        (b"Transfer-Encoding: chunked\r\n\r\n", [chunk] * 25),
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(head + framing)
            for part in body:
                connection.sendall(part)
            assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def _check_second_start(server: Server) -> None:
    """Beside a running server: the port, then the data folder, is said to be in use by it."""
    owner = f"process {server.process.pid} ("
    same_port = Server(server.folder, server.port)
    output, _ = same_port.process.communicate(timeout=PROCESS_SECONDS)
    assert f"Port {server.port} is in use by {owner}" in output
    same_folder = Server(server.folder, free_port())
    output, _ = same_folder.process.communicate(timeout=PROCESS_SECONDS)
    assert f"{server.folder / 'postgres'} is in use by {owner}" in output
    assert {same_port.process.returncode, same_folder.process.returncode} == {1}
    assert server.get("/healthz") == {"status": "alive"}


def _check_ingest_beside_it(server: Server) -> None:
    """`make ingest` works while the server runs, and what it adds is searchable there."""
    (server.folder / "more").mkdir()
    (server.folder / "more" / "1.png").write_bytes(png(1))
    done = _run(
        [sys.executable, "-m", "scripts.ingest", "--dir", str(server.folder / "more")], server
    )
    assert done.returncode == 0, done.stderr
    assert "1 added, 0 changed" in done.stdout
    request = Request(f"http://127.0.0.1:{server.port}/search-by-image?limit=1", data=png(1))
    with urlopen(request, timeout=30) as answer:
        assert json.load(answer)[0]["distance"] < 0.01


def _upload_into_another_collection(server: Server) -> None:
    """Issue 19, trial at the command line: `Ready:` left out all collections but one."""
    collections = f"http://127.0.0.1:{server.port}/api/v1/collections"
    json_type = {"Content-Type": "application/json"}
    create = Request(collections, data=b'{"name": "holidays"}', headers=json_type)
    for request in (create, upload_request(f"{collections}/holidays/images", png(2))):
        with urlopen(request, timeout=30) as answer:
            assert answer.status == 201


def test_a_killed_server_leaves_a_folder_that_starts_again(folder: Path) -> None:
    server = Server(folder, free_port(), TEST_IMAGES_DIR=str(folder / "none"))
    server.wait_until_ready()
    upload = upload_request(f"http://127.0.0.1:{server.port}/upload", png(1))
    with urlopen(upload, timeout=30) as answer:
        assert answer.status == 201
    server.stop(signal.SIGKILL)
    assert server.postgres()  # nobody was left to stop it
    again = Server(folder, server.port, TEST_IMAGES_DIR=str(folder / "none"))
    assert "(1 images indexed)" in again.wait_until_ready()
    again.stop()
    assert not again.postgres()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"API_PORT": "none"}, "API_PORT='none'"),
        ({"API_HOST": "203.0.113.1"}, "API_HOST=203.0.113.1"),
        ({"API_HOST": "0.0.0.0"}, "there is no API key"),
        ({"DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "No Postgres can be used at DATABASE_URL"),
        (
            {"TESTING": "0", "CLIP_MODEL": "ViT-B-33"},
            "IMAGE_SEARCH_CLIP_MODEL=ViT-B-33: open_clip knows no model",
        ),
        ({"TESTING": "0", "HF_HUB_OFFLINE": "1", "HF_HOME": "/nonexistent"}, "make pull-model"),
    ],
)
def test_a_start_that_cannot_be_says_why_without_a_traceback(
    folder: Path, settings: dict[str, str], words: str
) -> None:
    server = Server(folder, free_port(), **settings)
    output, _ = server.process.communicate(timeout=PROCESS_SECONDS)
    assert server.process.returncode == 1
    assert output.splitlines()[-1].startswith("Cannot start. ")
    assert words in output
    assert "Traceback" not in output
    assert not server.postgres()


def test_another_model_on_the_same_database_is_refused(folder: Path, server_url: str) -> None:
    migrating.create_database(server_url, "two_models")
    url = server_url.replace("/postgres?", "/two_models?")
    settings = Settings(
        testing=True, database_url=url, test_upload_dir=folder, thumbnail_dir=folder
    )
    with open_services(settings) as services:
        services.registry.default.uploads.store([Upload("1.png", png(1))], None, {})
    config = ROOT / "data" / "models" / "demo" / "open_clip_config.json"
    other = folder / "other"
    other.mkdir()
    (other / config.name).write_text(config.read_text().replace('"bicubic"', '"bilinear"'))
    (other / "open_clip_model.safetensors").symlink_to(
        config.with_name("open_clip_model.safetensors")
    )
    second = Server(
        folder, free_port(), DATABASE_URL=url, TESTING="0", CLIP_MODEL=f"local-dir:{other}"
    )
    output, _ = second.process.communicate(timeout=PROCESS_SECONDS)
    assert second.process.returncode == 1
    assert "indexed with demo model" in output
    assert "cannot be compared" in output


def test_what_make_is_told_reaches_the_server(folder: Path) -> None:
    """A service manager's SIGTERM ended make and a shell; the server went on."""
    server = Server(folder, free_port(), ["make", "--silent", "start"])
    server.wait_until_ready()
    assert server.stop(signal.SIGTERM) != 0  # of make
    with pytest.raises(URLError):
        server.get("/healthz")
    assert not server.postgres()


ENDS = {
    "a signal": ("signal.raise_signal(signal.SIGTERM)", 143, ""),
    "an error": ("raise LookupError('nowhere')", 1, "LookupError: nowhere"),
}


@pytest.mark.parametrize(("happens", "status", "said"), ENDS.values(), ids=ENDS)
def test_an_end_while_torch_is_at_work_is_no_abort(
    folder: Path, happens: str, status: int, said: str
) -> None:
    """As while a large model is loaded: Python's own end tears torch down under its thread."""
    program = f"""
import signal
import threading
from app import main

def work():
    import torch
    begun.set()
    while True:
        torch.ones(64, 64, requires_grad=True).sum().backward()

def check_address(*given):
    threading.Thread(target=work, daemon=True).start()
    begun.wait()
    {happens}

begun = threading.Event()
main.check_address = check_address
main.main()
"""
    server = Server(folder, free_port(), [sys.executable, "-c", program])
    output, _ = server.process.communicate(timeout=PROCESS_SECONDS)
    assert server.process.returncode == status, output
    assert said in output
    assert "terminate called" not in output
    assert ("Traceback" in output) == bool(said)
    assert not server.postgres()


def _check_make_test_api(server: Server) -> None:
    command = ["make", "--silent", "test-api", "SEARCH=a green tree", "LIMIT=2"]
    shown = _run(command, server)
    assert shown.returncode == 0, shown.stderr
    title, _, body = shown.stdout.partition("\n")
    assert title == "Testing /search-by-text with 'a green tree' query and limit 2..."
    assert len(json.loads(body)) == 2
    assert body.startswith('[\n   {\n      "path": "data/test_images/')
    refused = _run(
        [sys.executable, "-m", "scripts.test_api", "--limit", "1000"], server, SEARCH="x"
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("422: query parameter limit: send a number")


def _run(command: list[str], server: Server, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=ROOT, env=server.environment | settings, capture_output=True, text=True,
        timeout=PROCESS_SECONDS,
    )  # fmt: skip


def test_test_api_without_a_server_says_how_to_start_one(folder: Path) -> None:
    environment = bare(API_PORT=str(free_port()), SEARCH="x")
    shown = subprocess.run(
        [sys.executable, "-m", "scripts.test_api"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PROCESS_SECONDS,
    )  # fmt: skip
    assert shown.returncode == 1
    assert "Start it with `make start`" in shown.stderr
