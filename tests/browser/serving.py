"""The real application on a free port of loopback, with the demo model and a real Postgres."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import uvicorn
from sqlalchemy import make_url

from app.database import migrating
from app.ingest.jobs.job_submission import JobOptions
from app.main import create_app, server_config
from app.runtime.assembly import open_services
from app.runtime.services import Services
from app.settings import ROOT, Settings

SECONDS = 60.0  # that anything here may take
PICTURES = ROOT / "data" / "test_images"


@dataclass(frozen=True)
class Service:
    """A server that runs; `http` asks it without a browser."""

    url: str
    services: Services
    http: httpx.Client

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of an answer that is no problem."""
        answer = self.http.request(method, path, **request)
        assert answer.status_code < 400, answer.text
        return answer.json() if answer.content else None

    def job(self, **request: Any) -> dict[str, Any]:
        """What became of a job that is made of this request, when it has ended."""
        made = self.ask("POST", "/api/v1/images", **request)
        found: dict[str, Any] = wait(lambda: ended(self.ask("GET", made["url"])))
        return found


def ended(job: dict[str, Any]) -> dict[str, Any] | None:
    return job if job["finished_at"] else None


def wait(look: Any) -> Any:
    """What `look` finds at last."""
    until = monotonic() + SECONDS
    while not (found := look()):
        assert monotonic() < until, "this takes too long"
        sleep(0.05)
    return found


@contextmanager
def serving(server_url: str, name: str, folder: Path, **changes: Any) -> Iterator[Service]:
    """A server on a database and with folders of its own."""
    migrating.create_database(server_url, name)
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    settings = Settings(
        testing=True,
        database_url=url,
        postgres_dir=folder / "postgres",
        test_upload_dir=folder / "uploads",
        thumbnail_dir=folder / "thumbnails",
        search_rate="none",
        upload_rate="none",
        **changes,
    )
    with open_services(settings) as services, services.working(), bound() as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with running(settings, services, listener), httpx.Client(base_url=address) as http:
            yield Service(address, services, http)


@contextmanager
def bound() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


@contextmanager
def running(settings: Settings, services: Services, listener: socket.socket) -> Iterator[None]:
    app = create_app(settings, services)
    server = uvicorn.Server(server_config(app, settings.keep_alive_seconds))
    app.state.is_stopping = lambda: server.should_exit
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
    thread.start()
    try:
        wait(lambda: server.started)
        yield
    finally:
        server.should_exit = True
        thread.join()


def index(services: Services, folder: Path) -> None:
    """Take a folder's pictures in."""
    job_id = services.job_submission.folder(folder, JobOptions(), anew=True)
    job = services.job_submission.follow(job_id, lambda job: None, threading.Event())
    assert job.failed == 0
