"""Dependencies of the routes: services. `callers.py` has those of who asks, and for what.

Those that do not query the database are `async`: FastAPI runs all others on threads, which costs
more than they do.
"""

from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Request

from app.catalog.gallery import Gallery
from app.catalog.review_queue import ReviewQueue
from app.errors import QueryRejected
from app.feedback.summaries import Summaries
from app.ingest.jobs.job_submission import JobSubmission
from app.runtime.annotating.annotators import Annotators
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.coverage import CoverageReport
from app.runtime.reindexing.reindexing import Reindexing
from app.search.cursors import Cursors
from app.search.feedback_tokens import FeedbackTokens
from app.web.addresses import Addresses


async def _gallery(request: Request) -> Gallery:
    service: Gallery = request.app.state.services.gallery
    return service


async def _review(request: Request) -> ReviewQueue:
    service: ReviewQueue = request.app.state.services.review
    return service


async def _registry(request: Request) -> CollectionRegistry:
    service: CollectionRegistry = request.app.state.services.registry
    return service


async def _annotators(request: Request) -> Annotators:
    service: Annotators = request.app.state.services.annotators
    return service


async def _coverage(request: Request) -> CoverageReport:
    service: CoverageReport = request.app.state.services.coverage
    return service


async def _cursors(request: Request) -> Cursors:
    service: Cursors = request.app.state.services.cursors
    return service


async def _tokens(request: Request) -> FeedbackTokens:
    service: FeedbackTokens = request.app.state.services.tokens
    return service


async def _summaries(request: Request) -> Summaries:
    service: Summaries = request.app.state.services.summaries
    return service


async def _addresses(request: Request) -> Addresses:
    addresses: Addresses = request.app.state.addresses
    return addresses


async def _reindexing(request: Request) -> Reindexing:
    found: Reindexing = request.app.state.services.reindexing
    return found


RegistryService = Annotated[CollectionRegistry, Depends(_registry)]
ReindexingService = Annotated[Reindexing, Depends(_reindexing)]
AnnotatorService = Annotated[Annotators, Depends(_annotators)]
CoverageService = Annotated[CoverageReport, Depends(_coverage)]
CursorService = Annotated[Cursors, Depends(_cursors)]
TokenService = Annotated[FeedbackTokens, Depends(_tokens)]
SummaryService = Annotated[Summaries, Depends(_summaries)]
GalleryService = Annotated[Gallery, Depends(_gallery)]
ReviewService = Annotated[ReviewQueue, Depends(_review)]
ServiceAddresses = Annotated[Addresses, Depends(_addresses)]


async def _job_submission(registry: RegistryService) -> JobSubmission:
    """The service of the default collection, which knows the jobs of all collections."""
    return registry.default.job_submission


JobSubmissionService = Annotated[JobSubmission, Depends(_job_submission)]


async def require_utf8(request: Request) -> None:
    """Raises QueryRejected if the query string is not UTF-8: it would be searched for as �."""
    try:
        unquote_to_bytes(request.scope["query_string"]).decode()
    except UnicodeDecodeError as error:
        raise QueryRejected("The query is not valid UTF-8: encode it as such.") from error


Utf8Query = Depends(require_utf8)
