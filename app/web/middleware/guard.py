"""Access control: API key, role, rate limit and concurrency limit, checked before a request's body.

`guarded_route.py` has each route say what it needs.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool
from limits import RateLimitItem
from starlette.datastructures import Headers, QueryParams
from starlette.types import Scope

from app.access.authentication import OPEN, Authenticator, Caller, Role
from app.access.signed_addresses import AddressSigner, Kind, SignedAddress
from app.catalog.collections import DEFAULT_NAMESPACE
from app.errors import KeyRejected, RoleRejected
from app.web.middleware.client_address import client_address
from app.web.middleware.concurrency_limits import ConcurrencyLimits, Release
from app.web.middleware.local_only import check_is_local
from app.web.middleware.rate_limits import Lane, RateLimits

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
