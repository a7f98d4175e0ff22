"""How an index is read page by page: through its HNSW graph, or exactly.

An HNSW scan returns rows in the same order for the same vector, however many are fetched, so pages
are windows of that order. Where the scan ends before all rows were returned, the others follow in
exact order: no page is short while pictures are left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from psycopg.errors import QueryCanceled
from sqlalchemy import ARRAY, BigInteger, Select, any_, cast, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.database.query_plans import estimated_rows
from app.database.tables import PRESENT, VectorIndex, embeddings, images
from app.index import vector_indexes
from app.index.hnsw_search import (
    Condition,
    Near,
    any_of,
    ef_search_for,
    nearest_query,
    prepare,
    rerank_depth,
    typed,
)
from app.vectors import Vectors

EXACT_ROWS = vector_indexes.EXACT_ROWS  # pictures that pass a filter
REACH = 5_000  # rows of the scan that the first block must be found among, or
REACH_BLOCKS = 100  # so many blocks: else the filter passes what is far away


@dataclass(frozen=True)
class Scan:
    """How an index is read, the same for all pages of an answer; cursors carry it.

    `candidates` is `ef_search`; rows are sorted `block` at a time. `head` is the number of rows
    that the graph returned, once its scan has ended. `few`: so few pictures pass the filter that
    their vectors are fetched by id. `gave_up`: the exact rest would have taken too long.
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
    """Choose how to read the index for pages of `limit` pictures.

    Exactly where few pass, or where the whole index is small.
    """
    share = 1.0
    if condition is not None:
        prepare(session)
        if _count_passing(session, index, condition, EXACT_ROWS + 1) <= EXACT_ROWS:
            return Scan("exact", 0, limit, few=True)
        share = _estimated_share(session, index, condition)
    if exact or vector_indexes.is_searched_exactly(session, index):
        return Scan("exact", 0, limit)
    return Scan("hnsw", ef_search_for(index, limit, share), rerank_depth(index, limit))


def _count_passing(session: Session, index: VectorIndex, condition: Condition, most: int) -> int:
    """How many pictures pass; counting stops at `most`.

    The CTE makes the planner expect all of them to be read. It has no statistics on most metadata
    and assumes that a third passes; with the limit in sight it would scan the table, not an index.
    """
    passing = _passing(index, condition).cte("passing").prefix_with("MATERIALIZED")
    some = select(passing.c.id).limit(most).subquery()
    return session.execute(select(func.count()).select_from(some)).scalar_one()


def _passing(index: VectorIndex, condition: Condition) -> Select[tuple[int]]:
    query = select(images.c.id).where(images.c.collection_id == index.collection_id, PRESENT)
    return query if condition is None else query.where(condition)


def _estimated_share(session: Session, index: VectorIndex, condition: Condition) -> float:
    """The share of pictures that the planner expects to pass: above 0, at most 1."""
    passing = estimated_rows(session, _passing(index, condition))
    return min(1.0, max(1.0, passing) / max(1.0, estimated_rows(session, _passing(index, None))))


@dataclass(frozen=True)
class IndexReader:
    """Reads an index in the order of distance to `vector`, shape (dimensions,).

    The picture `without` is left out.
    """

    session: Session
    index: VectorIndex
    vector: Vectors
    condition: Condition
    without: int | None = None

    def window(self, scan: Scan, start: int, stop: int) -> tuple[list[Near], Scan]:
        """The pictures at ranks `start` (from 0) up to `stop`, and the scan for the next page.

        Fewer where none are left or the scan gave up. The first page must be read first: what it
        finds decides how the others are read.
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
        if scan.method == "exact":
            return self._exact(scan, scan.block, start), scan
        if start == 0 and scan.head is None:
            return self._first_block(scan)
        rows: list[Near] = []
        if scan.head is None or start < scan.head:
            rows = self._graph(scan, scan.block, start)
        if len(rows) == scan.block:
            return rows, scan
        scan = replace(scan, head=start + len(rows) if scan.head is None else scan.head)
        rest, gave_up = self._rest(scan, scan.block - len(rows), start + len(rows))
        return rows + rest, replace(scan, gave_up=gave_up)

    def _first_block(self, scan: Scan) -> tuple[list[Near], Scan]:
        """From the graph; if that does not fill it, exactly, and then all later blocks too.

        What passes a filter may lie so far from the query that the scan ends before it gets there.
        What it returns then is not the nearest.
        """
        reach = max(REACH, REACH_BLOCKS * scan.block)
        rows = self._graph(scan, scan.block, 0, reach)
        if len(rows) == scan.block:
            return rows, scan
        nearest, gave_up = self._rest(replace(scan, head=0), scan.block, 0)
        if gave_up:
            return rows, replace(scan, head=len(rows), gave_up=True)
        return nearest, replace(scan, method="exact")

    def _graph(self, scan: Scan, limit: int, offset: int, reach: int | None = None) -> list[Near]:
        """A window of the rows that pass, among the scan's first `reach` rows or all of them."""
        prepare(self.session, scan.candidates)
        query = nearest_query(
            self.index, self.vector, limit, offset, self.condition, reach, self.without
        )
        rows = query.cte("nearest").prefix_with("MATERIALIZED")
        # Plus 0: Postgres would take the scan's order for true and sort only among equals.
        ordered = select(rows).order_by(rows.c.distance + 0, rows.c.image_id)
        return [(image_id, distance) for image_id, distance in self.session.execute(ordered)]

    def _rest(self, scan: Scan, limit: int, start: int) -> tuple[list[Near], bool]:
        """What the graph did not return, in exact order; and whether that took too long."""
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
            passing = _passing(self.index, self.condition).scalar_subquery()
            # An array, so that they are fetched by id whatever number the planner expects.
            query = query.where(image_id == any_(func.array(passing, type_=ARRAY(BigInteger))))
        elif self.condition is not None:
            query = query.where(image_id.in_(_passing(self.index, self.condition)))
        if self.without is not None:
            query = query.where(image_id != self.without)
        if seen:
            query = query.where(~(image_id == any_of(seen)))
        # Plus 0, so that the planner cannot use the graph, whose order is approximate.
        query = query.order_by(distance + 0, image_id).limit(limit).offset(offset or None)
        return [(near, far) for near, far in self.session.execute(query)]
