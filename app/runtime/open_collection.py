"""What is at hand once a collection is open: its rows, and the services that work on them."""

from dataclasses import dataclass

from app.catalog.duplicates.duplicate_groups import Duplicates
from app.encoders.resident_model import ResidentModel
from app.feedback.evaluation import FeedbackEvaluation
from app.index.recall import Recall
from app.ingest.batch_indexing import BatchIndexer
from app.ingest.jobs.job_submission import JobSubmission
from app.ingest.source_listing import SourceLister
from app.ingest.uploads import Uploads
from app.runtime.known_collections import KnownCollection
from app.search.explanation.image_explanation import Explainer
from app.search.feedback_submission import FeedbackSubmission
from app.search.search import Search
from app.understanding.labels.classification import Classifier


@dataclass(frozen=True)
class OpenCollection(KnownCollection):
    """A collection with its active index and the services that work on them."""

    encoder: ResidentModel
    search: Search
    classifier: Classifier
    uploads: Uploads
    job_submission: JobSubmission
    duplicates: Duplicates
    explainer: Explainer
    recall: Recall
    source_lister: SourceLister
    batch_indexer: BatchIndexer
    feedback_submission: FeedbackSubmission
    evaluation: FeedbackEvaluation
