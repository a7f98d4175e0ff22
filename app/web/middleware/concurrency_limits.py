"""Concurrency limits: how many requests are answered at a time, in all and of each client."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from app.errors import Busy
from app.web.middleware.rate_limits import Lane

MAX_EVENT_STREAMS = 100  # each asks the database twice a second
MAX_KEY_LOOKUPS = 16
MAX_KEY_REQUESTS = 16  # that make, list or revoke keys
MAX_OTHER_REQUESTS = 200  # requests that are no search, no upload and no event stream
MAX_SHARE = 0.5  # of a lane, for one key, or for one address without a key
ALL = ""  # stands for all clients together

Release = Callable[[], None]


class ConcurrencyLimits:
    """Counts the requests in progress; used on the event loop only.

    `max_concurrent` are the most of each lane, of all clients together.
    """

    def __init__(self, max_concurrent: Mapping[Lane, int]) -> None:
        self._max_concurrent = max_concurrent
        self._active: Counter[tuple[Lane, str]] = Counter()

    @contextmanager
    def slot(self, lane: Lane, client: str) -> Iterator[Release]:
        """Hold a slot of the lane; yields a function that releases it early. Raises Busy."""
        self._check(lane, client)
        self._active.update([(lane, ALL), (lane, client)])
        with ExitStack() as held:
            held.callback(self._release, lane, client)
            yield held.close  # a second call does nothing

    def _check(self, lane: Lane, client: str) -> None:
        """Raises Busy. No client gets all slots: one that sends slowly would block the others."""
        limit = self._max_concurrent[lane]
        if self._active[lane, ALL] >= limit:
            raise Busy("Too many requests are being processed: try again.")
        if self._active[lane, client] >= max(1, int(limit * MAX_SHARE)):
            raise Busy("Too many of your requests are being processed.")

    def _release(self, lane: Lane, client: str) -> None:
        self._active.subtract([(lane, ALL), (lane, client)])
        if not self._active[lane, client]:
            del self._active[lane, client]
