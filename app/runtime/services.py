"""The services of a running process, used by routes and scripts."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from app import VERSION
from app.access.authentication import Authenticator
from app.access.signed_addresses import AddressSigner
from app.catalog.gallery import Gallery
from app.catalog.review_queue import ReviewQueue
from app.database.connections import Sessions
from app.database.read_replicas import ReadReplicas
from app.encoders.resident_model import ResidentModel
from app.feedback.golden.golden_queries import GoldenQueries
from app.feedback.summaries import Summaries
from app.ingest.jobs.job_submission import JobSubmission
from app.ingest.webhooks.delivery import Webhooks
from app.runtime.annotating.annotators import Annotators
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.coverage import CoverageReport
from app.runtime.doctor.doctor import Doctor
from app.runtime.evaluation.evaluations import Evaluations
from app.runtime.labelling.label_sets import LabelSets
from app.runtime.reindexing.reindexing import Reindexing
from app.runtime.shutdown import JOIN_SECONDS, join
from app.runtime.standing.standing_searches import StandingSearches
from app.runtime.worker import Worker
from app.search.cursors import Cursors
from app.search.feedback_tokens import FeedbackTokens
from app.search.search import Search

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    """The services of a running process; the properties below are of the default collection."""

    encoder: ResidentModel
    device: str
    precision: str
    registry: CollectionRegistry
    gallery: Gallery
    review: ReviewQueue
    cursors: Cursors
    tokens: FeedbackTokens
    summaries: Summaries
    golden_queries: GoldenQueries
    evaluations: Evaluations
    label_sets: LabelSets
    annotators: Annotators
    coverage: CoverageReport
    standing_searches: StandingSearches
    access: Authenticator
    address_signer: AddressSigner
    feed_signer: AddressSigner
    """Signs the addresses of feeds, which work for longer."""
    worker: Worker
    doctor: Doctor
    reindexing: Reindexing
    model_changes: Sequence[Callable[[threading.Event], None]]
    """What a server does about other models meanwhile, each on a thread, until the event is set."""
    webhooks: Webhooks
    sessions: Sessions
    replicas: ReadReplicas | None

    @property
    def model_name(self) -> str:
        """`demo model`, or the name and tag of the model."""
        return self.encoder.space.name

    def log_start(self) -> None:
        """Log which model runs how, and on which index."""
        log.info(
            "version %s: model %s by %s in %s on %s",
            *(VERSION, self.model_name, self.encoder.load().runtime, self.precision, self.device),
        )
        index = self.registry.default.index
        log.info(
            "index %d of the default collection: %d dimensions as %s, %d pictures",
            *(index.id, index.dimensions, index.storage, self.gallery.count()),
        )

    @property
    def search(self) -> Search:
        """Searches the default collection."""
        return self.registry.default.search

    @property
    def job_submission(self) -> JobSubmission:
        """Submits jobs for the default collection."""
        return self.registry.default.job_submission

    @contextmanager
    def working(self) -> Iterator[None]:
        """Run the worker on a thread of this process for the duration."""
        thread = threading.Thread(target=self.worker.run, name="worker")
        thread.start()
        try:
            yield
        finally:
            self.worker.stop()
            join(thread, self.worker.seconds_to_stop() + JOIN_SECONDS)
