"""The door of every route: who asks, whether they may, how often, and how many at a time.

All of it is settled before a byte of the body is read. A route that does not say what it needs
cannot be made.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, Literal, TypeVar

from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from app.access.authentication import OPEN, Authenticator, Caller, Role
from app.errors import Busy, RoleRejected, TooManyRequests
from app.web.middleware.local_only import check_is_local
from app.web.problems import described

Lane = Literal["search", "upload", "events", "other", "keys"]
"""What shares bounds. `keys` is the look-up of keys, which whoever has none can cause too."""
Leave = Callable[[], None]
F = TypeVar("F", bound=Callable[..., Any])

SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}, {}]
"""One of the two ways to send a key, or none where the service is open."""

EVENTS_AT_ONCE = 100  # followers of jobs: each asks the database twice a second
KEYS_AT_ONCE = 16  # look-ups of keys
SEARCH_BODY_SECONDS = 60.0  # that a search may take to arrive: it has a place all the time
OTHERS_AT_ONCE = 200  # requests that are no search, no upload and no events
MOST_OF_PLACES = 0.5  # that one key, or one address without a key, may have of a lane
ADDRESSES_KEPT = 4_096  # that need not be read anew: it takes a twentieth of a short request
IPV6_PREFIX = 64  # bits of an address that one customer has at least


@dataclass(frozen=True)
class Need:
    """What a route needs of its caller, None for nothing; and which bounds it shares."""

    role: Role | None
    lane: Lane


def needs(role: Role | None, lane: Lane = "other") -> Callable[[F], F]:
    """Mark a route's function: a key of this role at least is needed."""

    def mark(endpoint: F) -> F:
        endpoint.need = Need(role, lane)  # type: ignore[attr-defined]
        return endpoint

    return mark


class Guarded(APIRoute):
    """A route with a door; its function is marked by `needs`."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.need: Need = endpoint.need  # type: ignore[attr-defined]
        if self.need.role is not None:
            options["responses"] = {**described(401, 403, 429, 503), **options["responses"]}
            told = {"security": SECURITY, "x-role": self.need.role}
            options["openapi_extra"] = {**(options["openapi_extra"] or {}), **told}
        super().__init__(path, endpoint, **options)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer those who may pass; raises what the door says to the others."""
        if self.need.role is None:
            await super().handle(scope, receive, send)
            return
        async with scope["app"].state.guard.passage(self.need, scope) as leave:

            async def leaving(message: Message) -> None:
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    leave()  # who has the whole answer may ask again, and finds the place free
                await send(message)

            await super().handle(scope, receive, leaving)


class Guard:
    """Lets requests pass. Used on the event loop alone.

    `rates` are the most requests of a key and of an address; `at_once` bounds all callers together.
    `origins` are those whose pages may ask a service that is open.
    """

    def __init__(
        self,
        access: Authenticator,
        rates: Mapping[Lane, RateLimitItem | None],
        at_once: Mapping[Lane, int],
        origins: Collection[str] = (),
    ) -> None:
        self._access = access
        self._rates = rates
        self._at_once = at_once
        self._origins = origins
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._passing: Counter[tuple[Lane, str]] = Counter()  # "": of all callers
        self._looking_up: dict[str | None, asyncio.Task[Caller]] = {}  # by what is presented

    @asynccontextmanager
    async def passage(self, need: Need, scope: Scope) -> AsyncIterator[Leave]:
        """Be inside while a request is answered; the caller is in the request's state then.

        What it gives leaves the place ahead of the end.
        Raises KeyRejected, RoleRejected, TooManyRequests, Busy.
        """
        state = scope.setdefault("state", {})
        state["need"] = need
        self._count(need.lane, "address", address_of(scope))
        caller = state["caller"] = await self._caller(scope)
        if need.role is not None and not caller.may(need.role):
            raise RoleRejected(f"This needs a key of the role {need.role}; yours is {caller.role}.")
        if need.role is not None and caller == OPEN:
            check_is_local(Headers(scope=scope), self._origins)
        if caller.key_id is not None:
            self._count(need.lane, "key", str(caller.key_id))
        who = str(caller.key_id or address_of(scope))
        if need.lane == "search":
            state["body_seconds"] = SEARCH_BODY_SECONDS
        with self._place(need.lane, who) as leave:
            yield leave

    @contextmanager
    def _place(self, lane: Lane, who: str) -> Iterator[Leave]:
        """Raises Busy."""
        self._check_places(lane, who)
        self._passing.update([(lane, ""), (lane, who)])
        with ExitStack() as inside:
            inside.callback(self._leave, lane, who)
            yield inside.close  # a second time it does nothing

    def _check_places(self, lane: Lane, who: str) -> None:
        """Raises Busy. Nobody has all places: who sends slowly would keep the others out."""
        places = self._at_once[lane]
        if self._passing[lane, ""] >= places:
            raise Busy("So many requests are under way that this one is not begun: try again.")
        if self._passing[lane, who] >= max(1, int(places * MOST_OF_PLACES)):
            raise Busy("So many requests of yours are under way that this one is not begun.")

    def _leave(self, lane: Lane, who: str) -> None:
        self._passing.subtract([(lane, ""), (lane, who)])
        if not self._passing[lane, who]:
            del self._passing[lane, who]

    async def _caller(self, scope: Scope) -> Caller:
        presented = presented_key(Headers(scope=scope))
        known = self._access.cached(presented)
        if known is not None:
            return known
        if presented not in self._looking_up:
            asking = asyncio.create_task(self._look_up(presented, address_of(scope)))
            self._looking_up[presented] = asking
            asking.add_done_callback(lambda _: self._looking_up.pop(presented))
        return await asyncio.shield(self._looking_up[presented])

    async def _look_up(self, presented: str | None, address: str) -> Caller:
        """For all who present the same meanwhile: they are one to the database."""
        with self._place("keys", address):
            return await run_in_threadpool(self._access.caller, presented)

    def _count(self, lane: Lane, kind: str, name: str) -> None:
        """Raises TooManyRequests where this key or address has had its share."""
        rate = self._rates.get(lane)
        if rate is not None and not self._limiter.hit(rate, lane, kind, name):
            again = self._limiter.get_window_stats(rate, lane, kind, name).reset_time
            raise TooManyRequests(
                f"More than {rate} of this {kind}: try again later.",
                max(1, round(again - time.time())),
            )


def presented_key(headers: Headers) -> str | None:
    """The API key of a request, if it has one."""
    if key := headers.get("x-api-key"):
        return key
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" else None


def address_of(scope: Scope) -> str:
    """Where a request comes from, as the unit that is bounded: of IPv6 a customer's network."""
    client = scope.get("client")
    return "unknown" if client is None else _bounded(str(client[0]))


@lru_cache(maxsize=ADDRESSES_KEPT)
def _bounded(host: str) -> str:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:  # a test's client, a Unix socket
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, IPV6_PREFIX), strict=False))
