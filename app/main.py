"""The program: settings to services to application, and the process that serves it."""

import errno
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

import limits
import psutil
import uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from limits import RateLimitItem
from tqdm import tqdm

from app import logs
from app.access.authentication import check_address
from app.database.embedded_postgres import sole_owner
from app.errors import ResourceInUse, SettingsInvalid, StartError
from app.ingest.folder_watcher import FolderWatcher
from app.ingest.job_submission import JobOptions
from app.ingest.jobs import Job
from app.runtime.assembly import MEGA, open_services
from app.runtime.models import DEMO_MODEL
from app.runtime.services import Services
from app.settings import NO_RATE, ROOT, Settings
from app.web import openapi_document, page, problems
from app.web.middleware.audit_log import AuditLog
from app.web.middleware.body_limit import BodyLimit
from app.web.middleware.body_timeout import BodyTimeout
from app.web.middleware.concurrency_limits import (
    MAX_EVENT_STREAMS,
    MAX_KEY_LOOKUPS,
    MAX_OTHER_REQUESTS,
)
from app.web.middleware.guard import Guard
from app.web.middleware.http_protocol import IDLE_SECONDS, BoundedProtocol, most_connections
from app.web.middleware.rate_limits import Lane
from app.web.middleware.request_metrics import RequestMetrics
from app.web.middleware.security_headers import SecurityHeaders
from app.web.routes import (
    collections,
    duplicates,
    explanation,
    feedback,
    flat,
    health,
    images,
    jobs,
    legacy,
    recall,
    search,
)

log = logging.getLogger(__name__)

DEMO_NOTE = "It knows drawings of single things on plain scenes, not photographs."
Beside = Callable[[threading.Event], None]
"""Runs beside the server until the event is set."""

DEFAULT_IMAGES = ROOT / Settings.model_fields["images_dir"].default
SUBJECTS = (
    *(flat, legacy, images, search, collections, explanation, recall, feedback, duplicates),
    *(jobs, health, page),
)
SHUTDOWN_SECONDS = 10  # how long requests under way may take to end after Ctrl-C


def create_app(settings: Settings, services: Services) -> FastAPI:
    """The application on services that are open."""
    app = FastAPI(
        title="Image search",
        description=_description(services.model_name),
        openapi_tags=openapi_document.TAGS,
        generate_unique_id_function=openapi_document.operation_id,
    )
    _add_middleware(app, settings)
    app.state.services = services
    app.state.guard = _guard(settings, services)
    app.state.is_stopping = lambda: False
    for module in SUBJECTS:
        app.include_router(module.router)
    problems.install(app)
    openapi_document.install(app)
    return app


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """The last one added is the first that a request meets."""
    app.add_middleware(BodyTimeout)
    app.add_middleware(
        BodyLimit,
        max_bytes=int(settings.max_upload_mb * MEGA),
        exceptions={jobs.ADD_IMAGES: int(settings.max_archive_mb * MEGA)},
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-Id"],
            expose_headers=["Location", "Retry-After", "X-Model", "X-Request-Id", "X-Search-Token"],
            allow_credentials=False,  # a key is sent on purpose, never by the browser itself
        )
    app.add_middleware(AuditLog)
    app.add_middleware(RequestMetrics)
    app.add_middleware(SecurityHeaders, embeddable=bool(settings.cors_origins))


def _guard(settings: Settings, services: Services) -> Guard:
    rates: dict[Lane, RateLimitItem | None] = {
        "search": _rate(settings.search_rate),
        "upload": _rate(settings.upload_rate),
    }
    max_concurrent: dict[Lane, int] = {
        "search": settings.max_searches,
        "upload": settings.max_uploads,
        "events": MAX_EVENT_STREAMS,
        "other": MAX_OTHER_REQUESTS,
        "keys": MAX_KEY_LOOKUPS,
    }
    return Guard(services.access, rates, max_concurrent, settings.cors_origins)


def _rate(text: str) -> RateLimitItem | None:
    return None if text == NO_RATE else limits.parse(text)


def _description(model_name: str) -> str:
    note = f" {DEMO_NOTE}" if model_name == DEMO_MODEL else ""
    return f"Find pictures by words and by picture. Model: {model_name}.{note}"


def serve(settings: Settings) -> None:
    """Serve until a signal. Raises a StartError where it cannot begin."""
    _check_watch_dirs(settings)
    sole = nullcontext() if settings.database_url else sole_owner(settings.postgres_dir)
    with _listener(settings.api_host, settings.api_port) as listener, sole:
        print(
            f"Starting with {'the demo model' if settings.testing else settings.clip_model} …",
            flush=True,
        )
        with open_services(settings) as services:
            check_address(settings.api_host, settings.allow_anonymous, services.sessions)
            app = create_app(settings, services)
            server = uvicorn.Server(server_config(app))
            app.state.is_stopping = lambda: server.should_exit  # for answers without an end
            with services.working() if settings.worker == "embedded" else nullcontext():
                _run(
                    server,
                    listener,
                    partial(_index_source, settings, services, server),
                    partial(_watch, settings, services),
                )


def server_config(app: FastAPI) -> uvicorn.Config:
    """How the application is served: with bounds on what clients may hold."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        log_config=None,
        log_level="warning",
        limit_concurrency=most_connections(),
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def _check_watch_dirs(settings: Settings) -> None:
    """Raises SettingsInvalid naming a folder that is not there."""
    for folder in settings.watch_dirs:
        if not folder.is_dir():
            raise SettingsInvalid(f"WATCH_DIRS: {folder} is not a folder. Create it first.")


def _run(server: uvicorn.Server, listener: socket.socket, *beside: Beside) -> None:
    """Serve until a signal, with each of `beside` on a thread of its own until then."""
    stop = threading.Event()
    threads = [threading.Thread(target=one, args=(stop,)) for one in beside]
    for thread in threads:
        thread.start()
    try:
        server.run(sockets=[listener])
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _watch(settings: Settings, services: Services, stop: threading.Event) -> None:
    """Keep the folders of WATCH_DIRS in step."""
    if settings.watch_dirs:
        try:
            FolderWatcher(services.job_submission, settings.watch_dirs).run(stop)
        except Exception:  # the server goes on; what is wrong is in its log
            log.exception("Watching %s failed", ", ".join(map(str, settings.watch_dirs)))


def _index_source(
    settings: Settings, services: Services, server: uvicorn.Server, stop: threading.Event
) -> None:
    """Index the folder of the settings while the server answers, then say that all is ready."""
    try:
        if settings.source_dir == DEFAULT_IMAGES:
            DEFAULT_IMAGES.mkdir(parents=True, exist_ok=True)
        job_id = services.job_submission.folder(settings.source_dir, JobOptions(), anew=True)
        if settings.worker == "embedded":
            with progress_bar(disable=None, leave=False) as show:
                job = services.job_submission.follow(job_id, show, stop)
            for item in services.job_submission.every(job_id, "failed"):
                print(f"Refused: {item.path}: {item.reason}", flush=True)
            if job.reason:
                print(f"Not indexed: {job.reason}", file=sys.stderr)
    except Exception:  # the server goes on; what is wrong is in its log
        log.exception("Indexing %s failed", settings.source_dir)
    while not server.started and not stop.wait(0.01):
        pass
    if not stop.is_set():
        demo = f" [{DEMO_MODEL}]" if services.model_name == DEMO_MODEL else ""
        print(
            f"Ready: {settings.address} ({services.gallery.count()} images indexed){demo}",
            flush=True,
        )


@contextmanager
def progress_bar(**options: Any) -> Iterator[Callable[[Job], None]]:
    """A bar of pictures and pictures/s, as the callable that a job is shown to."""
    with tqdm(desc="Indexing", unit=" pictures", **options) as bar:

        def show(job: Job) -> None:
            bar.total = job.total
            bar.update(job.done - bar.n)

        yield show


@contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    """A socket bound to the address, so that a port that is taken is known before all else.

    Raises ResourceInUse naming the process that has it, or SettingsInvalid.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()  # two sockets may be bound while neither listens
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ResourceInUse(
                    f"Port {port} is in use by {_listening_process(port)}. Stop that first, or "
                    "set API_PORT to another port."
                ) from None
            raise SettingsInvalid(
                f"API_HOST={host} API_PORT={port}: {error.strerror or error}."
            ) from None
        yield listener


def _listening_process(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            if listens and connection.pid is not None:  # None: another user's
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f"process {connection.pid} ({command})"
    except psutil.Error:  # another user's process may not be looked at
        pass
    return "another process"


def unwind_on_signals() -> None:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does: Postgres is stopped too."""

    def unwind(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, unwind)


def main() -> None:
    """The command of `make start`."""
    unwind_on_signals()
    try:
        settings = Settings.load()
        logs.configure(settings.log_format)
        with suppress(KeyboardInterrupt):
            serve(settings)
    except StartError as error:
        sys.exit(f"Cannot start. {error}")
    print("\nStopped.")


if __name__ == "__main__":
    main()
