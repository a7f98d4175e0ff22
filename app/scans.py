"""How an index is read for an answer of many pages: by its graph, or exactly.

A scan of the HNSW graph gives pictures in one order for one vector, however many are asked for:
so pages are windows of that order. Where the scan ends before all were seen, the rest follows in
exact order, and no page is short while pictures are left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from psycopg.errors import QueryCanceled
from sqlalchemy import Select, cast, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.indexes import has_hnsw
from app.nearest import Condition, Near, any_of, candidates, nearest_query, prepare, typed
from app.plans import estimated_rows
from app.tables import PRESENT, VectorIndex, embeddings, images
from app.vectors import Vectors

EXACT_ROWS = 10_000  # pictures that pass a filter: so few are all compared
RERANKED = 1000  # pictures of a graph of bits that are put in order by their vectors


@dataclass(frozen=True)
class Scan:
    """How an index is read: the same for all pages of an answer.

    `candidates` are kept while the graph is walked; pictures are put in order `block` at a time.
    `head` is how many pictures the graph gave, once it was read to its end. `few`: so few pictures
    pass the filter that they are named one by one. `gave_up`: the rest would have taken too long.
    """

    method: Literal["hnsw", "exact"]
    candidates: int
    block: int
    head: int | None = None
    few: bool = False
    gave_up: bool = False


def plan_scan(
    session: Session,
    index: VectorIndex,
    condition: Condition,
    limit: int,
    *,
    exact: bool = False,
) -> Scan:
    """How to read the index for pages of `limit` pictures; exactly where few pass the filter."""
    share = 1.0
    if condition is not None:
        if len(matching(session, index, condition, EXACT_ROWS + 1)) <= EXACT_ROWS:
            return Scan("exact", 0, limit, few=True)
        share = _estimated_share(session, index, condition)
    if exact or not has_hnsw(session, index):
        return Scan("exact", 0, limit)
    block = limit * max(1, RERANKED // limit) if index.storage == "bit" else limit
    return Scan("hnsw", candidates(index, limit, share), block)


def matching(session: Session, index: VectorIndex, condition: Condition, limit: int) -> list[int]:
    """The ids of pictures that pass, in no order; at most `limit`."""
    return list(session.execute(_passing(index, condition).limit(limit)).scalars())


def _passing(index: VectorIndex, condition: Condition) -> Select[tuple[int]]:
    query = select(images.c.id).where(images.c.collection_id == index.collection_id, PRESENT)
    return query if condition is None else query.where(condition)


def _estimated_share(session: Session, index: VectorIndex, condition: Condition) -> float:
    """Which part of the pictures passes, as the planner expects: above 0, at most 1."""
    passing = estimated_rows(session, _passing(index, condition))
    return min(1.0, max(1.0, passing) / max(1.0, estimated_rows(session, _passing(index, None))))


@dataclass(frozen=True)
class Reading:
    """An index, read in the order of nearness to `vector`, shape (dimensions,)."""

    session: Session
    index: VectorIndex
    vector: Vectors
    condition: Condition

    def window(self, scan: Scan, start: int, stop: int) -> tuple[list[Near], Scan]:
        """The pictures at the places from `start` up to before `stop`, and the scan to go on with.

        Fewer than that where no more are left, or where the scan gave up.
        """
        found: list[Near] = []
        first = start - start % scan.block
        for place in range(first, stop, scan.block):
            rows, scan = self._block(scan, place)
            found += rows
            if len(rows) < scan.block:
                break
        return found[start - first : stop - first], scan

    def _block(self, scan: Scan, start: int) -> tuple[list[Near], Scan]:
        rows: list[Near] = []
        if scan.method == "exact":
            return self._exact(scan, scan.block, start), scan
        if scan.head is None or start < scan.head:
            rows = self._graph(scan, scan.block, start)
        if len(rows) == scan.block:
            return rows, scan
        scan = replace(scan, head=start + len(rows) if scan.head is None else scan.head)
        rest, gave_up = self._rest(scan, scan.block - len(rows), start + len(rows))
        return rows + rest, replace(scan, gave_up=gave_up)

    def _graph(self, scan: Scan, limit: int, offset: int) -> list[Near]:
        prepare(self.session, scan.candidates)
        query = nearest_query(self.index, self.vector, limit, offset, self.condition)
        rows = query.cte("nearest").prefix_with("MATERIALIZED")
        ordered = select(rows).order_by(rows.c.distance, rows.c.image_id)
        return [(image_id, distance) for image_id, distance in self.session.execute(ordered)]

    def _rest(self, scan: Scan, limit: int, start: int) -> tuple[list[Near], bool]:
        """What the graph did not give; and whether that took too long."""
        head = scan.head or 0
        seen = [image_id for image_id, _ in self._graph(scan, head, 0)] if head else []
        try:
            with self.session.begin_nested():
                return self._exact(scan, limit, start - head, seen), False
        except OperationalError as error:
            if isinstance(error.orig, QueryCanceled):
                return [], True
            raise

    def _exact(self, scan: Scan, limit: int, offset: int, seen: Sequence[int] = ()) -> list[Near]:
        prepare(self.session)
        stored = typed(self.index, self.index.column)
        distance = stored.cosine_distance(cast(self.vector, stored.type))
        image_id = embeddings.c.image_id
        query = select(image_id, distance).where(embeddings.c.index_id == self.index.id)
        if scan.few:
            few = matching(self.session, self.index, self.condition, EXACT_ROWS)
            query = query.where(image_id == any_of(few))
        elif self.condition is not None:
            query = query.where(image_id.in_(_passing(self.index, self.condition)))
        if seen:
            query = query.where(~(image_id == any_of(seen)))
        # Plus 0, so that the planner takes no graph: its order is not exact.
        query = query.order_by(distance + 0, image_id).limit(limit).offset(offset or None)
        return [(near, far) for near, far in self.session.execute(query)]
