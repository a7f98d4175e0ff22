"""Answers to searches by text that are sent again as they are, while they hold.

Of a repeated search most of the time goes into resolving what the route depends on, and into
writing the hits. So the bytes are kept, and sent again past FastAPI: after the guard has admitted
the caller, and if nothing was written to the database since.
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from fastapi import Response
from starlette.types import Receive, Scope, Send

from app.access.authentication import Caller
from app.database.read_routing import chosen_standby
from app.runtime.open_collection import OpenCollection
from app.runtime.services import Services
from app.search.queries.query_encoding import Query
from app.search.search import VECTOR_BYTES, Basis, Search
from app.web.middleware.guarded_route import Guarded
from app.web.shared_read import SharedRead

MAX_BYTES = 8_000_000  # of all that are kept
TOKEN_HEADER = "X-Search-Token"  # noqa: S105


@dataclass(frozen=True)
class KeptAnswer:
    """An answer as it was sent, `body` in JSON; only its token is another each time."""

    opened: OpenCollection
    query: Query
    ids: Sequence[int]
    basis: Basis
    body: bytes
    headers: dict[str, str]

    def __len__(self) -> int:
        """About so many bytes of memory."""
        return len(self.body) + VECTOR_BYTES

    def response(self, services: Services) -> Response:
        """The response, with a new token."""
        token = services.tokens.write(self.opened.index, self.query, self.ids)
        headers = {**self.headers, TOKEN_HEADER: token}
        return Response(self.body, headers=headers, media_type="application/json")


class KeptAnswers:
    """Those of one application, the least recently asked out first. Used on the event loop only.

    Only of the default collection, which is looked up once a second and not for each search.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kept: OrderedDict[Hashable, KeptAnswer] = OrderedDict()
        self._bytes = 0
        self._bases: dict[Hashable, SharedRead[Basis]] = {}  # by search and database, if being read

    def keep(self, scope: Scope, kept: KeptAnswer) -> None:
        """Keep the answer to a request, if it is of the default collection."""
        if kept.opened.search is not self._services.registry.default.search:
            return
        question = self._question(scope)
        self._drop(question)
        self._kept[question] = kept
        self._bytes += len(kept)
        while self._bytes > MAX_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, question: Hashable) -> None:
        if kept := self._kept.pop(question, None):
            self._bytes -= len(kept)

    async def find(self, scope: Scope) -> Response | None:
        """The answer to the same request of the same caller, if it still holds."""
        question = self._question(scope)
        kept = self._kept.get(question)
        current = self._services.registry.current_default()
        if kept is None or current is None or current.search is not kept.opened.search:
            return None
        self._kept.move_to_end(question)
        if not kept.basis.holds(await self._current_basis(kept.opened.search)):
            return None
        kept.opened.search.queries.encoder.note_repeated_text()
        return kept.response(self._services)

    async def _current_basis(self, search: Search) -> Basis:
        """The basis of now, by one query of Postgres for all that wait for it."""
        place = id(search), chosen_standby()
        shared = self._bases.get(place)
        if shared is None:
            shared = self._bases[place] = SharedRead(search.current_basis)
        try:
            return await shared.value()
        finally:
            if shared.is_idle:
                self._bases.pop(place, None)

    def _question(self, scope: Scope) -> Hashable:
        """All that an answer depends on besides the database: addresses in it expire."""
        caller: Caller = scope["state"]["caller"]
        is_signed = caller.key_id is not None
        expiry = self._services.address_signer.expiry() if is_signed else None
        return caller, expiry, scope["method"], scope["path"], scope["query_string"]


class Repeated(Guarded):
    """A route whose endpoint may keep answers: see `KeptAnswers`."""

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        kept: KeptAnswers = scope["app"].state.kept_answers
        response = await kept.find(scope)
        if response is None:
            await super()._answer(scope, receive, send)
        else:
            await response(scope, receive, send)
