"""Routes behind the guard, which is asked before a byte of the body is read.

A route that does not declare what it needs cannot be created.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Depends, Request, params
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.types import Message, Receive, Scope, Send

from app.access.authentication import Role
from app.access.signed_addresses import Kind
from app.web.bodies.content_types import check_is_form, check_is_json
from app.web.bodies.json_searches import in_turn
from app.web.idempotency import HEADER, PARAMETER, answer_once
from app.web.middleware.guard import Need, callers_of
from app.web.middleware.rate_limits import QUOTA, Lane
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

    It refuses query parameters and form fields that it does not declare, or that are sent twice and
    are no list. Undocumented routes and health probes take what they like: load balancers add
    parameters of their own.
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
