"""Answers that are asked for again: given again while nothing was written to the database.

Postgres says so by its snapshot, which changes with each transaction that has written anything,
whichever process it was of, once it is committed. So an answer is never older than the database.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Engine

from app.database.connections import Sessions

T = TypeVar("T")

MOST_LENGTH = 8_000_000  # characters of all answers, written out: some 900 of ten pictures each
SNAPSHOT = "SELECT CAST(pg_current_snapshot() AS text)"


@dataclass(frozen=True)
class _Kept(Generic[T]):
    snapshot: str
    answer: T
    length: int


class AnswerCache(Generic[T]):
    """The answers that were asked for last, as many as `most` characters have room for.

    `length` is of an answer and its question, written out: above 0. Any thread may call.
    """

    def __init__(
        self, sessions: Sessions, length: Callable[[T], int], most: int = MOST_LENGTH
    ) -> None:
        engine: Engine = sessions.kw["bind"]
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._length_of = length
        self._most = most
        self._length = 0
        self._kept: OrderedDict[Hashable, _Kept[T]] = OrderedDict()  # the last used is the last
        self._lock = threading.Lock()

    def answer(self, question: Hashable, ask: Callable[[], T]) -> T:
        """What `ask` gave for the same question, if it would give it now; else it is asked."""
        snapshot = self._snapshot()  # before: what is written meanwhile makes the answer void
        with self._lock:
            kept = self._kept.get(question)
            if kept is not None and kept.snapshot == snapshot:
                self._kept.move_to_end(question)
                return kept.answer
        answer = ask()
        self._keep(question, _Kept(snapshot, answer, self._length_of(answer)))
        return answer

    def _keep(self, question: Hashable, kept: _Kept[T]) -> None:
        with self._lock:
            before = self._kept.pop(question, None)
            self._kept[question] = kept
            self._length += kept.length - (before.length if before else 0)
            while self._length > self._most:
                _, longest_unused = self._kept.popitem(last=False)
                self._length -= longest_unused.length

    def _snapshot(self) -> str:
        """Asked by the shortest way there is: it is most of what a repeated answer costs."""
        with self._engine.connect() as connection:
            found: str = connection.exec_driver_sql(SNAPSHOT).scalar_one()
            return found
