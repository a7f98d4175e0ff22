"""Standing searches: made, listed, deleted, and what they have found as a list, feed and events."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.access.signed_addresses import AddressSigner
from app.catalog.standing.standing_search_rows import StandingSearch
from app.errors import KeyRejected, StandingSearchNotFound
from app.runtime.standing.standing_searches import StandingSearches
from app.search.search_request import DEFAULT_LIMIT
from app.web.addresses import Addresses, PictureAddresses
from app.web.atom_feed import MAX_ENTRIES, MEDIA_TYPE, atom_feed
from app.web.callers import AnswerAddresses, CurrentCaller, InNamespace, IsSigned, chosen_namespace
from app.web.dependencies import RegistryService, ServiceAddresses
from app.web.files.conditional_requests import matches_etag
from app.web.files.file_headers import BY_KEY
from app.web.middleware.guard import presented_key
from app.web.middleware.guarded_route import Guarded, needs
from app.web.pagination import Cursor, Limit, page_of, read_number
from app.web.payloads.field_types import MAX_ID, Name
from app.web.payloads.standing_searches import (
    MATCH,
    MATCHES,
    STANDING_SEARCHES,
    StandingMatch,
    StandingMatchPage,
    StandingSearchCreate,
    StandingSearchDetails,
    StandingSearchPage,
)
from app.web.problems.problems import problem_responses

router = APIRouter(
    prefix="/api/v1/standing-searches", tags=["standing searches"], route_class=Guarded
)

EVENT_SECONDS = 1.0  # between two looks for new matches for an event stream
STREAM_SECONDS = 600.0  # then an event stream ends, and its client asks for the next
MATCHES_AT_ONCE = 100  # read for an event stream
FEED_HEADERS = {
    "Cache-Control": "private, no-cache",  # asked for again by its ETag
    "X-Content-Type-Options": "nosniff",
}
LOCATION = {
    "Location": {"schema": {"type": "string"}, "description": "address of the standing search"}
}
EVENTS = {"example": f"event: match\nid: 17\ndata: {json.dumps(MATCH)}\n\n"}
FEED = {MEDIA_TYPE: {"schema": {"type": "string"}}}


async def _standing_searches(request: Request) -> StandingSearches:
    service: StandingSearches = request.app.state.services.standing_searches
    return service


StandingSearchService = Annotated[StandingSearches, Depends(_standing_searches)]


def _visible(
    service: StandingSearchService,
    caller: CurrentCaller,
    search_id: Annotated[
        int, Path(ge=1, le=MAX_ID, description="the standing search's id", examples=[3])
    ],
) -> StandingSearch:
    """A standing search that the caller may see. Raises StandingSearchNotFound."""
    found = service.get(search_id)
    if not caller.reaches(found.namespace):
        raise StandingSearchNotFound(f"There is no standing search with id {search_id}.")
    return found


Found = Annotated[StandingSearch, Depends(_visible)]


@dataclass(frozen=True)
class _Writer:
    """Writes the details of standing searches for one caller, with the addresses of their feeds."""

    addresses: Addresses
    signer: AddressSigner | None

    def details(self, search: StandingSearch) -> StandingSearchDetails:
        feed_url = self.addresses.feed(search.id, self.signer, search.namespace)
        return StandingSearchDetails.of(search, self.addresses, feed_url)


async def _writer(request: Request, caller: CurrentCaller, addresses: ServiceAddresses) -> _Writer:
    """Feeds' addresses are signed for callers with a key, as those of pictures are."""
    signer = request.app.state.services.feed_signer if caller.key_id is not None else None
    return _Writer(addresses, signer)


Writer = Annotated[_Writer, Depends(_writer)]


@router.post(
    "",
    status_code=201,
    responses={201: {"headers": LOCATION}, **problem_responses(400, 404, 413, 422, 503)},
)
@needs("writer", "search")
def create_standing_search(
    request: Request,
    caller: CurrentCaller,
    registry: RegistryService,
    service: StandingSearchService,
    writer: Writer,
    response: Response,
    body: StandingSearchCreate,
) -> StandingSearchDetails:
    """Keep a search, and be notified of pictures that are added from now on and match it.

    Matches come by a signed webhook, an Atom feed, server-sent events, and as a list.
    """
    if body.webhook_url is not None:
        request.app.state.services.webhooks.check(body.webhook_url)
    opened = registry.open(chosen_namespace(caller, body.namespace), body.collection)
    found = service.create(opened, body.terms(), body.filter, body.min_confidence, body.webhook_url)
    details = writer.details(found)
    response.headers["Location"] = details.url
    return details


@router.get("", responses=problem_responses(404, 422, 503))
@needs("reader")
def list_standing_searches(
    registry: RegistryService,
    service: StandingSearchService,
    namespace: InNamespace,
    writer: Writer,
    collection: Annotated[
        Name | None,
        Query(
            description="only those of this collection; if omitted, of all in the namespace",
            examples=["holidays"],
        ),
    ] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> StandingSearchPage:
    """Standing searches, newest first, of one collection or of all in the namespace."""
    chosen = None if collection is None else registry.find(namespace, collection).collection.id
    before = None if cursor is None else read_number(STANDING_SEARCHES, cursor)
    found = service.newest(namespace, chosen, before, limit + 1)
    shown, more = page_of(STANDING_SEARCHES, found, limit)
    return StandingSearchPage(data=[writer.details(one) for one in shown], next_cursor=more)


@router.get("/{search_id}", responses=problem_responses(404, 422, 503))
@needs("reader")
def get_standing_search(found: Found, writer: Writer) -> StandingSearchDetails:
    """A standing search, with the reason if it cannot find anything at present."""
    return writer.details(found)


@router.delete("/{search_id}", status_code=204, responses=problem_responses(404, 422, 503))
@needs("writer")
def delete_standing_search(found: Found, service: StandingSearchService) -> None:
    """Delete a standing search with its matches; its feed ends, and nothing more is sent."""
    service.delete(found.id)


@router.get("/{search_id}/matches", responses=problem_responses(404, 422, 503))
@needs("reader")
def list_standing_matches(
    found: Found,
    service: StandingSearchService,
    addresses: AnswerAddresses,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> StandingMatchPage:
    """The matches of a standing search, newest first: up to 1,000, from the last 30 days."""
    before = None if cursor is None else read_number(MATCHES, cursor)
    matches = service.matches(found.id, before, limit + 1)
    return StandingMatchPage.of(matches, limit, addresses)


@router.get(
    "/{search_id}/feed",
    response_class=Response,
    responses={
        200: {"content": FEED},
        304: {"description": "The feed is as If-None-Match has it"},
        **problem_responses(404, 422, 503),
    },
)
@needs("reader", signed="feed")
def read_standing_feed(
    request: Request,
    is_signed: IsSigned,
    found: Found,
    service: StandingSearchService,
    caller: CurrentCaller,
    writer: Writer,
    if_none_match: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """The newest 50 matches of a standing search as an Atom feed."""
    services = request.app.state.services
    has_keys = is_signed or caller.key_id is not None
    signer = services.address_signer if has_keys else None
    addresses = PictureAddresses(writer.addresses.root_path, signer, caller.home)
    matches = service.matches(found.id, None, MAX_ENTRIES)
    # Feed readers may subscribe to what a feed calls its own: that lives as long as `feed_url`, but
    # no longer because it was read.
    feed_signer = services.feed_signer if has_keys and not is_signed else None
    own = writer.addresses.feed(found.id, feed_signer, found.namespace)
    if is_signed:
        own = f"{own}?{request.url.query}"
    body = atom_feed(found, matches, addresses, own)
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**FEED_HEADERS, "ETag": etag, "Vary": BY_KEY}
    if matches_etag(etag, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=MEDIA_TYPE, headers=headers)


@router.get(
    "/{search_id}/events",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": EVENTS}}, **problem_responses(404, 422, 503)},
)
@needs("reader", "events")
async def stream_standing_matches(
    request: Request,
    found: Found,
    service: StandingSearchService,
    addresses: AnswerAddresses,
    last_event_id: Annotated[
        int | None,
        Header(
            ge=0,
            le=MAX_ID,
            description="the id of the last match that is known, 0 for none: those that were found "
            "since come first; if omitted, only those from now on",
        ),
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `match` for each new match, for ten minutes.

    Clients of such streams then reconnect by themselves, which loses none and repeats none.
    """
    presented, after, told = presented_key(request.headers), last_event_id, last_event_id
    ends = time.monotonic() + STREAM_SECONDS
    while (left := ends - time.monotonic()) > 0 and not request.app.state.is_stopping():
        try:
            matches, after = await run_in_threadpool(
                service.following, found.id, after, MATCHES_AT_ONCE
            )
        except StandingSearchNotFound:  # deleted meanwhile
            return
        for match in matches:
            data = StandingMatch.of(match, addresses)
            yield ServerSentEvent(event="match", id=str(match.id), data=data)
        if not matches and told != after:  # without data it is no event: it says where to go on
            yield ServerSentEvent(id=str(after))
        told = after
        if len(matches) < MATCHES_AT_ONCE:
            await asyncio.sleep(min(EVENT_SECONDS, left))
        try:
            await run_in_threadpool(request.app.state.services.access.caller, presented)
        except KeyRejected:  # the key was revoked or has expired meanwhile
            return
