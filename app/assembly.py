"""Settings to services: all that a process works with, opened in order and closed again."""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from app import db, indexes
from app.buckets import Buckets
from app.db import Sessions
from app.download import Downloader
from app.duplicates import Duplicates
from app.encoders.resident import Resident
from app.gallery import Gallery
from app.ingest import Ingest
from app.intake import ANYWHERE, Intake
from app.listing import Listing
from app.postgres import embedded_server
from app.preparation import Means
from app.reconciling import Reconciling
from app.search import Search
from app.settings import DEMO_MODEL_DIR, ROOT, Settings
from app.sources import Sources
from app.storage import Disk
from app.tables import VectorIndex
from app.unpacking import Bounds
from app.uploads import Uploads
from app.worker import Worker

if TYPE_CHECKING:
    from app.encoders.openclip import OpenClipEncoder

MEGA = 1_000_000
DEMO_MODEL = "demo model"
INCOMING = ".incoming"  # below the uploads: bytes that wait for a worker
DECODING_THREADS = max(2, os.cpu_count() or 2)
FETCHING_THREADS = 8
POLITE_THREADS = max(1, DECODING_THREADS // 2)
DECODING_NICENESS = 10


@dataclass(frozen=True)
class Services:
    """All that the routes and the scripts work with."""

    encoder: Resident
    search: Search
    uploads: Uploads
    gallery: Gallery
    duplicates: Duplicates
    intake: Intake
    worker: Worker
    reconciling: Reconciling

    @property
    def model_name(self) -> str:
        """What answers: `demo model`, or the name and tag of a real one."""
        return self.encoder.space.name

    @contextmanager
    def working(self) -> Iterator[None]:
        """Have the queue worked on by a thread of this process."""
        thread = threading.Thread(target=self.worker.run, name="worker")
        thread.start()
        try:
            yield
        finally:
            self.worker.stop()
            thread.join()


@contextmanager
def open_services(settings: Settings) -> Iterator[Services]:
    """Start or reach Postgres, migrate, load and warm the model; undo all of it at the end.

    Raises a StartError that says what is missing.
    """
    with ExitStack() as stack:
        encoder = Resident(lambda: _load_encoder(settings), settings.batch_size)
        stack.callback(encoder.close)
        encoder.load_ahead()  # torch's import and Postgres's start take seconds each: side by side
        url = stack.enter_context(database(settings))
        engine = db.open_engine(url)
        stack.callback(engine.dispose)
        db.migrate(engine)
        sessions = db.open_sessions(engine)
        space = encoder.space
        with sessions.begin() as session:
            index = indexes.open_index(session, indexes.default_collection(session), space)
        threads = ThreadPoolExecutor(DECODING_THREADS, "decode", initializer=_step_back)
        fetchers = ThreadPoolExecutor(FETCHING_THREADS, "fetch", initializer=_step_back)
        stack.enter_context(threads)
        stack.enter_context(fetchers)
        assembly = _Assembly(settings, url, sessions, encoder, index, threads, fetchers)
        yield assembly.services()


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


def _step_back() -> None:
    """Give this thread's time to whoever answers a search, where the system can."""
    if sys.platform == "linux":  # where a thread has a niceness of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), DECODING_NICENESS)


@dataclass(frozen=True)
class _Assembly:
    """What is open, and how it is put together."""

    settings: Settings
    url: str
    sessions: Sessions
    encoder: Resident
    index: VectorIndex
    threads: ThreadPoolExecutor
    fetchers: ThreadPoolExecutor

    def services(self) -> Services:
        kept, incoming, thumbnails = self._disks()
        settings, sessions, index = self.settings, self.sessions, self.index
        pixels, batch = settings.max_megapixels, settings.batch_size
        file_bytes = int(settings.max_file_mb * MEGA)
        sources = Sources(ROOT, open_buckets(settings))
        uploads = Uploads(sessions, self.encoder, index, kept, ROOT, pixels, settings.keep_gps)
        means = Means(
            sessions,
            self.encoder.prepare,
            sources,
            uploads,
            incoming,
            Downloader(file_bytes, settings.download_allow),
            pixels,
            file_bytes,
            settings.keep_gps,
        )
        stop = threading.Event()  # the worker's
        ingest = Ingest(
            means,
            self.encoder,
            index,
            thumbnails,
            self.threads,
            self.fetchers,
            threading.Semaphore(POLITE_THREADS),
            stop,
        )
        listing = Listing(
            sessions,
            index,
            sources,
            incoming,
            thumbnails,
            Bounds(max_file_bytes=file_bytes),
            batch,
            stop,
        )
        queue = f"disk {kept.identity()}"
        return Services(
            encoder=self.encoder,
            search=Search(sessions, self.encoder, index, pixels),
            uploads=uploads,
            gallery=Gallery(
                sessions,
                sources,
                kept,
                thumbnails,
                index.collection_id,
                pixels,
                file_bytes,
                settings.s3_presign_seconds if settings.s3_serve == "presigned" else None,
            ),
            duplicates=Duplicates(sessions, index),
            intake=Intake(
                sessions,
                index.collection_id,
                incoming,
                queue,
                (settings.source_dir, *settings.source_dirs),
                tuple(filter(None, (settings.s3_bucket, *settings.s3_buckets))),
                batch,
            ),
            worker=Worker(
                self.url, sessions, listing, ingest, (queue, ANYWHERE), settings.lease_seconds
            ),
            reconciling=Reconciling(
                sessions,
                self.encoder,
                index,
                sources,
                kept,
                incoming,
                thumbnails,
                pixels,
                file_bytes,
                batch,
            ),
        )

    def _disks(self) -> tuple[Disk, Disk, Disk]:
        kept = Disk(self.settings.storage_dir)
        incoming = Disk(self.settings.storage_dir / INCOMING)
        thumbnails = Disk(self.settings.thumbnail_dir)
        for disk in (kept, incoming, thumbnails):
            disk.sweep()
        return kept, incoming, thumbnails


def open_buckets(settings: Settings) -> Buckets:
    """The buckets that the settings have keys to; nothing is asked yet."""
    secret = settings.s3_secret_access_key
    return Buckets(
        settings.s3_endpoint_url,
        settings.s3_access_key_id,
        secret.get_secret_value() if secret else None,
        settings.s3_region,
    )
