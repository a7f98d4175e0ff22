"""Hot standbys that answer searches: which of them may, and what they hold of the primary's.

A thread for each asks the primary how far its log is written and the standby how far it has
replayed that. So it is known up to which moment, by this process's clock, a standby holds
everything: `fresh_at`. From it follow how far the standby is behind, and whether it holds what a
caller has written.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Literal, TypeVar

from psycopg.errors import QueryCanceled
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from app.database.connections import first_line, is_unavailable, make_engine
from app.database.outages import is_lost
from app.database.read_routing import reading_from
from app.errors import DatabaseUnusable

log = logging.getLogger(__name__)
T = TypeVar("T")

WATCH_SECONDS = 1.0  # between two looks at a standby
WAIT_SECONDS = 0.2  # for a standby to replay what the caller has written; then the primary is asked
POLL_SECONDS = 0.005  # between two questions meanwhile
MAX_LAG_SECONDS = 10.0  # a standby that is further behind gets no searches
STOP_SECONDS = 5.0  # for a look to end, when the process does
MAX_SAMPLES = 60  # of the primary's log, which a standby that is behind is compared with

State = Literal["in_use", "behind", "down"]
Position = tuple[float, int]
"""When the primary's log was written up to which byte, at least."""

WRITTEN = text("SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint, identity FROM installation")
REPLAYED = text("""
SELECT pg_is_in_recovery(), (pg_last_wal_replay_lsn() - '0/0')::bigint, identity FROM installation
""")


@dataclass(eq=False)
class Replica:
    """A standby: `name` is its host, port and database. Times are of time.monotonic."""

    name: str
    engine: Engine
    _watching: Engine  # a connection of its own: all others may be taken
    fault: str | None = "It was not asked yet."
    fresh_at: float = -math.inf  # all that was written before is replayed here
    looked_at: float = -math.inf  # the last time that the primary said what is written
    samples: "deque[Position]" = field(default_factory=lambda: deque(maxlen=MAX_SAMPLES))
    asked: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def lag(self) -> float:
        """Seconds that it was behind when both answered last; infinite if it never caught up."""
        return math.inf if self.fresh_at == -math.inf else max(0.0, self.looked_at - self.fresh_at)

    @property
    def state(self) -> State:
        """Whether it is used."""
        if self.fault is not None:
            return "down"
        return "in_use" if self.lag <= MAX_LAG_SECONDS else "behind"

    def is_fresh(self, after: float) -> bool:
        """Whether it holds everything that was written up to `after`."""
        return self.state == "in_use" and self.fresh_at >= after

    def wait_for(self, after: float) -> bool:
        """As `is_fresh`, within WAIT_SECONDS."""
        self.asked.set()
        with self.changed:
            return self.changed.wait_for(lambda: self.is_fresh(after), WAIT_SECONDS)

    def compare(self, written: Position | None, identity: str | None) -> None:
        """Ask how far it has replayed, for up to WAIT_SECONDS if it has not come to `written`.

        Raises SQLAlchemyError.
        """
        if written is not None and written[0] >= self._last_sample + WATCH_SECONDS:
            self.samples.append(written)
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            with self._watching.connect() as connection:
                is_standby, replayed, found = connection.execute(REPLAYED).one()
            is_same = identity is None or found == identity
            self._note(written, replayed if is_standby else None, is_same=is_same)
            is_done = written is None or self.fresh_at >= written[0] or self.fault
            if is_done or time.monotonic() > deadline:
                return
            time.sleep(POLL_SECONDS)

    @property
    def _last_sample(self) -> float:
        return self.samples[-1][0] if self.samples else -math.inf

    def _note(self, written: Position | None, replayed: int | None, *, is_same: bool) -> None:
        with self.changed:
            if not is_same:
                self._set_fault("It is a copy of another database.")
            elif replayed is None:
                self._set_fault("It is no standby, or none any more: it takes changes of its own.")
            else:
                self._set_fault(None)
                known = [*self.samples, *([written] if written else [])]
                held = [moment for moment, position in known if position <= replayed]
                self.fresh_at = max([self.fresh_at, *held])
                self.looked_at = max([self.looked_at, *(moment for moment, _ in known)])
            self.changed.notify_all()

    def dispose(self) -> None:
        """Close its connections."""
        self.engine.dispose()
        self._watching.dispose()

    def fail(self, error: Exception) -> None:
        """It does not answer: it is asked no more until a look finds it well again."""
        with self.changed:
            self._set_fault(first_line(error))

    def _set_fault(self, fault: str | None) -> None:
        if fault is not None and self.fault != fault:
            log.warning("The replica %s is not used: %s", self.name, fault)
        if fault is None and self.fault is not None:
            log.info("The replica %s is used", self.name)
        self.fault = fault


class ReadReplicas:
    """The standbys of a primary. Thread-safe."""

    def __init__(self, primary_url: str, urls: Sequence[str]) -> None:
        """Raises DatabaseUnusable for a malformed URL."""
        self._primary = make_engine(primary_url, pool_size=max(1, len(urls)), overflow=0)
        self.replicas = [_replica(url) for url in urls]
        self.primary_fault: str | None = None
        self._turn = count()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look at each now, and again every WATCH_SECONDS."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=self._watch, args=(one, stop), name="replica", daemon=True)
            for one in self.replicas
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for one, thread in zip(self.replicas, threads, strict=True):
                one.asked.set()
                thread.join(STOP_SECONDS)
                one.dispose()
            self._primary.dispose()

    def _watch(self, replica: Replica, stop: threading.Event) -> None:
        while not stop.is_set():
            self.look(replica)
            replica.asked.wait(WATCH_SECONDS)
            replica.asked.clear()

    def look(self, replica: Replica) -> None:
        """Compare a standby with the primary, once."""
        asked_at, written, identity = time.monotonic(), None, None
        try:
            with self._primary.connect() as connection:
                position, identity = connection.execute(WRITTEN).one()
            written = asked_at, position
            self._set_primary_fault(None)
        except SQLAlchemyError as error:
            self._set_primary_fault(first_line(error))
        try:
            replica.compare(written, identity)
        except SQLAlchemyError as error:
            replica.fail(error)

    def _set_primary_fault(self, fault: str | None) -> None:
        if fault is not None and self.primary_fault is None:
            log.warning("The primary database takes no changes: %s", fault)
        if fault is None and self.primary_fault is not None:
            log.info("The primary database answers again")
        self.primary_fault = fault

    @property
    def is_primary_up(self) -> bool:
        """Whether it answered the last time that it was asked."""
        return self.primary_fault is None

    def fresh(self, after: float) -> list[Replica]:
        """Those that hold all that was written up to `after`, in turn. Asks nobody."""
        return self._in_turn(lambda one: one.is_fresh(after))

    def for_search(self, after: float) -> list[Replica | None]:
        """Which to search in, the next one if that fails: standbys, then the primary (None).

        Those that lack what was written up to `after`, and do not get it within WAIT_SECONDS, come
        after the primary; before it only if that is down. May wait.
        """
        usable = self._in_turn(lambda one: one.state == "in_use")
        first = [one for one in usable if one.fresh_at >= after]
        if not first and self.is_primary_up:
            first = [one for one in usable[:1] if one.wait_for(after)]
        if not self.is_primary_up:
            first = usable
        others = [one for one in self._in_turn(lambda one: one.state != "down") if one not in first]
        return [*first, None, *others]

    def for_reading(self) -> list[Replica | None]:
        """Which to read from otherwise: the primary, or where it is down a standby."""
        others = self._in_turn(lambda one: one.state != "down")
        others.sort(key=lambda one: one.state == "behind")
        return [None, *others] if self.is_primary_up else [*others, None]

    def read(self, work: Callable[[], T]) -> T:
        """What `work` reads from the first of `for_reading` that answers. Raises DBAPIError."""
        databases = self.for_reading()
        for one in databases[:-1]:
            try:
                with reading_from(one.engine if one else None):
                    return work()
            except DBAPIError as error:
                if not self.may_read_elsewhere(one, error):
                    raise
        last = databases[-1]
        with reading_from(last.engine if last else None):
            return work()

    def may_read_elsewhere(self, database: Replica | None, error: DBAPIError) -> bool:
        """Whether another database may have the answer that this one has failed to give.

        One that has gone is noted; a query that was cancelled by the replay of changes says nothing
        of the next one.
        """
        if not is_unavailable(error) or isinstance(error.orig, QueryCanceled):
            return False
        if is_lost(error):
            if database is None:
                self._set_primary_fault(first_line(error))
            else:
                database.fail(error)
        return True

    def _in_turn(self, is_wanted: Callable[[Replica], bool]) -> list[Replica]:
        """Those wanted, each first once in a while."""
        start = next(self._turn) % max(1, len(self.replicas))
        return [one for one in self.replicas[start:] + self.replicas[:start] if is_wanted(one)]


def _replica(url: str) -> Replica:
    try:
        parsed = make_url(url)
        name = f"{parsed.host or parsed.query.get('host') or 'localhost'}:{parsed.port or 5432}"
        engine, watching = make_engine(url), make_engine(url, pool_size=1, overflow=0)
    except ArgumentError as error:
        raise DatabaseUnusable(
            "IMAGE_SEARCH_READ_DATABASE_URL: write each as postgresql://user:password@host/database"
        ) from error
    return Replica(f"{name}/{parsed.database}", engine, watching)
