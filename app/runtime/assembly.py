"""Settings to services: all that a process works with, opened in order and closed again."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from app.access.authentication import Authenticator, is_loopback
from app.catalog import collections
from app.catalog.collection_deletion import CollectionDeletion, disk_of, disks
from app.catalog.duplicates import Duplicates
from app.catalog.gallery import Gallery
from app.database import connections
from app.database.connections import Sessions
from app.database.tables import Collection, VectorIndex
from app.encoders.batching import Batcher
from app.encoders.model_pool import ModelPool
from app.encoders.resident import ResidentModel
from app.feedback.evaluation import FeedbackEvaluation
from app.feedback.query_adjustment import QueryAdjustment
from app.feedback.summaries import Summaries
from app.index import vector_indexes
from app.index.recall import Recall
from app.index.statistics import IndexStatistics
from app.ingest.batch_indexing import BatchIndexer
from app.ingest.job_submission import ANYWHERE, JobSubmission
from app.ingest.reading import ReadingContext
from app.ingest.source_listing import SourceLister
from app.ingest.uploads import Uploads
from app.runtime import parts
from app.runtime.collection_registry import CollectionRegistry, OpenCollection
from app.runtime.doctor import Doctor
from app.runtime.worker import Worker
from app.search.cursors import Cursors
from app.search.explanation import Explainer
from app.search.feedback_submission import FeedbackSubmission
from app.search.feedback_tokens import FeedbackTokens
from app.search.query_encoding import QUERY_SECONDS, QueryEncoder
from app.search.search import FlatAnswerCache, Search
from app.settings import ROOT, Settings
from app.sources.decompression import Bounds
from app.sources.download import Downloader
from app.sources.sources import Sources
from app.storage.disk import Disk

MEGA = 1_000_000
HOUR = 3_600  # seconds
INCOMING = ".incoming"  # below the uploads: bytes that wait for a worker
DECODING_THREADS = max(2, os.cpu_count() or 2)
FETCHING_THREADS = 8
POLITE_THREADS = max(1, DECODING_THREADS // 2)


@dataclass(frozen=True)
class Services:
    """All that the routes and the scripts work with."""

    encoder: ResidentModel
    device: str
    precision: str
    registry: CollectionRegistry
    gallery: Gallery
    cursors: Cursors
    tokens: FeedbackTokens
    summaries: Summaries
    access: Authenticator
    worker: Worker
    doctor: Doctor
    sessions: Sessions

    @property
    def model_name(self) -> str:
        """What answers: `demo model`, or the name and tag of a real one."""
        return self.encoder.space.name

    @property
    def search(self) -> Search:
        """Of the default collection, as what follows."""
        return self.registry.default.search

    @property
    def uploads(self) -> Uploads:
        """Takes pictures in at once."""
        return self.registry.default.uploads

    @property
    def job_submission(self) -> JobSubmission:
        """Takes jobs in."""
        return self.registry.default.job_submission

    @property
    def duplicates(self) -> Duplicates:
        """Finds pictures alike."""
        return self.registry.default.duplicates

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
        batcher = Batcher(settings.batch_size)
        stack.callback(batcher.close)
        model_pool = ModelPool(
            lambda name: parts.load_encoder(settings, name), batcher, settings.max_resident_models
        )
        encoder = model_pool.of(parts.default_model(settings))
        encoder.load_ahead()  # torch's import and Postgres's start take seconds each: side by side
        url = stack.enter_context(parts.database(settings))
        engine = connections.open_engine(url)
        stack.callback(engine.dispose)
        connections.migrate(engine)
        sessions = connections.open_sessions(engine)
        space = encoder.space
        with sessions.begin() as session:
            default = collections.default(session)
            index = vector_indexes.open_index(session, default.id, space)
        threads = ThreadPoolExecutor(DECODING_THREADS, "decode", initializer=parts.step_back)
        fetchers = ThreadPoolExecutor(FETCHING_THREADS, "fetch", initializer=parts.step_back)
        stack.enter_context(threads)
        stack.enter_context(fetchers)
        assembly = _Assembly(settings, url, sessions, model_pool, threads, fetchers)
        yield assembly.services(default, index, encoder)


class _Assembly:
    """What is open and shared by all collections, and how it is put together."""

    def __init__(
        self,
        settings: Settings,
        url: str,
        sessions: Sessions,
        model_pool: ModelPool,
        threads: ThreadPoolExecutor,
        fetchers: ThreadPoolExecutor,
    ) -> None:
        self.settings = settings
        self.url = url
        self.sessions = sessions
        self.model_pool = model_pool
        self.threads = threads
        self.fetchers = fetchers
        self.kept = Disk(settings.storage_dir)
        for disk in disks(self.kept):
            disk.sweep()
        self.incoming = _swept(Disk(settings.storage_dir / INCOMING))
        self.thumbnails = _swept(Disk(settings.thumbnail_dir))
        self.queue = f"disk {self.kept.identity()}"
        self.sources = Sources(ROOT, parts.open_buckets(settings))
        self.file_bytes = int(settings.max_file_mb * MEGA)
        allow = settings.download_allow
        self.downloader = Downloader(self.file_bytes, allow)
        query_bytes = int(settings.max_upload_mb * MEGA)  # as if it had been sent
        self.query_downloader = Downloader(query_bytes, allow, total_seconds=QUERY_SECONDS)
        self.weights = parts.weights(settings)
        self.measuring = threading.Lock()
        self.answer_cache = FlatAnswerCache(sessions)
        self.lanes = threading.Semaphore(POLITE_THREADS)
        self.interrupt = threading.Event()  # the worker stops

    def services(self, default: Collection, index: VectorIndex, encoder: ResidentModel) -> Services:
        settings, sessions = self.settings, self.sessions
        collection_deletion = CollectionDeletion(
            sessions, self.kept, self.incoming, self.thumbnails
        )
        registry = CollectionRegistry(
            sessions,
            self.model_pool,
            parts.further_models(settings),
            self.opened,
            collection_deletion,
            (default, index, encoder),
        )
        gallery = Gallery(
            sessions,
            self.sources,
            self.kept,
            self.thumbnails,
            default.id,
            settings.max_megapixels,
            self.file_bytes,
            settings.s3_presign_seconds if settings.s3_serve == "presigned" else None,
        )
        queues = (self.queue, ANYWHERE)
        lease = settings.lease_seconds
        worker = Worker(
            self.url, sessions, registry, collection_deletion, queues, lease, self.interrupt
        )
        doctor = Doctor(
            sessions,
            registry,
            self.sources,
            self.incoming,
            self.thumbnails,
            settings.max_megapixels,
            self.file_bytes,
            settings.batch_size,
        )
        signer = parts.open_signer(settings)
        loaded = encoder.load()
        return Services(
            encoder,
            loaded.device,
            loaded.precision,
            registry,
            gallery,
            Cursors(signer),
            FeedbackTokens(signer, settings.token_hours * HOUR),
            Summaries(sessions),
            Authenticator(
                sessions, settings.allow_anonymous, loopback=is_loopback(settings.api_host)
            ),
            worker,
            doctor,
            sessions,
        )

    def opened(
        self, collection: Collection, index: VectorIndex, encoder: ResidentModel
    ) -> OpenCollection:
        """All that works on one collection."""
        settings, sessions = self.settings, self.sessions
        pixels = settings.max_megapixels
        kept = disk_of(self.kept, collection)
        statistics = IndexStatistics(sessions, encoder, index, self.threads, self.interrupt)
        query_adjustment = QueryAdjustment(sessions, index, self.weights)
        queries = QueryEncoder(
            sessions, encoder, index, query_adjustment, self.query_downloader, pixels
        )
        uploads = Uploads(sessions, encoder, index, kept, ROOT, pixels, settings.keep_gps)
        return OpenCollection(
            collection,
            index,
            encoder,
            search=Search(sessions, index, queries, statistics, self.answer_cache),
            uploads=uploads,
            job_submission=self._intake(collection),
            duplicates=Duplicates(sessions, index),
            explainer=Explainer(sessions, queries, statistics, index),
            recall=Recall(sessions, encoder, index, self.measuring),
            listing=SourceLister(
                sessions,
                index,
                self.sources,
                self.incoming,
                self.thumbnails,
                Bounds(max_file_bytes=self.file_bytes),
                settings.batch_size,
                self.interrupt,
                statistics.measure,
            ),
            ingest=self._ingest(index, encoder, uploads),
            feedback_submission=FeedbackSubmission(sessions, encoder, index),
            evaluation=FeedbackEvaluation(sessions, index, self.weights, self.interrupt),
        )

    def _intake(self, collection: Collection) -> JobSubmission:
        settings = self.settings
        return JobSubmission(
            self.sessions,
            collection.id,
            self.incoming,
            self.queue,
            (settings.source_dir, *settings.source_dirs),
            tuple(filter(None, (settings.s3_bucket, *settings.s3_buckets))),
            settings.batch_size,
        )

    def _ingest(self, index: VectorIndex, encoder: ResidentModel, uploads: Uploads) -> BatchIndexer:
        means = ReadingContext(
            self.sessions,
            encoder.prepare,
            self.sources,
            uploads,
            self.incoming,
            self.downloader,
            self.settings.max_megapixels,
            self.file_bytes,
            self.settings.keep_gps,
        )
        return BatchIndexer(
            means,
            encoder,
            index,
            self.thumbnails,
            self.threads,
            self.fetchers,
            self.lanes,
            self.interrupt,
        )


def _swept(disk: Disk) -> Disk:
    disk.sweep()
    return disk
