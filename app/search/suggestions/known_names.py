"""What a collection's pictures bear, kept in the process for suggestions.

Searches never wait for it: it is read in the background, at the first search and later only if
something was written since, which the snapshot of Postgres tells.
"""

import logging
import re
import threading
import time
import unicodedata
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog.known_values import KnownValues, read_known_values
from app.database.answer_cache import SELECT_SNAPSHOT
from app.database.connections import Sessions
from app.database.tables import Collection
from app.search.word_splitting import RUN

log = logging.getLogger(__name__)

MIN_REST_SECONDS = 5.0  # between two readings
REST_FACTOR = 20  # a reading that took a second is followed by 20 s without one
STATEMENT_TIMEOUT_MS = 20_000  # nobody waits for it
MIN_CHARACTERS = 2  # of a name
MAX_WORDS = 5  # of a name that is recognised
MAX_SPELLINGS = 10  # of one name in one field

WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
MAX_UNSPACED = 10  # characters of a name in a run of a script without spaces


@dataclass(frozen=True)
class NameMatch:
    """A name that pictures bear, at `text[start:stop]`, and the filter that they pass."""

    filter: Mapping[str, Any]
    start: int
    stop: int


@dataclass(frozen=True)
class Known:
    """The spellings of each `folded` name, by field, and the first days of months with pictures."""

    names: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict)
    months: frozenset[date] = frozenset()

    @classmethod
    def of(cls, values: KnownValues) -> "Known":
        """Those of a collection."""
        names: dict[str, dict[str, list[str]]] = {}
        for field_name, listed in values.names.items():
            for one in listed:
                if len(one) >= MIN_CHARACTERS and not one.isdigit():
                    names.setdefault(folded(one), {}).setdefault(field_name, []).append(one)
        return cls(names, values.months)

    def find(self, text: str) -> list[NameMatch]:
        """The names in a text, longer ones first where they overlap."""
        found: list[NameMatch] = []
        if not self.names:
            return found
        for start, stop in sorted(_spans(text), key=lambda span: span[0] - span[1]):
            by_field = self.names.get(folded(text[start:stop]))
            if by_field and not any(start < one.stop and one.start < stop for one in found):
                found.append(NameMatch(_filter(by_field), start, stop))
        return sorted(found, key=lambda one: one.start)


def folded(name: str) -> str:
    """A name without differences of case, width and spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where names may be: up to MAX_WORDS words, and parts of what has no spaces."""
    words = [one.span() for one in WORD.finditer(text)]
    for first, (start, _) in enumerate(words):
        for _, stop in words[first : first + MAX_WORDS]:
            yield start, stop
    for run in RUN.finditer(text):
        for start in range(*run.span()):
            for stop in range(start + MIN_CHARACTERS, min(start + MAX_UNSPACED, run.end()) + 1):
                yield start, stop


def _filter(by_field: Mapping[str, list[str]]) -> dict[str, Any]:
    clauses = [{name: {"in": spelled[:MAX_SPELLINGS]}} for name, spelled in by_field.items()]
    return clauses[0] if len(clauses) == 1 else {"or": clauses}


class KnownNames:
    """Those of one collection. `threads` read them."""

    def __init__(self, sessions: Sessions, threads: Executor) -> None:
        self._sessions = sessions
        self._threads = threads
        self._known = Known()
        self._fields: Mapping[str, str] = {}
        self._snapshot: str | None = None
        self._due_at = 0.0  # by time.monotonic
        self._reading = threading.Lock()

    def of(self, collection: Collection) -> Known:
        """What was read last; empty at first. Queries nothing."""
        if time.monotonic() >= self._due_at and self._reading.acquire(blocking=False):
            self._threads.submit(copy_context().run, self._read_and_release, collection)
        return self._known

    def _read_and_release(self, collection: Collection) -> None:
        began = time.monotonic()
        try:
            with self._sessions.begin() as session:
                self._read(session, collection)
        except Exception:  # whatever the database raises: nobody waits for this
            log.warning("the names of collection %s were not read", collection.id, exc_info=True)
        finally:
            took = time.monotonic() - began
            self._due_at = time.monotonic() + max(MIN_REST_SECONDS, REST_FACTOR * took)
            self._reading.release()

    def _read(self, session: Session, collection: Collection) -> None:
        snapshot = session.execute(text(SELECT_SNAPSHOT)).scalar_one()
        if (snapshot, collection.fields) == (self._snapshot, self._fields):
            return
        session.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}"))
        self._known = Known.of(read_known_values(session, collection))
        self._snapshot, self._fields = snapshot, collection.fields
