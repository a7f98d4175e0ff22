"""The program: it reads the settings, opens the services and serves the application.

The application itself is made in `app.web.application`.
"""

import errno
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

import psutil
import uvicorn
from fastapi import FastAPI
from limits import RateLimitItem, parse

from app import VERSION, logs
from app.access.authentication import check_address
from app.database.embedded.data_folder import sole_owner
from app.errors import ResourceInUse, SettingsInvalid, StartError
from app.ingest.folder_watcher import FolderWatcher
from app.ingest.jobs import task_queue
from app.ingest.jobs.job_submission import JobOptions
from app.runtime.assembly import open_services
from app.runtime.backup.schedule import BackupSchedule
from app.runtime.collection_assembly import MEGA
from app.runtime.models import DEMO_MODEL, check_further_models, default_model, is_named
from app.runtime.progress_bar import progress_bar
from app.runtime.services import Services
from app.runtime.setting_checks import DEFAULT_IMAGES, check_places
from app.runtime.shutdown import JOIN_SECONDS, exit_process, join, unwind_on_signals
from app.setting_names import warn_of_unknown_variables
from app.setting_types import NO_RATE
from app.settings import SEARCH_RATE, UPLOAD_RATE, Settings
from app.sources.ignored_names import IgnoredNames
from app.web import application
from app.web.application import HttpLimits
from app.web.map_tiles import MapTiles
from app.web.middleware.http_protocol import BoundedProtocol, most_connections
from app.web.middleware.rate_limits import KEYS_RATE, Lane

log = logging.getLogger(__name__)

BackgroundTask = Callable[[threading.Event], None]
"""Runs beside the server until the event is set."""

STOP_POLL_SECONDS = 0.1  # between looks for the signal
NO_DEMO_BACKUPS = (
    "IMAGE_SEARCH_BACKUP_DIR: the demo (TESTING=1) is not backed up. Without TESTING=1 the server "
    "makes backups."
)
SHUTDOWN_SECONDS = 5  # that running requests have to end after Ctrl-C


def create_app(settings: Settings, services: Services) -> FastAPI:
    """The application around services that are open, with the limits of the settings."""
    limits = HttpLimits(
        max_upload_bytes=int(settings.max_upload_mb * MEGA),
        max_archive_bytes=int(settings.max_archive_mb * MEGA),
        rates={
            "search": _rate(settings.search_rate or SEARCH_RATE),
            "upload": _rate(settings.upload_rate or UPLOAD_RATE),
            "keys": _rate(KEYS_RATE),
        },
        unlimited_while_open=_unlimited_while_open(settings),
        max_searches=settings.max_searches,
        max_uploads=settings.max_uploads,
        cors_origins=settings.cors_origins,
    )
    tiles = MapTiles(settings.map_tiles, settings.map_attribution) if settings.map_tiles else None
    return application.create_app(services, limits, settings.root_path, tiles)


def _unlimited_while_open(settings: Settings) -> frozenset[Lane]:
    """Lanes whose rates nobody has set: a service that is open to this machine has no others."""
    set_by_user: dict[Lane, str | None] = {
        "search": settings.search_rate,
        "upload": settings.upload_rate,
    }
    return frozenset(lane for lane, rate in set_by_user.items() if rate is None)


def _rate(text: str) -> RateLimitItem | None:
    return None if text == NO_RATE else parse(text)


def serve(settings: Settings) -> None:
    """Serve until a signal. Raises a StartError if the server cannot start."""
    check_places(settings)
    sole = nullcontext() if settings.database_url else sole_owner(settings.postgres_dir)
    with _listener(settings.api_host, settings.api_port) as listener, sole:
        print(f"Starting version {VERSION}{_with_model(settings)} …", flush=True)
        with open_services(settings, tell=partial(print, flush=True)) as services:
            check_further_models(settings, services.sessions)
            _warn_without_worker(settings, services)
            check_address(settings.api_host, settings.allow_anonymous, services.sessions)
            app = create_app(settings, services)
            server = uvicorn.Server(server_config(app, settings.keep_alive_seconds))
            app.state.is_stopping = lambda: server.should_exit  # ends event streams
            with services.working() if settings.worker == "embedded" else nullcontext():
                _run(
                    server,
                    listener,
                    partial(_index_source, settings, services, server),
                    *(partial(_watch, settings, services, one) for one in settings.watch_dirs),
                    partial(_stop_worker, services, server),
                    *services.model_changes,
                    *_backups(settings),
                )


def _warn_without_worker(settings: Settings, services: Services) -> None:
    if settings.worker == "none":
        with services.sessions.begin() as session:
            if not task_queue.has_worker(session):
                log.warning("%s Until then jobs wait.", task_queue.NO_WORKER)


def _with_model(settings: Settings) -> str:
    """Which model it starts with, where that is known before the database is."""
    if settings.testing:
        return " with the demo model"
    return f" with {default_model(settings).model}" if is_named(settings) else ""


def server_config(app: FastAPI, keep_alive_seconds: int) -> uvicorn.Config:
    """How uvicorn serves the application: with limits on connections, idle time and shutdown."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        log_config=None,
        log_level="warning",
        limit_concurrency=most_connections(),
        timeout_keep_alive=keep_alive_seconds,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def _run(server: uvicorn.Server, listener: socket.socket, *tasks: BackgroundTask) -> None:
    """Serve until a signal, each task on a thread of its own meanwhile."""
    stop = threading.Event()
    threads = [threading.Thread(target=task, args=(stop,), name=_name(task)) for task in tasks]
    for thread in threads:
        thread.start()
    try:
        server.run(sockets=[listener])
    finally:
        print("Stopping.", flush=True)
        stop.set()
        latest = time.monotonic() + JOIN_SECONDS  # for all of them: several may wait for a disk
        for thread in threads:
            join(thread, max(0.0, latest - time.monotonic()))


def _name(task: BackgroundTask) -> str:
    return str(getattr(task, "func", task).__name__).strip("_")


def _stop_worker(services: Services, server: uvicorn.Server, stop: threading.Event) -> None:
    """Have the worker stop at the signal, while the last requests are answered."""
    while not server.should_exit and not stop.wait(STOP_POLL_SECONDS):
        pass
    services.worker.stop()


def _backups(settings: Settings) -> Iterator[BackgroundTask]:
    """Backups by themselves; the demo makes none, since it would replace those of one's own."""
    if settings.backup_dir is None:
        return
    if settings.testing:
        print(NO_DEMO_BACKUPS, flush=True)
        return
    yield BackupSchedule(settings, settings.backup_dir).make_backups


def _watch(settings: Settings, services: Services, folder: Path, stop: threading.Event) -> None:
    """Index what changes in a folder of WATCH_DIRS, until the event is set."""
    try:
        FolderWatcher(
            job_submission=services.job_submission,
            folder=folder,
            ignored=IgnoredNames(settings.ignored_names),
            poll_seconds=settings.watch_poll_seconds,
        ).run(stop)
    except Exception:  # the server keeps running
        log.exception("Watching %s failed", folder)


def _index_source(
    settings: Settings, services: Services, server: uvicorn.Server, stop: threading.Event
) -> None:
    """Index the settings' folder while the server answers, then print `Ready:`."""
    try:
        if settings.source_dir == DEFAULT_IMAGES:
            DEFAULT_IMAGES.mkdir(parents=True, exist_ok=True)
        job_id = services.job_submission.folder(
            settings.source_dir, JobOptions(follow_links=True), anew=True
        )
        if settings.worker == "embedded":
            with progress_bar(disable=None, leave=False) as show:
                job = services.job_submission.follow(job_id, show, stop)
            _show_refusals(services, job_id)
            if job.reason:
                print(f"Indexing did not finish: {job.reason}", file=sys.stderr)
    except Exception:  # the server keeps running
        log.exception("Indexing %s failed", settings.source_dir)
    while not server.started and not stop.wait(0.01):
        pass
    if not stop.is_set():
        demo = f" [{DEMO_MODEL}]" if services.model_name == DEMO_MODEL else ""
        found = services.gallery.totals()
        where = f" in {found.collections} collections" if found.collections > 1 else ""
        print(
            f"Ready: {settings.address} ({found.pictures} images indexed{where}){demo}", flush=True
        )


def _show_refusals(services: Services, job_id: int) -> None:
    if log.isEnabledFor(logging.INFO):  # the worker logs them
        return
    for item in services.job_submission.every(job_id, "failed"):
        print(f"Refused: {item.path}: {item.reason}", flush=True)


@contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket, opened before anything else so that a taken port is reported at once.

    Raises ResourceInUse naming the process that has the port, or SettingsInvalid.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()  # two sockets can be bound to one port, but only one can listen
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ResourceInUse(
                    f"Port {port} is in use by {_listening_process(port)}. Stop that first, or set "
                    "IMAGE_SEARCH_API_PORT to another port."
                ) from None
            raise SettingsInvalid(
                f"IMAGE_SEARCH_API_HOST={host} IMAGE_SEARCH_API_PORT={port}: "
                f"{error.strerror or error}."
            ) from None
        yield listener


def _listening_process(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            if listens and connection.pid is not None:  # None: another user's
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f"process {connection.pid} ({command})"
    except psutil.Error:  # another user's process is not readable
        pass
    return "another process"


def main() -> NoReturn:
    """The entry point of `make start`."""
    exit_process(_served())


def _served() -> int:
    """Serve until a signal; returns the exit status."""
    unwind_on_signals()
    try:
        settings = Settings.load()
        logs.configure(settings.log_format, settings.log_level)
        warn_of_unknown_variables(Settings.model_fields)
        with suppress(KeyboardInterrupt):
            serve(settings)
    except StartError as error:
        print(f"Cannot start. {error}", file=sys.stderr)
        return 1
    except SystemExit as signalled:  # see `unwind_on_signals`
        return int(signalled.code or 0)
    except Exception:  # Python would end under the thread that loads the model, and abort
        log.critical("The server ended with an error that it did not expect.", exc_info=True)
        return 1
    print("\nStopped.", flush=True)
    return 0


if __name__ == "__main__":
    main()
