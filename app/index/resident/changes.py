"""SQL on what has changed in an index since a snapshot of Postgres.

Each row of `embeddings` names the transaction that wrote it. Numbers of a sequence would not do:
what is written first may be committed last.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from app.database.answer_cache import SELECT_SNAPSHOT
from app.database.pipelines import Row, Statement
from app.database.snapshots import SNAPSHOT_OF_STATEMENT, oldest, visible
from app.database.tables import VectorIndex
from app.index.embeddings import BINARY_FORMATS, BINARY_HEADER
from app.index.hnsw_search import CACHED_STATEMENTS
from app.index.resident.codes import Ids
from app.vectors import Vectors, unit_rows

WrittenRow = tuple[int, int]
"""The id of a picture, and the number of the transaction that wrote its vector."""


@dataclass(frozen=True, eq=False)
class Changes:
    """The vectors, float32 (n, dimensions), written up to `snapshot`, and their pictures' ids.

    `writers` are the numbers of the transactions that wrote them.
    """

    snapshot: str
    ids: Ids
    vectors: Vectors
    writers: Sequence[int]

    @property
    def rows(self) -> list[WrittenRow]:
        """What tells each from all others that were ever written."""
        return list(zip(self.ids.tolist(), self.writers, strict=True))

    def without(self, known: Collection[WrittenRow]) -> "Changes":
        """Those that are not known: a standby may tell some again, see `database/snapshots.py`."""
        new = [place for place, row in enumerate(self.rows) if row not in known]
        writers = [self.writers[place] for place in new]
        return Changes(self.snapshot, self.ids[new], self.vectors[new], writers)


def current_snapshot(session: Session) -> str:
    """What the session sees now, as text."""
    snapshot: str = session.execute(text(SELECT_SNAPSHOT)).scalar_one()
    return snapshot


def changed_since(session: Session, index: VectorIndex, snapshot: str, most: int) -> Changes:
    """At most `most` of the vectors that the session sees, and `snapshot` did not."""
    rows = session.execute(*changed_statement(index, snapshot, most)).mappings().all()
    return read_changes(index, rows)


def changed_statement(index: VectorIndex, snapshot: str, most: int) -> Statement:
    """What `changed_since` asks, after `settings_for`; `read_changes` reads its rows."""
    since = {"since": visible(snapshot), "oldest": str(oldest(snapshot))}
    values = {"index_id": index.id, **since, "most": most}
    return Statement(_changed(index), values)


def read_changes(index: VectorIndex, rows: Sequence[Row]) -> Changes:
    """The changes that were found."""
    found = [row for row in rows if row["image_id"] is not None]
    _, kind = BINARY_FORMATS[index.column.name]
    vectors = np.empty((len(found), index.dimensions), np.float32)
    for place, row in enumerate(found):
        vectors[place] = np.frombuffer(row["vector"], kind, offset=BINARY_HEADER)
    ids = np.array([row["image_id"] for row in found], np.int64)
    writers = [row["writer"] for row in found]
    return Changes(rows[0]["snapshot"], ids, unit_rows(vectors), writers)


@lru_cache(maxsize=CACHED_STATEMENTS)
def _changed(index: VectorIndex) -> TextClause:
    send: Any = BINARY_FORMATS[index.column.name][0]
    return text(CHANGED.format(send=send(0).name, column=index.column.name))


# The oldest transaction is a constant, so that the planner knows how few rows there are.
# Rows of a database that was restored from another server's dump name that server's transactions:
# those above this one's are passed over until it gets there.
CHANGED = f"""
SELECT {SNAPSHOT_OF_STATEMENT} AS snapshot, written.image_id, written.vector,
    CAST(CAST(written.changed AS text) AS bigint) AS writer
FROM (SELECT pg_current_snapshot() AS snapshot) AS now
LEFT JOIN LATERAL (
    SELECT image_id, changed, {{send}}({{column}}) AS vector FROM embeddings
    WHERE index_id = :index_id
    AND changed >= CAST(:oldest AS xid8)
    AND changed < pg_snapshot_xmax(now.snapshot)
    AND NOT pg_visible_in_snapshot(changed, CAST(:since AS pg_snapshot))
    LIMIT :most
) AS written ON true
"""  # noqa: S608  # ours
