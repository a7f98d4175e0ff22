"""The codes of one index, kept in step with what any process commits."""

import logging
import threading
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from app.database.snapshots import oldest
from app.database.tables import VectorIndex
from app.index.hnsw_search import Condition
from app.index.resident.changes import Changes, WrittenRow, changed_since
from app.index.resident.codes import Codes, Ids, Places
from app.index.resident.passing_codes import PassingCodes, named, passing_ids
from app.index.scan_settings import prepare
from app.vectors import Vectors

log = logging.getLogger(__name__)

MOST_CHANGES = 2_000  # read by a search; beyond, all codes are read again beside the searches
OUTGROWN = 1.5  # so many times the codes that were loaded: they are old or of deleted pictures


@dataclass(frozen=True, eq=False)
class Candidates:
    """The ids of pictures that may be near; `is_all`: of all that pass and have a vector."""

    ids: Ids
    is_all: bool


@dataclass(frozen=True, eq=False)
class ResidentView:
    """The codes of what `snapshot` sees and passes a filter, and of pictures that it does not see.

    `taken`: the rows that no earlier transaction wrote than the oldest which had not ended, and
    whose codes are among these.
    """

    index: VectorIndex
    snapshot: str
    codes: Codes
    among: Places | None
    taken: frozenset[WrittenRow]

    def __len__(self) -> int:
        return len(self.codes) if self.among is None else len(self.among)

    def candidates(self, vector: Vectors, count: int) -> Candidates:
        """About the `count` nearest to `vector`, shape (dimensions,)."""
        return Candidates(self.codes.nearest(vector, count, self.among), count >= len(self))


class ResidentIndex:
    """Codes that hold what `snapshot` saw of the index. Thread-safe.

    Of the primary or of any of its standbys: their transactions have the same numbers, and codes of
    what one of them does not see yet take no place of an answer there.
    """

    def __init__(self, index: VectorIndex, codes: Codes, snapshot: str) -> None:
        self.index = index
        self._codes = codes
        self._loaded = len(codes)
        self._snapshot = snapshot
        self._taken: frozenset[WrittenRow] = frozenset()
        self._is_behind = False
        self._passing = PassingCodes()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def is_due(self) -> bool:
        """Whether all codes should be read again."""
        return self._is_behind or len(self) > OUTGROWN * self._loaded

    def view(self, session: Session, condition: Condition = None) -> ResidentView | None:
        """What a search reads; None if too much was written since the last one."""
        prepare(session)
        seen = ""
        while (held := self.held()) is not None:
            changes = changed_since(session, self.index, held.snapshot, MOST_CHANGES + 1)
            if self.follow(held, changes):
                seen = changes.snapshot
                break
        held = self.held()
        if held is None:
            return None
        held = replace(held, snapshot=seen)
        if condition is None:
            return held
        return replace(held, among=self._among(session, held, condition))

    def _among(self, session: Session, view: ResidentView, condition: Condition) -> Places:
        """Those of the codes whose pictures passed at the view's snapshot, or have passed since."""
        name = named(condition)
        places = self._passing.of(view.snapshot, name)
        if places is None:
            places = view.codes.places(passing_ids(session, self.index, condition))
            self._passing.keep(view.snapshot, name, places)
        return places

    def held(self) -> ResidentView | None:
        """The codes as they are, which may lack what was written since; None if they lack much."""
        with self._lock:
            if self._is_behind:
                return None
            codes = self._codes.frozen()
            return ResidentView(self.index, self._snapshot, codes, None, self._taken)

    def follow(self, view: ResidentView, changes: Changes) -> bool:
        """Take in what has changed since `view`, unless another thread has taken in something else.

        Whether the codes now hold what the changes saw, if they do not fall behind.
        """
        with self._lock:
            if view.snapshot != self._snapshot:
                return changes.snapshot == self._snapshot
            if len(changes.ids) > MOST_CHANGES:
                self._is_behind = True
            else:
                self._take_in(changes.without(self._taken))
            return True

    def _take_in(self, changes: Changes) -> None:
        """What a standby tells may be older than what is known already."""
        if oldest(changes.snapshot) >= oldest(self._snapshot):
            self._snapshot = changes.snapshot
        if len(changes.ids):
            self._codes.add(changes.ids, changes.vectors)
        if len(changes.ids) or self._taken:
            end = oldest(self._snapshot)
            self._taken = frozenset(row for row in (*self._taken, *changes.rows) if row[1] >= end)
