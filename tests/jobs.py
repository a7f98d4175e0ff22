"""Jobs made over HTTP, followed to their end."""

import io
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Thread
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import text

from app.assembly import Services
from app.db import Sessions

IMAGES = "/api/v1/images"
JOBS = "/api/v1/jobs"
SECONDS = 30.0  # that any job of these tests may take

Details = dict[str, Any]
Answer = Any  # httpx's, or its successor's: Starlette takes what is there


def send(client: TestClient, *files: tuple[str, bytes], **fields: str) -> Answer:
    """Files as one form."""
    sent = [("files", file) for file in files]
    return client.post(IMAGES, files=sent, data=fields)


def send_archive(client: TestClient, data: bytes, **fields: str) -> Answer:
    return client.post(IMAGES, files={"archive": ("many.zip", data)}, data=fields)


def zipped(files: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> bytes:
    """A zip in memory; link.jpg is a symbolic link."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = packing
            if name == "link.jpg":
                info.create_system, info.external_attr = 3, 0o120777 << 16
            archive.writestr(info, data)
    return out.getvalue()


def accepted(answer: Answer) -> str:
    """Where the job is that an answer of 202 names."""
    assert answer.status_code == 202, answer.text
    url: str = answer.json()["url"]
    assert answer.headers["location"] == url
    return url


def ended(client: TestClient, url: str) -> Details:
    """The job once it has ended."""
    deadline = time.monotonic() + SECONDS
    while True:
        job: Details = client.get(url).json()
        if job["finished_at"]:
            return job
        assert time.monotonic() < deadline, f"still {job}"
        time.sleep(0.03)


def done(client: TestClient, answer: Answer) -> Details:
    """The job that an answer names, once it has ended."""
    return ended(client, accepted(answer))


def counts(job: Details) -> dict[str, int]:
    """The counts that are not 0, but for those that others add up to."""
    outcomes = (
        *("total", "added", "changed", "moved", "removed", "gone"),
        *("unchanged", "duplicate", "failed", "cancelled"),
    )
    return {name: job[name] for name in outcomes if job[name]}


def items(client: TestClient, job: Details, **query: str) -> list[Details]:
    answer = client.get(f"{JOBS}/{job['id']}/items", params=query)
    assert answer.status_code == 200, answer.text
    found: list[Details] = answer.json()["items"]
    return found


def reasons(client: TestClient, job: Details) -> dict[str, str]:
    """Why each file failed that did."""
    return {item["path"]: item["reason"] for item in items(client, job, state="failed")}


def row_count(sessions: Sessions) -> int:
    with sessions.begin() as session:
        return int(session.execute(text("SELECT count(*) FROM images")).scalar_one())


def staged(services: Services) -> list[str]:
    """The names of the files that wait for a worker."""
    return [path.name for path in services.intake.incoming.files()]


@contextmanager
def working(services: Services) -> Iterator[None]:
    """The queue is worked on for a while; `services.working` would do so only once."""
    worker = replace(services.worker)
    thread = Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()
        worker.interrupt.clear()
