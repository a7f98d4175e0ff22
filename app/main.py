"""The program: settings to services to application, and the process that serves it."""

import errno
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import uvicorn
from fastapi import FastAPI
from sqlalchemy import make_url
from tqdm import tqdm

from app import catalog, db
from app.encoders.resident import Resident
from app.errors import ImageSearchError, PlaceInUse, SettingsInvalid, StartError
from app.gallery import Gallery
from app.ingest import Ingest, Progress
from app.postgres import embedded_server, sole_owner
from app.search import Search
from app.settings import DEMO_MODEL_DIR, ROOT, Settings
from app.storage import Disk
from app.uploads import Uploads
from app.web import classic, images, problems, system
from app.web.body_limit import MEGA, BodyLimit

if TYPE_CHECKING:
    from app.encoders.openclip import OpenClipEncoder

log = logging.getLogger(__name__)

DEMO_MODEL = "demo model"
DEMO_NOTE = "It knows drawings of single things on plain scenes, not photographs."
DEFAULT_IMAGES = ROOT / Settings.model_fields["images_dir"].default
SHUTDOWN_SECONDS = 10  # how long requests under way may take to end after Ctrl-C


@dataclass(frozen=True)
class Services:
    """All that the routes and the scripts work with."""

    encoder: Resident
    search: Search
    uploads: Uploads
    ingest: Ingest
    gallery: Gallery

    @property
    def model_name(self) -> str:
        """What answers: `demo model`, or the name and tag of a real one."""
        return self.encoder.space.name


@contextmanager
def open_services(settings: Settings) -> Iterator[Services]:
    """Start or reach Postgres, migrate, load and warm the model; undo all of it at the end.

    Raises a StartError that says what is missing.
    """
    with ExitStack() as stack:
        encoder = Resident(lambda: _load_encoder(settings), settings.batch_size)
        stack.callback(encoder.close)
        encoder.load_ahead()  # torch's import and Postgres's start take seconds each: side by side
        engine = db.open_engine(stack.enter_context(database(settings)))
        stack.callback(engine.dispose)
        db.migrate(engine)
        sessions = db.open_sessions(engine)
        space = encoder.space
        with sessions.begin() as session:
            collection_id = catalog.default_collection(session)
            index = catalog.open_index(session, collection_id, space)
        kept, thumbnails = Disk(settings.storage_dir), Disk(settings.thumbnail_dir)
        kept.sweep()
        thumbnails.sweep()
        pixels, batch = settings.max_megapixels, settings.batch_size
        file_bytes = int(settings.max_file_mb * MEGA)
        yield Services(
            encoder=encoder,
            search=Search(sessions, encoder, index, pixels),
            uploads=Uploads(sessions, encoder, index, kept, ROOT, pixels, batch),
            ingest=Ingest(sessions, encoder, index, ROOT, pixels, file_bytes, batch),
            gallery=Gallery(sessions, kept, thumbnails, ROOT, collection_id, pixels),
        )


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The URL of the database to use, its server running."""
    if settings.database_url:
        yield settings.database_url
        return
    with embedded_server(settings.postgres_dir) as url:
        db.create_database(url, settings.database_name)
        mine = make_url(url).set(database=settings.database_name)
        yield mine.render_as_string(hide_password=False)


def _load_encoder(settings: Settings) -> "OpenClipEncoder":
    hand_over_hub_settings(settings)
    from app.encoders import openclip

    if settings.testing:
        return openclip.load(f"local-dir:{DEMO_MODEL_DIR}", "", settings.device, DEMO_MODEL)
    return openclip.load(settings.clip_model, settings.clip_pretrained, settings.device)


def hand_over_hub_settings(settings: Settings) -> None:
    """huggingface_hub reads its settings from the environment when it is imported."""
    for name in ("hf_home", "hf_endpoint"):
        if value := getattr(settings, name):
            os.environ[name.upper()] = value
    if settings.hf_hub_offline:
        os.environ["HF_HUB_OFFLINE"] = "1"


def create_app(settings: Settings, services: Services) -> FastAPI:
    """The application on services that are open."""
    app = FastAPI(
        title="Image search",
        description=_description(services.model_name),
    )
    app.add_middleware(BodyLimit, max_bytes=int(settings.max_upload_mb * MEGA))
    app.state.services = services
    for router in (classic.router, images.router, system.router):
        app.include_router(router)
    problems.install(app)
    return app


def _description(model_name: str) -> str:
    note = f" {DEMO_NOTE}" if model_name == DEMO_MODEL else ""
    return f"Find pictures by words and by picture. Model: {model_name}.{note}"


def serve(settings: Settings) -> None:
    """Serve until a signal. Raises a StartError where it cannot begin."""
    sole = nullcontext() if settings.database_url else sole_owner(settings.postgres_dir)
    with _listener(settings.api_host, settings.api_port) as listener, sole:
        print(
            f"Starting with {'the demo model' if settings.testing else settings.clip_model} …",
            flush=True,
        )
        with open_services(settings) as services:
            config = uvicorn.Config(
                create_app(settings, services),
                log_level="warning",
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
            server = uvicorn.Server(config)
            stop = threading.Event()
            indexing = threading.Thread(
                target=_index_source, args=(settings, services, server, stop), name="indexing"
            )
            indexing.start()
            try:
                server.run(sockets=[listener])
            finally:
                stop.set()
                indexing.join()


def _index_source(
    settings: Settings, services: Services, server: uvicorn.Server, stop: threading.Event
) -> None:
    """Index the folder of the settings while the server answers, then say that all is ready."""
    try:
        if settings.source_dir == DEFAULT_IMAGES:
            DEFAULT_IMAGES.mkdir(parents=True, exist_ok=True)
        with progress_bar(disable=None, leave=False) as show:
            report = services.ingest.index_folder(settings.source_dir, progress=show, stop=stop)
        for refusal in report.refused:
            print(f"Refused: {refusal.path}: {refusal.reason}", flush=True)
    except ImageSearchError as error:
        print(f"Not indexed: {error}", file=sys.stderr)
        services.ingest.build_graph()  # what is uploaded wants it
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
def progress_bar(**options: Any) -> Iterator[Progress]:
    """A bar of pictures and pictures/s, as the callable that a folder's run reports to."""
    with tqdm(desc="Indexing", unit=" pictures", **options) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


@contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    """A socket bound to the address, so that a port that is taken is known before all else.

    Raises PlaceInUse naming the process that has it, or SettingsInvalid.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()  # two sockets may be bound while neither listens
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PlaceInUse(
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
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    unwind_on_signals()
    try:
        with suppress(KeyboardInterrupt):
            serve(Settings.load())
    except StartError as error:
        sys.exit(f"Cannot start. {error}")
    print("\nStopped.")


if __name__ == "__main__":
    main()
