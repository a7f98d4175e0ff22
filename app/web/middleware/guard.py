"""Access control of every route: API key, role, rate limit and concurrency limit.

All are checked before a byte of the body is read. A route that does not declare what it needs
cannot be created.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Depends, Request, params
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from limits import RateLimitItem
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.types import Message, Receive, Scope, Send

from app.access.authentication import OPEN, Authenticator, Caller, Role
from app.access.signed_addresses import AddressSigner, Kind, SignedAddress
from app.catalog.collections import DEFAULT_NAMESPACE
from app.errors import KeyRejected, RoleRejected
from app.web.bodies.content_types import check_is_form, check_is_json
from app.web.bodies.json_searches import in_turn
from app.web.idempotency import HEADER, PARAMETER, answer_once
from app.web.middleware.client_address import client_address
from app.web.middleware.concurrency_limits import ConcurrencyLimits, Release
from app.web.middleware.local_only import check_is_local
from app.web.middleware.rate_limits import QUOTA, Lane, RateLimits
from app.web.middleware.replica_reads import ReplicaReads
from app.web.problems.problems import problem_responses
from app.web.problems.sent_names import body_names, check_names, query_names

F = TypeVar("F", bound=Callable[..., Any])

SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}, {}]
"""One of the two ways to send a key, or none where the service is open."""

NOT_BEARER = (
    "The header Authorization holds no key that can be read: programs send Authorization: Bearer "
    "<key>, or X-API-Key: <key>."
)
SIGNED_IDS: Mapping[Kind, str] = {
    "file": "image_id",
    "thumbnail": "image_id",
    "feed": "search_id",
}
"""The parameter of the path that a signature is bound to."""
SEARCH_BODY_SECONDS = 60.0  # for a search's whole body: it holds a slot all the time


@dataclass(frozen=True)
class Need:
    """The role that a route requires, None for no key at all, and the lane of its limits.

    `signed` is what a signature in the address opens instead of a key. `creates`: sending the
    request twice would create twice, so it may have an Idempotency-Key. `by_replicas`: it only
    reads, and replicas of the database answer it, if there are any.
    """

    role: Role | None
    lane: Lane
    signed: Kind | None = None
    creates: bool = False
    by_replicas: bool = False


def needs(
    role: Role | None,
    lane: Lane = "other",
    *,
    signed: Kind | None = None,
    creates: bool = False,
    by_replicas: bool = False,
) -> Callable[[F], F]:
    """Declare what a route's function requires, as `Need` has it."""

    def mark(endpoint: F) -> F:
        endpoint.need = Need(role, lane, signed, creates, by_replicas)  # type: ignore[attr-defined]
        return endpoint

    return mark


class Guarded(APIRoute):
    """A route behind the guard; its function must be decorated with `needs`.

    It refuses query parameters and form fields that it does not declare, or that are sent twice
    and are no list. Undocumented routes and
    health probes take what they like: load balancers add parameters of their own.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.need: Need = endpoint.need  # type: ignore[attr-defined]
        if self.need.role is not None:
            options["responses"] = {
                **problem_responses(401, 403, 422, 429, 503),
                **options["responses"],
            }
            documented: dict[str, Any] = {"security": SECURITY, "x-role": self.need.role}
            if self.need.creates:
                documented["parameters"] = [PARAMETER]
                options["responses"] = {**problem_responses(409), **options["responses"]}
            options["openapi_extra"] = {**(options["openapi_extra"] or {}), **documented}
        checked = [*(options.get("dependencies") or ()), Depends(self._check_form)]
        super().__init__(path, endpoint, **{**options, "dependencies": checked})
        self._query_names = query_names(self.dependant)
        self._body_names = body_names(self.dependant)
        self._checks_query = self.include_in_schema and self.need.role is not None
        self._takes_json = self.body_field is not None and not self._takes_form
        if self.body_field is not None:
            self.responses = {**problem_responses(415), **self.responses}

    async def _check_form(self, request: Request) -> None:
        """Raises RequestValidationError if the form has a field that the route does not take.

        So it does for a field that is sent twice and is no list.
        """
        if self._takes_form:
            form = await request.form()
            check_names("body", (name for name, _ in form.multi_items()), self._body_names)

    @property
    def _takes_form(self) -> bool:
        return self.body_field is not None and isinstance(self.body_field.field_info, params.Form)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the guard admits; raises the guard's error for any other.

        Raises RequestValidationError for a query parameter that the route does not take or that is
        sent too often, and HTTPException for a body that does not say that it is JSON or a form.
        """
        if self.need.role is None:
            await self._answer_by_any(scope, receive, send)
            return
        async with scope["app"].state.guard.admit(self.need, scope) as release:

            async def send_and_release(message: Message) -> None:
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    release()  # before the last bytes go: the client's next request finds a slot
                if message["type"] == "http.response.start":
                    if quota := scope["state"].get(QUOTA):
                        MutableHeaders(scope=message).update(quota.headers())
                    self._note_answer(scope)
                await send(message)

            if self._is_sent_with_key(scope):
                sessions = scope["app"].state.services.sessions
                await answer_once(sessions, self._answer, scope, receive, send_and_release)
            else:
                await self._answer_by_any(scope, receive, send_and_release)

    def _note_answer(self, scope: Scope) -> None:
        """What the primary has just told a caller, their searches shall not lack."""
        reads: ReplicaReads | None = scope["app"].state.replica_reads
        if reads is not None and not self.need.by_replicas and self.need.signed is None:
            reads.note(callers_of(scope))

    def _is_sent_with_key(self, scope: Scope) -> bool:
        is_allowed = scope["method"] in (self.methods or ())
        return self.need.creates and is_allowed and HEADER in Headers(scope=scope)

    async def _answer_by_any(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the primary database, or by a replica of it where that may answer."""
        reads: ReplicaReads | None = scope["app"].state.replica_reads
        if reads is None or self.need.lane == "events":
            await self._answer(scope, receive, send)
        elif self.need.by_replicas:
            await reads.answer_search(callers_of(scope), self._answer, scope, receive, send)
        elif scope["method"] == "GET":
            await reads.answer_read(self._answer, scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_allowed = scope["method"] in (self.methods or ())  # else the answer is 405
        if self._checks_query and scope["query_string"] and is_allowed:
            sent = QueryParams(scope["query_string"]).multi_items()
            check_names("query", (name for name, _ in sent), self._query_names)
        if self._takes_json and is_allowed:
            check_is_json(Headers(scope=scope))
        if self._takes_form and is_allowed:
            check_is_form(Headers(scope=scope))
        if self._takes_json and is_allowed and self.need.lane == "search":
            async with in_turn(receive) as receive_again:
                await super().handle(scope, receive_again, send)
        else:
            await super().handle(scope, receive, send)


class Guard:
    """Admits requests. Used on the event loop only.

    `address_signer` checks signed addresses. `rates` and `max_concurrent` are the limits by lane;
    `origins` are those whose pages may use the service while it is open, and
    `unlimited_while_open` the lanes without a rate then.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        address_signer: AddressSigner,
        rates: Mapping[Lane, RateLimitItem | None],
        max_concurrent: Mapping[Lane, int],
        origins: Collection[str] = (),
        unlimited_while_open: Collection[Lane] = (),
    ) -> None:
        self._authenticator = authenticator
        self._address_signer = address_signer
        self._rate_limits = RateLimits(rates)
        self._concurrency_limits = ConcurrencyLimits(max_concurrent)
        self._origins = origins
        self._unlimited_while_open = unlimited_while_open
        self._lookups: dict[str | None, asyncio.Task[Caller]] = {}  # by the key presented

    @asynccontextmanager
    async def admit(self, need: Need, scope: Scope) -> AsyncIterator[Release]:
        """Hold a slot while a request is answered, with its caller in the request's state.

        Yields a function that releases the slot early.
        Raises KeyRejected, AddressRejected, RoleRejected, TooManyRequests, Busy.
        """
        state = scope.setdefault("state", {})
        state["need"] = need
        address = client_address(scope)
        if not self._is_unlimited(need.lane, presented_key(Headers(scope=scope))):
            self._rate_limits.count(need.lane, "address", address, state)
        caller = state["caller"] = await self._caller(need, scope)
        if need.role is not None and not caller.may(need.role):
            raise RoleRejected(caller.lacks(need.role))
        if need.role is not None and caller == OPEN:
            check_is_local(Headers(scope=scope), self._origins)
        if caller.key_id is not None:
            self._rate_limits.count(need.lane, "key", str(caller.key_id), state)
        if need.lane == "search":
            state["body_seconds"] = SEARCH_BODY_SECONDS
        with self._concurrency_limits.slot(need.lane, str(caller.key_id or address)) as release:
            yield release

    def count_further(self, scope: Scope, requests: int) -> None:
        """Count an admitted request as so many more of its lane. Raises TooManyRequests."""
        state, lane = scope["state"], scope["state"]["need"].lane
        caller: Caller = state["caller"]
        if requests == 0:
            return
        if not self._is_unlimited(lane, presented_key(Headers(scope=scope))):
            self._rate_limits.count(lane, "address", client_address(scope), state, requests)
        if caller.key_id is not None:
            self._rate_limits.count(lane, "key", str(caller.key_id), state, requests)

    def _is_unlimited(self, lane: Lane, key: str | None) -> bool:
        """Whether the service is known to be open, and has no rate for the lane then."""
        return lane in self._unlimited_while_open and self._authenticator.cached(key) == OPEN

    async def _caller(self, need: Need, scope: Scope) -> Caller:
        key = presented_key(Headers(scope=scope))
        query = QueryParams(scope["query_string"])
        if key is None and need.signed is not None and "signature" in query:
            signed_id = scope["path_params"][SIGNED_IDS[need.signed]]
            return self._bearer(need.signed, signed_id, query)
        cached = self._authenticator.cached(key)
        if cached is not None:
            return cached
        try:
            return await self._looked_up(key, scope)
        except KeyRejected:
            if key is None and "authorization" in Headers(scope=scope):
                raise KeyRejected(NOT_BEARER) from None
            raise

    async def _looked_up(self, key: str | None, scope: Scope) -> Caller:
        """The caller, looked up once for all requests with the same key at a time."""
        if key not in self._lookups:
            lookup = asyncio.create_task(self._look_up(key, client_address(scope)))
            self._lookups[key] = lookup
            lookup.add_done_callback(lambda _: self._lookups.pop(key))
        return await asyncio.shield(self._lookups[key])

    def _bearer(self, kind: Kind, signed_id: str, query: QueryParams) -> Caller:
        """Who has a signed address: may read its namespace. Raises AddressRejected.

        The route that is asked reads the one picture or feed that the signature names.
        """
        namespace = query.get("namespace", DEFAULT_NAMESPACE)
        size, page = query.get("size", ""), query.get("page", "")
        address = SignedAddress(kind, signed_id, size, namespace, page)
        self._address_signer.check(address, query.get("expires", ""), query["signature"])
        return Caller("reader", namespace, name="signed address")

    async def _look_up(self, key: str | None, address: str) -> Caller:
        """Look a key up once for all requests that present it at the same time."""
        with self._concurrency_limits.slot("lookups", address):
            return await run_in_threadpool(self._authenticator.caller, key)


def callers_of(scope: Scope) -> set[str]:
    """Names of the caller of an admitted request: its address, and its key's id if it has one."""
    key_id = scope["state"]["caller"].key_id
    return {client_address(scope)} | ({f"key {key_id}"} if key_id is not None else set())


def presented_key(headers: Headers) -> str | None:
    """The API key of a request, if it has one."""
    if key := headers.get("x-api-key"):
        return key
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" else None
