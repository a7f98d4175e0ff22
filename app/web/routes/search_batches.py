"""Batches of searches."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError

from app import metrics
from app.access.authentication import Caller
from app.errors import CursorRejected, ImageSearchError
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.open_collection import OpenCollection
from app.search import batch_search, search_request
from app.search.attempts import attempt
from app.web.callers import CurrentCaller, chosen_namespace
from app.web.dependencies import RegistryService
from app.web.middleware.guarded_route import Guarded, needs
from app.web.payloads.search.answer import References, SearchResponse
from app.web.payloads.search.batch import (
    Malformed,
    SearchBatchRequest,
    SearchBatchResponse,
    SearchOutcome,
)
from app.web.payloads.search.request import SearchRequest
from app.web.problems.problems import problem_body, problem_of, problem_responses
from app.web.problems.validation_errors import detail_of, entries
from app.web.routes.search import InAnswers

router = APIRouter(prefix="/api/v1", tags=["search"], route_class=Guarded)

CollectionPath = tuple[str, str]
"""A namespace and a name."""


@router.post(
    "/search/batch",
    summary="Search several times at once",
    response_model_exclude_unset=True,
    responses=problem_responses(400, 413, 415, 422, 503),
)
@needs("reader", "search", by_replicas=True)
async def search_batch(  # async: rate limits are counted on the event loop
    request: Request,
    caller: CurrentCaller,
    registry: RegistryService,
    references: InAnswers,
    body: SearchBatchRequest,
) -> SearchBatchResponse:
    """Answer up to 50 searches; the model reads the texts of all of them at once.

    The answer is 200 also if searches fail: each result has a status of its own. For the rate
    limits each search counts.
    """
    request.app.state.guard.count_further(request.scope, len(body.searches) - 1)
    metrics.observe_search_batch(len(body.searches))
    batch = _Batch(caller, registry, references, time.monotonic() + batch_search.BATCH_SECONDS)
    return SearchBatchResponse(results=await run_in_threadpool(batch.outcomes, body))


@dataclass(frozen=True)
class _Batch:
    """A batch of a caller; no search of it begins after `deadline`, of the monotonic clock."""

    caller: Caller
    registry: CollectionRegistry
    references: References
    deadline: float

    def outcomes(self, body: SearchBatchRequest) -> list[SearchOutcome]:
        """Raises QueryRejected if there are too many pictures in all."""
        outcomes: dict[int, SearchOutcome] = {}
        requests: dict[int, search_request.SearchRequest] = {}
        searches = body.checked()
        for position, sent in enumerate(searches):
            request = sent if isinstance(sent, Malformed) else attempt(self._request, sent)
            if isinstance(request, Malformed):
                outcomes[position] = _malformed(request, position)
            elif isinstance(request, ImageSearchError):
                outcomes[position] = SearchOutcome.failed(problem_of(request))
            else:
                requests[position] = request
        batch_search.check_batch(list(requests.values()))
        for path, asked in _by_collection(requests).items():
            outcomes.update(self._of_collection(path, asked, searches))
        return [outcomes[position] for position in range(len(searches))]

    def _request(self, sent: SearchRequest) -> search_request.SearchRequest:
        """Raises RoleRejected, CursorRejected."""
        if sent.cursor is not None:
            raise CursorRejected(
                "cursor: a batch returns first pages only: send the cursor to /api/v1/search."
            )
        return sent.to_domain(chosen_namespace(self.caller, sent.namespace))

    def _of_collection(
        self,
        path: CollectionPath,
        asked: Mapping[int, search_request.SearchRequest],
        searches: Sequence[SearchRequest | Malformed],
    ) -> Iterator[tuple[int, SearchOutcome]]:
        """The outcomes of searches of one collection, by position in the batch."""
        opened = attempt(self._open, path)
        if isinstance(opened, ImageSearchError):
            problem = problem_of(opened)
            yield from ((position, SearchOutcome.failed(problem)) for position in asked)
            return
        answers = batch_search.answer_all(
            opened.search, opened.collection, list(asked.values()), self.deadline
        )
        for position, answer in zip(asked, answers, strict=True):
            if isinstance(answer, ImageSearchError):
                yield position, SearchOutcome.failed(problem_of(answer))
                continue
            sent = searches[position]
            include = None if isinstance(sent, Malformed) else sent.include
            response = SearchResponse.of(opened, answer, self.references, include)
            yield position, SearchOutcome.answered(response)

    def _open(self, path: CollectionPath) -> OpenCollection:
        return self.registry.open(*path)


def _by_collection(
    requests: Mapping[int, search_request.SearchRequest],
) -> dict[CollectionPath, dict[int, search_request.SearchRequest]]:
    found: dict[CollectionPath, dict[int, search_request.SearchRequest]] = {}
    for position, request in requests.items():
        found.setdefault((request.namespace, request.collection), {})[position] = request
    return found


def _malformed(sent: Malformed, position: int) -> SearchOutcome:
    """As the whole request would be answered if the search were sent alone."""
    found = [{**one, "loc": ("body", *one["loc"])} for one in sent.error.errors(include_url=False)]
    error = RequestValidationError(found, body=sent.search)
    faults = entries(error, SearchRequest)
    for fault in faults:
        fault["loc"][1:1] = ["searches", position]
    return SearchOutcome.failed(problem_body(422, detail_of(error, faults), errors=faults))
