"""Which codes are of pictures that pass a filter: asked of Postgres again after any write."""

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from sqlalchemy import LargeBinary, Select, cast, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from app.database.tables import VectorIndex
from app.index.hnsw_search import Condition, passing
from app.index.resident.codes import Ids, Places

MOST_FILTERS = 16  # kept of an index: 8 bytes for each code that passes

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


class PassingCodes:
    """The codes that passed the last filters, the least recently used out first. Thread-safe.

    All of one snapshot of Postgres: what passes may change with any write.
    """

    def __init__(self) -> None:
        self._snapshot = ""
        self._places: OrderedDict[str, Places] = OrderedDict()  # least recent first
        self._lock = threading.Lock()

    def of(self, snapshot: str, condition: str) -> Places | None:
        """Those kept of a condition, as `named` tells it, under that snapshot."""
        with self._lock:
            if snapshot != self._snapshot or condition not in self._places:
                return None
            self._places.move_to_end(condition)
            return self._places[condition]

    def keep(self, snapshot: str, condition: str, places: Places) -> None:
        """Keep them, and forget those of other snapshots."""
        with self._lock:
            if snapshot != self._snapshot:
                self._snapshot = snapshot
                self._places.clear()
            self._places[condition] = places
            self._places.move_to_end(condition)
            if len(self._places) > MOST_FILTERS:
                self._places.popitem(last=False)


def named(condition: Condition) -> str:
    """A name that no other condition has: its SQL and its values."""
    compiled = condition.compile(dialect=DIALECT)  # type: ignore[union-attr]
    return f"{compiled}\n{sorted(compiled.params.items())}"


def passing_ids(session: Session, index: VectorIndex, condition: Condition) -> Ids:
    """The ids of the pictures of the index's collection that pass, shape (n,)."""
    packed: bytes | None = session.execute(_packed(index, condition)).scalar_one()
    return np.frombuffer(packed or b"", ">i8").astype(np.int64)


def _packed(index: VectorIndex, condition: Condition) -> Select[Any]:
    """All of them in one value: rows would take ten times as long to fetch."""
    found = passing(index, condition).subquery()
    return select(func.string_agg(func.int8send(found.c.id), cast(b"", LargeBinary)))
