"""A cache of search answers that is valid until anything is written to the database.

Each entry remembers the Postgres snapshot it was computed under. The snapshot changes whenever a
writing transaction of any process commits, so a cached answer is never older than the database.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Engine

from app.database.connections import Sessions

T = TypeVar("T")

MAX_CHARACTERS = 8_000_000  # of all cached answers as text: about 900 answers of ten pictures
SNAPSHOT = "SELECT CAST(pg_current_snapshot() AS text)"


@dataclass(frozen=True)
class _Entry(Generic[T]):
    snapshot: str
    answer: T
    length: int


class AnswerCache(Generic[T]):
    """The most recently used answers, up to `max_characters` in total. Thread-safe.

    `length` gives the size of an answer and its question as text, in characters, above 0.
    """

    def __init__(
        self, sessions: Sessions, length: Callable[[T], int], max_characters: int = MAX_CHARACTERS
    ) -> None:
        engine: Engine = sessions.kw["bind"]
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._length_of = length
        self._max_characters = max_characters
        self._length = 0
        self._entries: OrderedDict[Hashable, _Entry[T]] = OrderedDict()  # least recent first
        self._lock = threading.Lock()

    def answer(self, question: Hashable, compute: Callable[[], T]) -> T:
        """The cached answer to `question` if it is still valid; otherwise that of `compute`."""
        snapshot = self._snapshot()  # taken first: a write during `compute` invalidates its answer
        with self._lock:
            entry = self._entries.get(question)
            if entry is not None and entry.snapshot == snapshot:
                self._entries.move_to_end(question)
                return entry.answer
        answer = compute()
        self._store(question, _Entry(snapshot, answer, self._length_of(answer)))
        return answer

    def _store(self, question: Hashable, entry: _Entry[T]) -> None:
        with self._lock:
            previous = self._entries.pop(question, None)
            self._entries[question] = entry
            self._length += entry.length - (previous.length if previous else 0)
            while self._length > self._max_characters:
                _, least_recent = self._entries.popitem(last=False)
                self._length -= least_recent.length

    def _snapshot(self) -> str:
        """The current snapshot, by the cheapest query: it is most of the cost of a cache hit."""
        with self._engine.connect() as connection:
            snapshot: str = connection.exec_driver_sql(SNAPSHOT).scalar_one()
            return snapshot
