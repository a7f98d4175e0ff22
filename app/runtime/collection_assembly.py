"""Settings to the services of collections: what all of them share, and how each one's are made."""

import threading

from app.catalog.collection_deletion import uploads_disk
from app.catalog.duplicates.duplicate_groups import Duplicates
from app.catalog.images.new_images import MetadataRules
from app.catalog.stored_originals import StoredOriginals
from app.database.connections import Sessions
from app.database.tables import Collection, VectorIndex
from app.encoders.resident_model import ResidentModel
from app.encoders.sentences import SentenceModels
from app.feedback.evaluation import FeedbackEvaluation
from app.feedback.query_adjustment import QueryAdjustment
from app.feedback.rocchio import RocchioWeights
from app.index.measuring_turn import MeasuringTurn
from app.index.nearest_search import NearestSearch
from app.index.recall import Recall
from app.index.resident.resident_indexes import ResidentIndexes
from app.index.statistics import IndexStatistics
from app.ingest.admission import Admission
from app.ingest.batch_indexing import BatchIndexer, ReadingPools
from app.ingest.jobs.job_submission import JobSubmission
from app.ingest.reading import ReadingContext, refusal_rules
from app.ingest.source_listing import SourceLister
from app.ingest.uploads import Uploads
from app.pictures.metadata.place_names import PlaceNames
from app.pictures.picture_limits import PictureLimits
from app.runtime import backing_services
from app.runtime.open_collection import OpenCollection
from app.runtime.stores import open_stores
from app.search.explanation.image_explanation import Explainer
from app.search.feedback_submission import FeedbackSubmission
from app.search.queries.language_notice import LanguageNotice
from app.search.queries.query_encoding import URL_FETCH_SECONDS, QueryEncoder
from app.search.search import FlatAnswerCache, Search
from app.search.suggestions.filter_suggestions import FilterSuggestions
from app.search.suggestions.known_names import KnownNames
from app.settings import ROOT, Settings
from app.sources.archives.decompression import ArchiveLimits
from app.sources.download import Downloader
from app.sources.ignored_names import IgnoredNames
from app.sources.source_access import Sources
from app.understanding.labels.classification import Classifier
from app.understanding.labels.labelling import Labeller
from app.understanding.texts.text_reader import TextReader

MEGA = 1_000_000


def rocchio_weights(settings: Settings) -> RocchioWeights:
    """How much ratings may move a query."""
    return RocchioWeights(
        settings.feedback_liked,
        settings.feedback_disliked,
        settings.feedback_cap,
        settings.feedback_similarity,
        settings.feedback_half_life_days,
    )


class CollectionAssembly:
    """What all collections share, and how a collection's services are made of it."""

    def __init__(
        self, settings: Settings, sessions: Sessions, pools: ReadingPools, sentences: SentenceModels
    ) -> None:
        self.settings = settings
        self.sessions = sessions
        self.pools = pools
        self.sentences = sentences
        self.stores = open_stores(settings, sessions)
        self.queue = f"disk {self.stores.uploads.identity()}"
        self.sources = Sources(
            ROOT,
            backing_services.open_buckets(settings),
            self.stores.uploads,
            IgnoredNames(settings.ignored_names),
        )
        self.limits = PictureLimits(settings.max_megapixels, int(settings.max_file_mb * MEGA))
        self.originals = StoredOriginals(self.sources, self.limits)
        self.weights = rocchio_weights(settings)
        name = PlaceNames().of if settings.place_names else None
        self.rules = MetadataRules(settings.keep_gps, settings.zone, name)
        self.language_notice = LanguageNotice()
        self.measuring = MeasuringTurn()
        self.answer_cache = FlatAnswerCache(sessions)
        self.interrupt = threading.Event()  # set when the worker or the process stops
        self.text_reader = TextReader(self.interrupt)
        self.resident_indexes = ResidentIndexes(
            sessions, int(settings.resident_mb * MEGA), pools.decoding, self.interrupt
        )

    def open_collection(
        self, collection: Collection, index: VectorIndex, encoder: ResidentModel
    ) -> OpenCollection:
        """All that works on one collection."""
        sessions = self.sessions
        statistics = IndexStatistics(sessions, encoder, index, self.pools.decoding, self.interrupt)
        queries = self._query_encoder(index, encoder)
        uploads = self._uploads(collection, index, encoder)
        names = KnownNames(sessions, self.pools.decoding)
        return OpenCollection(
            collection,
            index,
            encoder,
            search=Search(
                sessions=sessions,
                index=index,
                nearest=NearestSearch(sessions, index),
                queries=queries,
                statistics=statistics,
                answer_cache=self.answer_cache,
                suggestions=FilterSuggestions.in_zone(self.settings.zone, names),
                resident_indexes=self.resident_indexes,
                sentences=self.sentences,
            ),
            classifier=Classifier(sessions, encoder, index, self.limits.max_megapixels),
            uploads=uploads,
            job_submission=self._job_submission(collection),
            duplicates=Duplicates(sessions, index),
            explainer=Explainer(sessions, queries, statistics, index, self.resident_indexes),
            recall=Recall(sessions, encoder, index, self.measuring, self.resident_indexes),
            source_lister=self._source_lister(index, statistics),
            batch_indexer=self._batch_indexer(index, encoder, uploads),
            feedback_submission=FeedbackSubmission(sessions, encoder, index),
            evaluation=FeedbackEvaluation(sessions, index, self.weights, self.interrupt),
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
            originals=self.originals,
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
            admission=Admission(self.sessions, encoder, index, Labeller(index)),
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
