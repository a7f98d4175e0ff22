"""Settings to services: all that a process works with, opened in order and closed again."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from app.access.authentication import Authenticator, is_loopback
from app.access.signed_addresses import AddressSigner
from app.catalog.collection_deletion import CollectionDeletion
from app.catalog.gallery import Gallery
from app.catalog.review_queue import ReviewQueue
from app.database.connections import open_engine, open_sessions
from app.database.migrating import migrate
from app.database.read_replicas import ReadReplicas
from app.database.tables import REGION_ANNOTATORS, Collection, VectorIndex
from app.encoders.batching import Batcher
from app.encoders.detector import PluggedInDetector
from app.encoders.model_pool import ModelPool
from app.encoders.resident_model import ResidentModel
from app.encoders.sentences import SentenceModels
from app.feedback.golden.golden_queries import GoldenQueries
from app.feedback.summaries import Summaries
from app.ingest.jobs.job_submission import ANYWHERE
from app.ingest.webhooks.delivery import Webhooks, key_of
from app.pictures.formats import read_jpeg_2000
from app.pictures.memory_budget import DECODING_MEMORY
from app.pictures.video.frame_reading import VideoRules, read_videos
from app.runtime import backing_services, models
from app.runtime.annotating.annotation_work import AnnotationWork
from app.runtime.annotating.annotator import CAPTION, TEXT, Annotator
from app.runtime.annotating.annotators import Annotators
from app.runtime.annotating.caption_annotator import CaptionAnnotator
from app.runtime.annotating.caption_vectors import CaptionVectors
from app.runtime.annotating.region_annotator import RegionAnnotator
from app.runtime.annotating.sentence_choice import SentenceChoice
from app.runtime.annotating.text_annotator import TextAnnotator
from app.runtime.calibrations import Calibrations
from app.runtime.collection_assembly import MEGA, CollectionAssembly
from app.runtime.collection_models import CollectionModels
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.coverage import CoverageReport
from app.runtime.default_collection import open_default
from app.runtime.doctor.doctor import Doctor
from app.runtime.evaluation.evaluation_work import EvaluationWork
from app.runtime.evaluation.evaluations import Evaluations
from app.runtime.graph_tuning import GraphTuning
from app.runtime.labelling.label_sets import LabelSets
from app.runtime.labelling.label_work import LabelWork
from app.runtime.precision_choice import PrecisionChoice, Tell
from app.runtime.reading_threads import open_reading_pools
from app.runtime.reindexing.automatic import AutomaticReindexing
from app.runtime.reindexing.generation_fill import GenerationFill
from app.runtime.reindexing.model_preloading import ModelPreloading
from app.runtime.reindexing.reindex_work import ReindexWork
from app.runtime.reindexing.reindexing import Reindexing
from app.runtime.services import Services
from app.runtime.standing.comparison import Comparison
from app.runtime.standing.standing_searches import StandingSearches
from app.runtime.standing.standing_work import StandingWork
from app.runtime.upkeep import Upkeep
from app.runtime.worker import Worker
from app.search.cursors import Cursors
from app.search.feedback_tokens import FeedbackTokens
from app.settings import Settings
from app.sources.checked_connections import Connector
from app.understanding.regions.region_finders import RegionFinders

HOUR = 3_600  # seconds
FEED_SECONDS = 2 * 365 * 24 * HOUR
"""How long the address of a feed may work: people give it to a reader once. It ends earlier with
the standing search."""


def _video_rules(settings: Settings) -> VideoRules | None:
    """How videos are read; None: they are refused."""
    if not settings.read_video:
        return None
    return VideoRules(settings.video_interval_seconds, settings.video_max_frames)


@contextmanager
def open_services(
    settings: Settings, tell: Tell | None = None, *, to_reindex: bool = False
) -> Iterator[Services]:
    """Start or reach Postgres, migrate, load and warm the model; undo all of it at the end.

    With `tell` it may try int8 for an empty database, which takes minutes, and tells it of that.
    With `to_reindex` the calibrated model of an index in int8 may be lost.
    Raises a StartError that says what is missing.
    """
    DECODING_MEMORY.set_limit(int(settings.decoding_memory_mb * MEGA))
    read_jpeg_2000(settings.read_jpeg_2000)
    read_videos(_video_rules(settings))
    with ExitStack() as stack:
        batcher = Batcher(settings.batch_size)
        stack.callback(batcher.close)
        calibrations = Calibrations(settings)
        model_pool = ModelPool(
            lambda name: models.load_encoder(settings, name, calibrations.options(name)),
            batcher,
            settings.max_resident_models,
            models.arithmetic(settings),
        )
        # Else the database tells which.
        if models.is_named(settings) and not models.may_be_int8(settings):
            # torch's import and Postgres's start take seconds each: side by side
            model_pool.of(models.default_model(settings)).load_ahead()
        url = stack.enter_context(backing_services.database(settings))
        engine = open_engine(url)
        stack.callback(engine.dispose)
        migrate(engine)
        replicas = _open_replicas(settings, url)
        if replicas is not None:
            stack.enter_context(replicas.watched())
        sessions = open_sessions(engine, routed=replicas is not None)
        calibrations.sessions = sessions
        precision = PrecisionChoice(settings, sessions, model_pool, calibrations, tell)
        default, index, encoder = open_default(
            settings, sessions, model_pool, precision, to_reindex=to_reindex
        )
        pools = stack.enter_context(open_reading_pools())
        shared = CollectionAssembly(settings, sessions, pools, SentenceModels(batcher))
        stack.callback(shared.text_reader.close)
        stack.callback(shared.interrupt.set)
        services = _Assembly(url, model_pool, shared, replicas).services(default, index, encoder)
        services.log_start()
        yield services


def _open_replicas(settings: Settings, primary_url: str) -> ReadReplicas | None:
    """Raises DatabaseUnusable for a malformed URL."""
    urls = settings.read_database_url
    return ReadReplicas(primary_url, urls) if urls else None


class _Assembly:
    """Makes the services of a process, which all its collections share."""

    def __init__(
        self,
        url: str,
        model_pool: ModelPool,
        shared: CollectionAssembly,
        replicas: ReadReplicas | None,
    ) -> None:
        self.url = url
        self.replicas = replicas
        self.model_pool = model_pool
        self.shared = shared
        self.settings, self.sessions = shared.settings, shared.sessions
        self.webhooks = self._webhooks()
        named = self.settings.region_detector
        self.finders = RegionFinders(PluggedInDetector(named) if named else None)

    def services(self, default: Collection, index: VectorIndex, encoder: ResidentModel) -> Services:
        settings, sessions = self.settings, self.sessions
        deletion = CollectionDeletion(sessions, self.shared.stores)
        permitted = [*models.further_models(settings), models.default_model(settings)]
        registry = CollectionRegistry(
            sessions,
            CollectionModels(self.model_pool, permitted, own=encoder),
            build=self.shared.open_collection,
            deletion=deletion,
            default=(default, index),
        )
        signer = backing_services.open_signer(settings, sessions, self.shared.stores.uploads.folder)
        fill = self._generation_fill(registry)
        reindexing = Reindexing(
            sessions, registry, fill, self.shared.queue, settings.max_resident_models
        )
        loaded = encoder.load()
        label_sets = LabelSets(sessions)
        sentences = SentenceChoice(self.shared.sentences, settings.sentence_models)
        annotators = Annotators(sessions, self.shared.queue, self._annotators(registry), sentences)
        coverage = CoverageReport(sessions, annotators, label_sets)
        gallery = self._gallery(default)
        return Services(
            encoder=encoder,
            device=loaded.device,
            precision=loaded.precision,
            registry=registry,
            gallery=gallery,
            review=ReviewQueue(gallery),
            cursors=Cursors(signer),
            tokens=FeedbackTokens(signer, settings.token_hours * HOUR),
            summaries=Summaries(sessions),
            golden_queries=GoldenQueries(sessions),
            evaluations=Evaluations(
                sessions, registry, self.shared.queue, settings.max_resident_models
            ),
            label_sets=label_sets,
            annotators=annotators,
            coverage=coverage,
            standing_searches=StandingSearches(sessions),
            access=Authenticator(
                sessions,
                settings.allow_anonymous,
                loopback=is_loopback(settings.api_host),
                read=self.replicas.read if self.replicas else None,
            ),
            address_signer=AddressSigner(signer, settings.signed_url_hours * HOUR),
            feed_signer=AddressSigner(signer, FEED_SECONDS),
            worker=self._worker(registry, deletion, fill, annotators),
            doctor=self._doctor(registry, coverage),
            reindexing=reindexing,
            model_changes=self._model_changes(registry, reindexing),
            webhooks=self.webhooks,
            sessions=sessions,
            replicas=self.replicas,
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

    def _annotators(self, registry: CollectionRegistry) -> Mapping[str, Annotator]:
        regions = {
            name: RegionAnnotator(
                name, self.finders, registry.models.encoder_of, self.shared.interrupt
            )
            for name in REGION_ANNOTATORS
        }
        return {
            TEXT: TextAnnotator(self.shared.text_reader),
            CAPTION: CaptionAnnotator(models.captioner(self.settings)),
            **regions,
        }

    def _webhooks(self) -> Webhooks:
        secret = self.settings.webhook_secret
        key = key_of(secret.get_secret_value()) if secret else None
        return Webhooks(self.sessions, key, Connector(self.settings.download_allow))

    def _gallery(self, default: Collection) -> Gallery:
        settings = self.settings
        return Gallery(
            sessions=self.sessions,
            sources=self.shared.sources,
            stores=self.shared.stores,
            collection_id=default.id,
            limits=self.shared.limits,
            presign_seconds=(
                settings.s3_presign_seconds if settings.s3_serve == "presigned" else None
            ),
        )

    def _generation_fill(self, registry: CollectionRegistry) -> GenerationFill:
        return GenerationFill(
            sessions=self.sessions,
            originals=self.shared.originals,
            pools=self.shared.pools,
            finders=self.finders,
            encoder_of=registry.models.encoder_of,
            batch_size=self.settings.batch_size,
            stop=self.shared.interrupt,
        )

    def _worker(
        self,
        registry: CollectionRegistry,
        deletion: CollectionDeletion,
        fill: GenerationFill,
        annotators: Annotators,
    ) -> Worker:
        return Worker(
            url=self.url,
            sessions=self.sessions,
            registry=registry,
            collection_deletion=deletion,
            reindex_work=ReindexWork(self.sessions, registry, fill, self.settings.keep_generations),
            evaluation_work=EvaluationWork(self.sessions, registry, fill),
            label_work=LabelWork(self.sessions, registry, self.shared.interrupt),
            label_sets=LabelSets(self.sessions),
            annotation_work=AnnotationWork(
                self.sessions,
                self.shared.originals,
                annotators.known,
                CaptionVectors(
                    self.sessions, registry, self.shared.sentences, self.shared.interrupt
                ),
                self.shared.interrupt,
            ),
            annotators=annotators,
            standing_work=StandingWork(self.sessions, registry, Comparison(self.sessions)),
            upkeep=Upkeep(
                self.sessions,
                registry,
                deletion,
                self.settings.lease_seconds,
                self.shared.interrupt,
            ),
            graph_tuning=GraphTuning(
                self.sessions, registry, self.settings.target_recall, self.shared.interrupt
            ),
            webhooks=self.webhooks,
            queues=(self.shared.queue, ANYWHERE),
            lease_seconds=self.settings.lease_seconds,
            interrupt=self.shared.interrupt,
        )

    def _doctor(self, registry: CollectionRegistry, coverage: CoverageReport) -> Doctor:
        return Doctor(
            sessions=self.sessions,
            registry=registry,
            sources=self.shared.sources,
            stores=self.shared.stores,
            limits=self.shared.limits,
            batch_size=self.settings.batch_size,
            coverage=coverage,
            replicas=self.replicas,
        )
