"""Requests that only read, sent to hot standbys: see `database/read_replicas.py`.

Searches go to the standbys. Other requests by GET go to the primary, and to a standby only while
that is down. A search that a standby fails to answer is asked again of the next database, so its
body is kept until it is answered.
"""

import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from tempfile import SpooledTemporaryFile

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import DBAPIError
from starlette.types import ASGIApp, Receive, Scope, Send

from app import metrics
from app.database.read_replicas import ReadReplicas, Replica
from app.database.read_routing import reading_from
from app.web.bodies.json_searches import reading, spool
from app.web.bodies.sent_pictures import SPOOL_BYTES

MAX_CALLERS = 10_000  # whose last request to the primary is remembered
IS_TRIED_AGAIN = "is_tried_again"  # in a request's state: errors of the database are raised


class ReplicaReads:
    """Chooses databases for requests. Used on the event loop only.

    What a caller has sent to the primary, or read there, a search of theirs must not lack. This
    process knows only the requests that it has answered itself.
    """

    def __init__(self, replicas: ReadReplicas) -> None:
        self._replicas = replicas
        self._seen: OrderedDict[str, float] = OrderedDict()  # by caller, least recent first
        self._forgotten = 0.0  # of time.monotonic: all callers that are not in there were before

    def note(self, callers: Collection[str]) -> None:
        """The primary has just answered a request of theirs."""
        for caller in callers:
            self._seen[caller] = time.monotonic()
            self._seen.move_to_end(caller)
        while len(self._seen) > MAX_CALLERS:
            _, self._forgotten = self._seen.popitem(last=False)

    async def answer_search(
        self, callers: Collection[str], app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer by a standby that holds what the callers have seen, or by the next database."""
        after = max(self._seen.get(caller, self._forgotten) for caller in callers)
        databases: list[Replica | None] = [*self._replicas.fresh(after), None]
        if len(databases) == 1:
            databases = await run_in_threadpool(self._replicas.for_search, after)
        place = await self._answer(databases, app, scope, receive, send)
        for one in databases[:place]:
            metrics.count_database_search(_kind(one), is_answered=False)
        metrics.count_database_search(_kind(databases[place]), is_answered=True)

    async def answer_read(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the primary, or where it is down by a standby."""
        await self._answer(self._replicas.for_reading(), app, scope, receive, send)

    async def _answer(
        self,
        databases: Sequence[Replica | None],
        app: ASGIApp,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> int:
        """The place of the database that answered. Raises what the last one does."""
        state = scope.setdefault("state", {})
        last = len(databases) - 1
        with SpooledTemporaryFile[bytes](SPOOL_BYTES) as file:
            size = await spool(file, receive)
            for place, one in enumerate(databases):
                state[IS_TRIED_AGAIN] = place < last
                try:
                    with reading_from(one.engine if one else None):
                        await app(scope, reading(file, size, receive), send)
                except DBAPIError as error:
                    if place == last or not self._replicas.may_read_elsewhere(one, error):
                        raise
                else:
                    return place
        raise AssertionError  # unreachable: the last attempt returns or raises


def _kind(database: Replica | None) -> metrics.SearchDatabase:
    return "primary" if database is None else "replica"
