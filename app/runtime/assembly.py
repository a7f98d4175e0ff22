"""Settings to services: all that a process works with, opened in order and closed again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from app.access.authentication import Authenticator, is_loopback
from app.access.signed_addresses import AddressSigner
from app.catalog.collection_deletion import CollectionDeletion, uploads_disk
from app.catalog.duplicates.duplicate_groups import Duplicates
from app.catalog.gallery import Gallery
from app.catalog.images.new_images import MetadataRules
from app.database.connections import Sessions, migrate, open_engine, open_sessions
from app.database.tables import Collection, VectorIndex
from app.encoders.batching import Batcher
from app.encoders.model_pool import ModelPool
from app.encoders.resident_model import ResidentModel
from app.feedback.evaluation import FeedbackEvaluation
from app.feedback.golden.golden_queries import GoldenQueries
from app.feedback.query_adjustment import QueryAdjustment
from app.feedback.rocchio import RocchioWeights
from app.feedback.summaries import Summaries
from app.index.recall import Recall
from app.index.statistics import IndexStatistics
from app.ingest.batch_indexing import BatchIndexer, ReadingPools
from app.ingest.jobs.job_submission import ANYWHERE, JobSubmission
from app.ingest.reading import ReadingContext, refusal_rules
from app.ingest.source_listing import SourceLister
from app.ingest.uploads import Uploads
from app.ingest.webhooks.delivery import Webhooks, key_of
from app.pictures.decoding import PictureLimits
from app.pictures.formats import read_jpeg_2000
from app.pictures.memory_budget import DECODING_MEMORY
from app.pictures.metadata.place_names import PlaceNames
from app.runtime import backing_services, models
from app.runtime.collection_registry import CollectionRegistry, OpenCollection
from app.runtime.default_collection import open_default
from app.runtime.doctor.doctor import Doctor
from app.runtime.evaluation.evaluation_work import EvaluationWork
from app.runtime.evaluation.evaluations import Evaluations
from app.runtime.reading_threads import open_reading_pools
from app.runtime.reindexing.automatic import AutomaticReindexing
from app.runtime.reindexing.generation_fill import GenerationFill
from app.runtime.reindexing.model_preloading import ModelPreloading
from app.runtime.reindexing.reindex_work import ReindexWork
from app.runtime.reindexing.reindexing import Reindexing
from app.runtime.services import Services
from app.runtime.stores import open_stores
from app.runtime.worker import Worker
from app.search.cursors import Cursors
from app.search.explanation.image_explanation import Explainer
from app.search.feedback_submission import FeedbackSubmission
from app.search.feedback_tokens import FeedbackTokens
from app.search.queries.language_notice import LanguageNotice
from app.search.queries.query_encoding import URL_FETCH_SECONDS, QueryEncoder
from app.search.search import FlatAnswerCache, Search
from app.search.suggestions.filter_suggestions import FilterSuggestions
from app.search.suggestions.known_names import KnownNames
from app.settings import ROOT, Settings
from app.sources.archives.decompression import ArchiveLimits
from app.sources.checked_connections import Connector
from app.sources.download import Downloader
from app.sources.ignored_names import IgnoredNames
from app.sources.source_access import Sources

MEGA = 1_000_000
HOUR = 3_600  # seconds


@contextmanager
def open_services(settings: Settings) -> Iterator[Services]:
    """Start or reach Postgres, migrate, load and warm the model; undo all of it at the end.

    Raises a StartError that says what is missing.
    """
    DECODING_MEMORY.set_limit(int(settings.decoding_memory_mb * MEGA))
    read_jpeg_2000(settings.read_jpeg_2000)
    with ExitStack() as stack:
        batcher = Batcher(settings.batch_size)
        stack.callback(batcher.close)
        model_pool = ModelPool(
            lambda name: models.load_encoder(settings, name), batcher, settings.max_resident_models
        )
        if models.is_named(settings):  # else the database tells which
            # torch's import and Postgres's start take seconds each: side by side
            model_pool.of(models.default_model(settings)).load_ahead()
        url = stack.enter_context(backing_services.database(settings))
        engine = open_engine(url)
        stack.callback(engine.dispose)
        migrate(engine)
        sessions = open_sessions(engine)
        default, index, encoder = open_default(settings, sessions, model_pool)
        pools = stack.enter_context(open_reading_pools())
        assembly = _Assembly(settings, url, sessions, model_pool, pools)
        stack.callback(assembly.interrupt.set)
        yield assembly.services(default, index, encoder)


def rocchio_weights(settings: Settings) -> RocchioWeights:
    """How much ratings may move a query."""
    return RocchioWeights(
        settings.feedback_liked,
        settings.feedback_disliked,
        settings.feedback_cap,
        settings.feedback_similarity,
        settings.feedback_half_life_days,
    )


class _Assembly:
    """What all collections share, and how services are made of it."""

    def __init__(
        self,
        settings: Settings,
        url: str,
        sessions: Sessions,
        model_pool: ModelPool,
        pools: ReadingPools,
    ) -> None:
        self.settings = settings
        self.url = url
        self.sessions = sessions
        self.model_pool = model_pool
        self.pools = pools
        self.stores = open_stores(settings, sessions)
        self.queue = f"disk {self.stores.uploads.identity()}"
        self.sources = Sources(
            ROOT,
            backing_services.open_buckets(settings),
            self.stores.uploads,
            IgnoredNames(settings.ignored_names),
        )
        self.limits = PictureLimits(settings.max_megapixels, int(settings.max_file_mb * MEGA))
        self.weights = rocchio_weights(settings)
        name = PlaceNames().of if settings.place_names else None
        self.rules = MetadataRules(settings.keep_gps, settings.zone, name)
        self.language_notice = LanguageNotice()
        self.measuring = threading.Lock()  # one measurement of recall at a time
        self.answer_cache = FlatAnswerCache(sessions)
        self.webhooks = self._webhooks()
        self.interrupt = threading.Event()  # set when the worker or the process stops

    def services(self, default: Collection, index: VectorIndex, encoder: ResidentModel) -> Services:
        settings, sessions = self.settings, self.sessions
        deletion = CollectionDeletion(sessions, self.stores)
        registry = CollectionRegistry(
            sessions,
            self.model_pool,
            models=[*models.further_models(settings), models.default_model(settings)],
            build=self.open_collection,
            deletion=deletion,
            default=(default, index, encoder),
        )
        signer = backing_services.open_signer(settings, sessions, self.stores.uploads.folder)
        fill = self._generation_fill(registry)
        reindexing = Reindexing(sessions, registry, fill, self.queue, settings.max_resident_models)
        loaded = encoder.load()
        return Services(
            encoder=encoder,
            device=loaded.device,
            precision=loaded.precision,
            registry=registry,
            gallery=self._gallery(default),
            cursors=Cursors(signer),
            tokens=FeedbackTokens(signer, settings.token_hours * HOUR),
            summaries=Summaries(sessions),
            golden_queries=GoldenQueries(sessions),
            evaluations=Evaluations(sessions, registry, self.queue, settings.max_resident_models),
            access=Authenticator(
                sessions, settings.allow_anonymous, loopback=is_loopback(settings.api_host)
            ),
            address_signer=AddressSigner(signer, settings.signed_url_hours * HOUR),
            worker=self._worker(registry, deletion, fill),
            doctor=self._doctor(registry),
            reindexing=reindexing,
            model_changes=self._model_changes(registry, reindexing),
            webhooks=self.webhooks,
            sessions=sessions,
        )

    def _model_changes(
        self, registry: CollectionRegistry, reindexing: Reindexing
    ) -> list[Callable[[threading.Event], None]]:
        most = self.settings.max_resident_models
        preloading = ModelPreloading(self.sessions, registry, most)
        found: list[Callable[[threading.Event], None]] = [preloading.preload_models]
        if self.settings.reindex == "auto":
            model = models.default_model(self.settings)
            automatic = AutomaticReindexing(self.sessions, registry, reindexing, model)
            found.append(automatic.change_model)
        return found

    def open_collection(
        self, collection: Collection, index: VectorIndex, encoder: ResidentModel
    ) -> OpenCollection:
        """All that works on one collection."""
        sessions = self.sessions
        statistics = IndexStatistics(sessions, encoder, index, self.pools.decoding, self.interrupt)
        queries = self._query_encoder(index, encoder)
        uploads = self._uploads(collection, index, encoder)
        names = KnownNames(sessions, self.pools.decoding)
        suggestions = FilterSuggestions.in_zone(self.settings.zone, names)
        return OpenCollection(
            collection,
            index,
            encoder,
            search=Search(sessions, index, queries, statistics, self.answer_cache, suggestions),
            uploads=uploads,
            job_submission=self._job_submission(collection),
            duplicates=Duplicates(sessions, index),
            explainer=Explainer(sessions, queries, statistics, index),
            recall=Recall(sessions, encoder, index, self.measuring),
            source_lister=self._source_lister(index, statistics),
            batch_indexer=self._batch_indexer(index, encoder, uploads),
            feedback_submission=FeedbackSubmission(sessions, encoder, index),
            evaluation=FeedbackEvaluation(sessions, index, self.weights, self.interrupt),
        )

    def _webhooks(self) -> Webhooks:
        secret = self.settings.webhook_secret
        key = key_of(secret.get_secret_value()) if secret else None
        return Webhooks(self.sessions, key, Connector(self.settings.download_allow))

    def _gallery(self, default: Collection) -> Gallery:
        settings = self.settings
        return Gallery(
            sessions=self.sessions,
            sources=self.sources,
            stores=self.stores,
            collection_id=default.id,
            limits=self.limits,
            presign_seconds=(
                settings.s3_presign_seconds if settings.s3_serve == "presigned" else None
            ),
        )

    def _generation_fill(self, registry: CollectionRegistry) -> GenerationFill:
        return GenerationFill(
            sessions=self.sessions,
            sources=self.sources,
            limits=self.limits,
            pools=self.pools,
            encoder_of=registry.encoder_of,
            batch_size=self.settings.batch_size,
            stop=self.interrupt,
        )

    def _worker(
        self, registry: CollectionRegistry, deletion: CollectionDeletion, fill: GenerationFill
    ) -> Worker:
        return Worker(
            url=self.url,
            sessions=self.sessions,
            registry=registry,
            collection_deletion=deletion,
            reindex_work=ReindexWork(self.sessions, registry, fill, self.settings.keep_generations),
            evaluation_work=EvaluationWork(self.sessions, registry, fill),
            webhooks=self.webhooks,
            queues=(self.queue, ANYWHERE),
            lease_seconds=self.settings.lease_seconds,
            interrupt=self.interrupt,
        )

    def _doctor(self, registry: CollectionRegistry) -> Doctor:
        return Doctor(
            sessions=self.sessions,
            registry=registry,
            sources=self.sources,
            stores=self.stores,
            limits=self.limits,
            batch_size=self.settings.batch_size,
        )

    def _query_encoder(self, index: VectorIndex, encoder: ResidentModel) -> QueryEncoder:
        settings = self.settings
        as_if_sent = int(settings.max_upload_mb * MEGA)
        return QueryEncoder(
            sessions=self.sessions,
            encoder=encoder,
            index=index,
            query_adjustment=QueryAdjustment(self.sessions, index, self.weights),
            downloader=Downloader(
                as_if_sent, settings.download_allow, total_seconds=URL_FETCH_SECONDS
            ),
            max_megapixels=settings.max_megapixels,
            language_notice=self.language_notice,
        )

    def _uploads(
        self, collection: Collection, index: VectorIndex, encoder: ResidentModel
    ) -> Uploads:
        return Uploads(
            sessions=self.sessions,
            encoder=encoder,
            index=index,
            disk=uploads_disk(self.stores.uploads, collection),
            upload_store=self.stores.uploads,
            sources=self.sources,
            max_megapixels=self.limits.max_megapixels,
            rules=self.rules,
        )

    def _job_submission(self, collection: Collection) -> JobSubmission:
        settings = self.settings
        return JobSubmission(
            sessions=self.sessions,
            collection_id=collection.id,
            incoming=self.stores.incoming,
            queue=self.queue,
            folders=(settings.source_dir, *settings.source_dirs),
            buckets=tuple(filter(None, (settings.s3_bucket, *settings.s3_buckets))),
            batch_size=settings.batch_size,
        )

    def _source_lister(self, index: VectorIndex, statistics: IndexStatistics) -> SourceLister:
        return SourceLister(
            sessions=self.sessions,
            index=index,
            sources=self.sources,
            stores=self.stores,
            archive_limits=ArchiveLimits(
                max_file_bytes=self.limits.max_file_bytes,
                max_entries=self.settings.max_archive_entries,
            ),
            refusal_rules=refusal_rules(self.limits),
            batch_size=self.settings.batch_size,
            stop=self.interrupt,
            measure=statistics.measure,
            keep_gps=self.rules.keep_gps,
            name_place=self.rules.name_place,
        )

    def _batch_indexer(
        self, index: VectorIndex, encoder: ResidentModel, uploads: Uploads
    ) -> BatchIndexer:
        context = ReadingContext(
            sessions=self.sessions,
            prepare=encoder.prepare,
            sources=self.sources,
            uploads=uploads,
            incoming=self.stores.incoming,
            downloader=Downloader(self.limits.max_file_bytes, self.settings.download_allow),
            limits=self.limits,
        )
        return BatchIndexer(
            context=context,
            encoder=encoder,
            index=index,
            thumbnails=self.stores.thumbnails,
            pools=self.pools,
            stop=self.interrupt,
        )
