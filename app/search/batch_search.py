"""Several searches of one collection at a time: one call of the model for all of their texts."""

import time
from collections.abc import Sequence

from psycopg.errors import QueryCanceled
from sqlalchemy.exc import DBAPIError

from app.database.tables import Collection
from app.errors import Busy, ImageSearchError, QueryRejected, QueryTooSlow
from app.index.scan_settings import STATEMENT_TIMEOUT_MS
from app.search.attempts import attempt
from app.search.queries.query_encoding import Query
from app.search.search import Search
from app.search.search_request import SearchRequest
from app.search.search_response import SearchResponse

MAX_SEARCHES = 50
MAX_PICTURES = 50  # sent or by URL, in all searches of a batch: they are in memory together
MAX_URLS = 2  # in all searches of a batch: each may hold a thread for URL_FETCH_SECONDS
BATCH_SECONDS = 30.0  # after so long no further search of a batch is begun

TOO_SLOW = (
    f"This would take the database longer than {STATEMENT_TIMEOUT_MS // 1000} s: ask for less."
)

Outcome = SearchResponse | ImageSearchError


def check_batch(requests: Sequence[SearchRequest]) -> None:
    """Raise QueryRejected if there are too many pictures or URLs in all of them."""
    terms = [term for request in requests for term in request.terms]
    pictures = sum(term.image is not None or term.url is not None for term in terms)
    if pictures > MAX_PICTURES:
        raise QueryRejected(
            f"searches: {pictures} pictures in all; {MAX_PICTURES} are allowed in a batch."
        )
    if sum(term.url is not None for term in terms) > MAX_URLS:
        raise QueryRejected(
            f"searches: at most {MAX_URLS} terms of a batch may be URLs: send the other pictures "
            "themselves."
        )


def answer_all(
    search: Search, collection: Collection, requests: Sequence[SearchRequest], deadline: float
) -> list[Outcome]:
    """The first page of each, in their order; in place of one that fails is its error.

    None is begun after `deadline`, of the monotonic clock. `encode_ms` of each is the time for
    all. Raises ModelUnavailable.
    """
    began = time.perf_counter()
    queries = _encode(search, collection, requests)
    encode_ms = (time.perf_counter() - began) * 1000

    def answer(position: int) -> SearchResponse:
        query = queries[position]
        if isinstance(query, ImageSearchError):
            raise query
        if time.monotonic() > deadline:
            raise Busy(
                f"The searches before this one took {BATCH_SECONDS:g} s: send it again in a "
                "smaller batch."
            )
        try:
            return search.first_page(collection, requests[position], query, encode_ms)
        except DBAPIError as error:
            if isinstance(error.orig, QueryCanceled):
                raise QueryTooSlow(TOO_SLOW) from error
            raise

    return [attempt(answer, position) for position in range(len(requests))]


def _encode(
    search: Search, collection: Collection, requests: Sequence[SearchRequest]
) -> list[Query | ImageSearchError | None]:
    """The queries, None for a search without one."""
    found: list[Query | ImageSearchError | None] = [
        attempt(lambda request: search.prepare(collection, request), request)
        for request in requests
    ]
    to_model = [n for n, request in enumerate(requests) if found[n] is None and request.needs_model]
    encoded = search.queries.encode_all([requests[n].terms for n in to_model])
    for position, query in zip(to_model, encoded, strict=True):
        found[position] = query
    return found
