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

from app.db import Sessions

T = TypeVar("T")

MOST_KEPT = 1_000  # answers: about 10 MB of ten pictures each
SNAPSHOT = "SELECT CAST(pg_current_snapshot() AS text)"


@dataclass(frozen=True)
class _Kept(Generic[T]):
    snapshot: str
    answer: T


class Repeats(Generic[T]):
    """The answers that were asked for last. Any thread may call."""

    def __init__(self, sessions: Sessions, most: int = MOST_KEPT) -> None:
        engine: Engine = sessions.kw["bind"]
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._most = most
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
        with self._lock:
            self._kept[question] = _Kept(snapshot, answer)
            self._kept.move_to_end(question)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return answer

    def _snapshot(self) -> str:
        """Asked by the shortest way there is: it is most of what a repeated answer costs."""
        with self._engine.connect() as connection:
            found: str = connection.exec_driver_sql(SNAPSHOT).scalar_one()
            return found
