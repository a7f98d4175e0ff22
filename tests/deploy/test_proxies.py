"""The nginx configuration of docs/proxies.md, in Debian's nginx before a real server (issue 20)."""

import json
import logging
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from app.access import api_keys
from app.ingest.jobs import jobs
from app.runtime.services import Services
from app.settings import ROOT, Settings
from tests.fixtures.drawn_pictures import png
from tests.fixtures.served_application import served
from tests.fixtures.web_server import self_signed
from tests.test_start import free_port

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PREFIX = "/photos"
HOST = "example.org"
START_SECONDS = 60  # far more than nginx takes
AROUND = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {server}
}}
"""


def documented(port: int, upstream: int, pem: Path) -> str:
    """The block of the page, with ports and certificate of the test's own."""
    text = (ROOT / "docs" / "proxies.md").read_text()
    block: str
    (block,) = re.findall(r"^```nginx\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for told, ours in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/ssl/example.org/fullchain.pem", str(pem)),
        ("/etc/ssl/example.org/privkey.pem", str(pem)),
        ("127.0.0.1:8000", f"127.0.0.1:{upstream}"),
    ):
        assert told in block
        block = block.replace(told, ours)
    return block


@contextmanager
def nginx(folder: Path, upstream: int, pem: Path) -> Iterator[int]:
    """Its port, once it listens."""
    assert NGINX is not None
    port = free_port()
    configuration = folder / "nginx.conf"
    server = documented(port, upstream, pem)
    configuration.write_text(AROUND.format(folder=folder, server=server))
    with subprocess.Popen(
        [NGINX, "-p", folder, "-e", folder / "error.log", "-c", configuration]
    ) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                assert process.poll() is None, (folder / "error.log").read_text()
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()


class ToProxy(httpx.HTTPTransport):
    """Sends what is for https://example.org/ to the proxy's port, as a host file would."""

    def __init__(self, port: int, trusted: ssl.SSLContext) -> None:
        super().__init__(verify=trusted, local_address="127.0.0.2")
        self._port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == HOST
        request.extensions["sni_hostname"] = HOST
        request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
        return super().handle_request(request)


@pytest.fixture(scope="module")
def client(
    settings: Settings, services: Services, worker: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A writer at https://example.org/, whose own address is 127.0.0.2."""
    if NGINX is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("nginx")
    pem = self_signed(folder, HOST)
    with services.sessions.begin() as session:
        _, key = api_keys.create(session, "default", "tests", "writer", None)
    trusted = ssl.create_default_context(cafile=str(pem))
    with (
        served(settings.model_copy(update={"root_path": PREFIX}), services) as upstream,
        nginx(folder, upstream, pem) as port,
        httpx.Client(
            transport=ToProxy(port, trusted),
            base_url=f"https://{HOST}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
        ) as opened,
    ):
        yield opened


def test_the_page_and_all_that_it_names_load_below_the_prefix(client: httpx.Client) -> None:
    moved = client.get(PREFIX)
    assert moved.headers["location"].endswith(f"{PREFIX}/")
    for path in (f"{PREFIX}/", f"{PREFIX}/docs"):
        page = client.get(path)
        assert page.status_code == 200
        named = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
        inner = [urljoin(path, one) for one in named if not one.startswith(("data:", "http"))]
        assert len(inner) >= 2
        assert all(one.startswith(f"{PREFIX}/") for one in inner)
        assert {one: client.get(one).status_code for one in inner} == dict.fromkeys(inner, 200)
    assert client.get(f"{PREFIX}/openapi.json").json()["servers"] == [{"url": PREFIX}]
    assert client.get("/elsewhere").status_code == 404  # nginx's own


def test_uploads_links_and_limits(client: httpx.Client) -> None:
    large = png(1) + b"\0" * 2_000_000  # more than nginx takes by default
    stored = client.post(f"{PREFIX}/upload", files={"file": ("x.png", large)})
    (picture,) = stored.json()
    assert picture["status"] == "stored"
    (hit,) = client.get(f"{PREFIX}/search-by-text?query=a+tree&limit=1").json()
    for url in (hit["url"], hit["thumbnail_url"]):
        assert url.startswith(f"{PREFIX}/")
        assert client.get(url).headers["content-type"].startswith("image/")
    too_large = client.post(f"{PREFIX}/upload", content=b"\0" * 25_000_001)
    assert too_large.status_code == 413
    files = {"files": ("y.png", png(2) + b"\0" * 26_000_000)}
    accepted = client.post(f"{PREFIX}/api/v1/images", files=files)
    assert accepted.status_code == 202
    assert accepted.headers["location"].startswith(f"{PREFIX}/api/v1/jobs/")
    answers = (stored, too_large, client.get(f"{PREFIX}/"))
    assert not any("set-cookie" in answer.headers for answer in answers)


def test_the_limits_are_the_services_own() -> None:
    text = documented(1, 2, Path("x.pem"))
    limits = [int(one) for one in re.findall(r"client_max_body_size (\d+);", text)]
    own = Settings.model_fields
    assert limits == [own[name].default * 1_000_000 for name in ("max_upload_mb", "max_archive_mb")]


def test_events_arrive_as_they_happen(client: httpx.Client, services: Services) -> None:
    """Of a job that never ends: a proxy that buffers would pass on nothing."""
    with services.sessions.begin() as session:
        collection = services.registry.default.collection.id
        new = jobs.NewJob(collection, {"files": 0}, "nobody", listed=True)
        job = jobs.create(session, new)
    with client.stream("GET", f"{PREFIX}/api/v1/jobs/{job}/events") as events:
        lines = events.iter_lines()
        assert next(line for line in lines if line.startswith("event:")) == "event: progress"
        told = next(line for line in lines if line.startswith("data:"))
        assert json.loads(told.removeprefix("data:"))["id"] == job
    assert client.post(f"{PREFIX}/api/v1/jobs/{job}/cancel").status_code == 200


def test_an_invented_address_is_not_believed(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "audit"):
        invented = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9"}
        client.delete(f"{PREFIX}/api/v1/images/999999", headers=invented)
        while not (found := [one for one in caplog.records if one.name == "audit"]):
            time.sleep(0.01)  # the line is written after the answer
    assert [one.__dict__["address"] for one in found] == ["127.0.0.2"]
