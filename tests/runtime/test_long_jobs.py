"""Annotators that take long: nobody's pictures wait for them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.runtime.services import Services
from app.runtime.worker import CONCURRENCY
from app.settings import Settings
from tests.fixtures.drawn_pictures import encoded, noise
from tests.fixtures.http_jobs import IMAGES, JOBS, SECONDS, accepted, ended, working

MANY = CONCURRENCY + 1
CAPTION = json.dumps({"choices": [{"message": {"content": "a pattern"}}]}).encode()


class SlowChat(ThreadingHTTPServer):
    """Describes nothing until `is_open` is set; `was_asked` says that somebody waits."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.was_asked, self.is_open = threading.Event(), threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: SlowChat

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.was_asked.set()
        self.server.is_open.wait(SECONDS)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CAPTION)))
        self.end_headers()
        self.wfile.write(CAPTION)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def chat() -> Iterator[SlowChat]:
    server = SlowChat()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.is_open.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def settings(settings: Settings, chat: SlowChat) -> Settings:
    changed = {
        "caption_url": f"http://127.0.0.1:{chat.server_port}/v1",
        "download_allow": (ip_network("127.0.0.0/8"),),
    }
    return settings.model_copy(update=changed)


def test_uploads_do_not_wait_for_annotators(
    client: TestClient, services: Services, chat: SlowChat
) -> None:
    names = [f"c{n}" for n in range(MANY)]
    with working(services):
        for n, name in enumerate(names):
            assert client.post("/api/v1/collections", json={"name": name}).status_code == 201
            add(client, noise(n), name)
        for name in names:
            changed = client.patch(f"/api/v1/collections/{name}", json={"annotators": ["caption"]})
            assert changed.status_code == 200
        assert chat.was_asked.wait(SECONDS)
        add(client, noise(MANY), "default")
        describing = client.get(JOBS, params={"status": "running"}).json()["data"]
        assert describing
        chat.is_open.set()
        for name in names:
            (known,) = client.get(f"/api/v1/collections/{name}/annotators").json()["data"]
            job = ended(client, f"{JOBS}/{known['job_id']}")
            # Described, and the caption embedded; or given up, where uploads took minutes.
            assert (job["done"], job["failed"]) in {(2, 0), (1, 1)}, job


def add(client: TestClient, picture: Image.Image, collection: str) -> None:
    """Add a picture by a job that is followed to its end."""
    file = ("one.png", encoded(picture))
    sent = client.post(IMAGES, files={"files": file}, params={"collection": collection})
    assert ended(client, accepted(sent))["added"] == 1
