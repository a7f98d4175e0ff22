"""The real server, started as users start it, in its own process and with its own folders."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import make_url, text

from app.catalog import collections
from app.database import connections
from app.database.embedded.embedded_postgres import embedded_server
from app.index import vector_indexes
from app.settings import DATABASE, ROOT
from app.vectors import Vectors
from benchmarks.load import HOST, RequestFailed
from scripts.generated_vectors import copy_vectors, insert_images

MODEL = "ViT-B-32"
PASSED_ON = ("PATH", "HOME", "RUNTIME", "PRECISION", "DEVICE", "CUDA_VISIBLE_DEVICES")
FLOAT = "bf16"  # a precision; `auto` would take int8 where there are pictures to calibrate it on
START_SECONDS = 900.0  # limit; the first start converts the model and times the runtimes
STOP_SECONDS = 60.0
LOOK_SECONDS = 0.02  # between checks whether it is ready
JOB_LOOK_SECONDS = 0.1  # between checks of a job
JOB_SECONDS = 3_600.0  # time limit of a job
REQUEST_SECONDS = 60.0
TOLD = 2_000  # characters shown of a log
READY = "Ready:"


@dataclass(frozen=True)
class Server:
    """A running server; `started` is the seconds it took to be ready, `data` its folder."""

    port: int
    process: psutil.Process
    started: float
    log: Path
    data: Path

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send one request to the API. Raises RequestFailed."""
        status, answer = _asked(self.port, method, path, body)
        if status >= 300:
            raise RequestFailed(f"{method} {path}: {status} {answer}")
        return answer

    def hand_in(self, folder: Path) -> str:
        """Have the folder indexed; returns the address of the job."""
        source = {"source": {"folder": str(folder)}}
        return str(self.ask("POST", "/api/v1/images", source)["url"])

    def memory(self) -> int:
        """The process's resident memory (RSS) in bytes."""
        return int(self.process.memory_info().rss)


@dataclass(frozen=True)
class Model:
    """The weights to load, and the folder that keeps their conversions."""

    checkpoint: Path
    cache: Path


def environment(
    folder: Path, model: Model, sources: Path | None = None, precision: str | None = None
) -> dict[str, str]:
    """Variables for a server that keeps everything below `folder`, without the user's settings.

    `precision` is by default that of PRECISION, and FLOAT without one.
    """
    empty = folder / "empty"
    empty.mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        "PRECISION": FLOAT,
        **kept,
        **({"PRECISION": precision} if precision else {}),
        "ENV_FILE": os.devnull,
        "CLIP_MODEL": MODEL,
        "CLIP_PRETRAINED": str(model.checkpoint),
        "MODEL_CACHE_DIR": str(model.cache),
        "HF_HUB_OFFLINE": "1",
        "POSTGRES_DIR": str(folder / "postgres"),
        "IMAGES_DIR": str(empty),
        "UPLOAD_DIR": str(folder / "uploads"),
        "THUMBNAIL_DIR": str(folder / "thumbnails"),
        "SOURCE_DIRS": str(sources or empty),
        "SEARCH_RATE": "none",
        "UPLOAD_RATE": "none",
    }


@contextmanager
def serving(
    folder: Path, model: Model, sources: Path | None = None, precision: str | None = None
) -> Iterator[Server]:
    """A server that is ready and has scanned its folder; stopped when the block ends."""
    port = _free_port()
    own = {**environment(folder, model, sources, precision), "API_PORT": str(port)}
    log = folder / "server.log"
    began = time.perf_counter()
    with log.open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.main"],
            cwd=ROOT, env=own, stdout=told, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        _wait(process, log, lambda: _is_ready(port))
        started = time.perf_counter() - began
        _wait(process, log, lambda: READY in log.read_text())
        yield Server(port, psutil.Process(process.pid), started, log, folder)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(process: "subprocess.Popen[bytes]", log: Path, reached: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not reached():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RequestFailed(f"the server does not start:\n{log.read_text()[-TOLD:]}")
        time.sleep(LOOK_SECONDS)


def _is_ready(port: int) -> bool:
    try:
        return _asked(port, "GET", "/readyz")[0] == 200
    except OSError:
        return False


def _asked(
    port: int, method: str, path: str, body: Mapping[str, Any] | None = None
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(HOST, port, timeout=REQUEST_SECONDS)
    try:
        sent = json.dumps(body) if body else None
        connection.request(method, path, sent, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


@dataclass(frozen=True)
class Ingested:
    """A finished job: pictures, seconds until the last was searchable, and seconds to its end."""

    pictures: int
    searchable: float
    ended: float


def follow(server: Server, job: str, began: float) -> Ingested:
    """Wait for the end of a job submitted at `began`, a time of time.perf_counter."""
    searchable = None
    while time.perf_counter() - began < JOB_SECONDS:
        state = server.ask("GET", job)
        seconds = time.perf_counter() - began
        if searchable is None and is_searchable(state):
            searchable = seconds
        if state["finished_at"]:
            if state["added"] != state["total"]:
                raise RequestFailed(f"{job}: of {state['total']} pictures {state['added']} added")
            return Ingested(int(state["added"]), searchable or seconds, seconds)
        time.sleep(JOB_LOOK_SECONDS)
    raise RequestFailed(f"{job} has not ended for {JOB_SECONDS:.0f} s")


def is_searchable(state: Mapping[str, Any]) -> bool:
    """Whether a job has written its last row; only the graph and the census are left to do."""
    return bool(state["listed"] and state["done"] == state["total"])


def fill(folder: Path, vectors: Vectors) -> None:
    """Insert pictures without files, and their vectors, into a database made by a server."""
    with embedded_server(folder / "postgres") as url:
        engine = connections.open_engine(
            make_url(url).set(database=DATABASE).render_as_string(hide_password=False)
        )
        sessions = connections.open_sessions(engine)
        with sessions.begin() as session:
            collection = collections.default(session).id
            index = vector_indexes.active_index(session, collection)
            vector_indexes.drop_hnsw_if_empty(session, index)
            insert_images(session, collection, ["{}"] * len(vectors))
            copy_vectors(session, index, vectors)
        with sessions.begin() as session:
            vector_indexes.build_hnsw(session, index)
        with sessions() as session:
            session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
            session.execute(text(f"VACUUM (ANALYZE) images, {index.partition}"))
        engine.dispose()
