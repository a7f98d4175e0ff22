"""A cache of search answers that is valid until anything is written to the database.

Each entry remembers what was seen before it was computed, as `snapshots` has it. That changes
whenever a writing transaction of any process commits, so a cached answer is never older than the
database that is asked.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Engine

from app.database.connections import Sessions
from app.database.read_routing import engine_of
from app.database.snapshots import SNAPSHOT

T = TypeVar("T")

MAX_CHARACTERS = 8_000_000  # of all cached answers as text: about 900 answers of ten pictures
SELECT_SNAPSHOT = f"SELECT {SNAPSHOT}"
NEVER_CURRENT = ""  # no snapshot: of an answer that is not to be given again


@dataclass(frozen=True)
class Found(Generic[T]):
    """An answer, and Postgres's snapshot from no later than when it was looked up."""

    snapshot: str
    answer: T


@dataclass(frozen=True)
class _Entry(Generic[T]):
    found: Found[T]
    length: int


class AnswerCache(Generic[T]):
    """The most recently used answers, up to `max_characters` in total. Thread-safe.

    `length` gives the size of an answer and its question as text, in characters, above 0.
    """

    def __init__(
        self, sessions: Sessions, length: Callable[[T], int], max_characters: int = MAX_CHARACTERS
    ) -> None:
        self._sessions = sessions
        self._engines: dict[Engine, Engine] = {}  # with each statement a transaction of its own
        self._length_of = length
        self._max_characters = max_characters
        self._length = 0
        self._entries: OrderedDict[Hashable, _Entry[T]] = OrderedDict()  # least recent first
        self._lock = threading.Lock()

    def answer(self, question: Hashable, compute: Callable[[], Found[T]]) -> Found[T]:
        """The cached answer to `question` if it is still valid; otherwise that of `compute`.

        Postgres is asked for its snapshot only if there is one.
        """
        with self._lock:
            entry = self._entries.get(question)
            if entry is not None:
                self._entries.move_to_end(question)
        if entry is not None and entry.found.snapshot == self.snapshot():
            return entry.found
        found = compute()
        self._store(question, _Entry(found, self._length_of(found.answer)))
        return found

    def snapshot(self) -> str:
        """The current snapshot, by the cheapest query: it is most of the cost of a cache hit."""
        engine = engine_of(self._sessions)
        if engine not in self._engines:
            self._engines[engine] = engine.execution_options(isolation_level="AUTOCOMMIT")
        with self._engines[engine].connect() as connection:
            snapshot: str = connection.exec_driver_sql(SELECT_SNAPSHOT).scalar_one()
            return snapshot

    def _store(self, question: Hashable, entry: _Entry[T]) -> None:
        with self._lock:
            previous = self._entries.pop(question, None)
            self._entries[question] = entry
            self._length += entry.length - (previous.length if previous else 0)
            while self._length > self._max_characters:
                _, least_recent = self._entries.popitem(last=False)
                self._length -= least_recent.length
