"""How an index is read page by page: by codes in memory, through its HNSW graph, or exactly.

The first two return rows in the same order for the same vector, however many are fetched, so pages
are windows of that order. Where they end before all rows were returned, the others follow in exact
order: no page is short while pictures are left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from psycopg.errors import QueryCanceled
from sqlalchemy import ARRAY, BigInteger, Select, any_, cast, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.database.tables import VectorIndex, embeddings
from app.index import vector_indexes
from app.index.categories import category_rows
from app.index.categories.category_graphs import FEWEST_KEPT
from app.index.categories.category_search import nearest_in_category
from app.index.hnsw_search import (
    NO_REGION,
    NOT_DELETED,
    ROWS_PER_PICTURE,
    Condition,
    Near,
    any_of,
    nearest_part,
    nearest_query,
    passing,
    typed,
)
from app.index.resident.resident_index import ResidentView
from app.index.resident.resident_search import rank_candidates
from app.index.scan_plans import Scan
from app.index.scan_settings import MAX_SCAN_TUPLES, prepare
from app.vectors import Vectors

REACH = 5_000  # rows of the scan that the first block must be found among, or
REACH_BLOCKS = 100  # so many blocks: else the filter passes what is far away


@dataclass(frozen=True)
class IndexReader:
    """Reads an index in the order of distance to `vector`, shape (dimensions,).

    The picture `without` is left out. `view` are the codes of what passes, if they are in memory.
    A picture with several vectors has the place of the nearest, without `regions` of the nearest
    of whole picture and pages.
    """

    session: Session
    index: VectorIndex
    vector: Vectors
    condition: Condition
    without: int | None = None
    view: ResidentView | None = None
    regions: bool = True

    def window(self, scan: Scan, start: int, stop: int) -> tuple[list[Near], Scan]:
        """The pictures at ranks `start` (from 0) up to `stop`, and the scan for the next page.

        Fewer where none are left or the scan gave up. The first page must be read first: what it
        finds decides how the others are read.
        """
        found: list[Near] = []
        first = start - start % scan.block
        for place in range(first, stop, scan.block):
            rows, scan = self._block(scan, place, scan.block)
            found += rows
            if len(rows) < scan.block:
                break
        return found[start - first : stop - first], scan

    def page(self, scan: Scan, start: int) -> tuple[list[Near], bool, Scan]:
        """The block at rank `start`, whether any picture follows it, and the scan after it.

        Looking one further is free, and that picture comes last; except in a graph, whose rows are
        sorted block by block, unless pictures have parts and it is read from its beginning. What it
        searches has more than EXACT_ROWS pictures, or FEWEST_KEPT with a label, so only after these
        is another block read. One may follow, too, where the scan gave up: the next page says so.
        """
        ahead = 0 if scan.method == "hnsw" and not self.index.has_parts else 1
        rows, scan = self._block(scan, start, scan.block + ahead)
        stop = start + scan.block
        if ahead or len(rows) < scan.block:
            more = len(rows) > scan.block or scan.gave_up
        elif stop <= (FEWEST_KEPT if scan.category else vector_indexes.EXACT_ROWS):
            more = True
        else:
            following, scan = self._block(scan, stop, scan.block)
            more = bool(following) or scan.gave_up
        return rows, more, scan

    def _block(self, scan: Scan, start: int, size: int) -> tuple[list[Near], Scan]:
        if start and scan.category and not category_rows.is_ready(self.session, scan.category):
            # It was dropped since the page before: its order was as good as exact.
            scan = replace(scan, method="exact", category=None)
        if scan.method == "exact":
            return self._exact(scan, size, start), scan
        if start == 0 and scan.head is None:
            return self._first_block(scan, size)
        rows: list[Near] = []
        is_all = False
        if scan.head is None or start < scan.head:
            rows, is_all = self._approximate(scan, size, start)
        if len(rows) == size or is_all:
            return rows, scan
        scan = replace(scan, head=start + len(rows) if scan.head is None else scan.head)
        rest, gave_up = self._rest(scan, size - len(rows), start + len(rows))
        return rows + rest, replace(scan, gave_up=gave_up)

    def _first_block(self, scan: Scan, size: int) -> tuple[list[Near], Scan]:
        """From graph or codes; if that does not fill it, exactly, and then all later blocks too.

        What passes a filter may lie so far from the query that the scan ends before it gets there.
        What it returns then is not the nearest.
        """
        reach = max(REACH, REACH_BLOCKS * scan.block)
        rows, is_all = self._approximate(scan, size, 0, reach)
        if len(rows) == size or is_all:
            return rows, scan
        nearest, gave_up = self._rest(replace(scan, head=0), size, 0)
        if gave_up:
            return rows, replace(scan, head=len(rows), gave_up=True)
        return nearest, replace(scan, method="exact")

    def _approximate(
        self, scan: Scan, limit: int, offset: int, reach: int | None = None
    ) -> tuple[list[Near], bool]:
        """A window of the rows that pass, by graph or codes; and whether none follow it."""
        if scan.method == "hnsw":
            return self._graph(scan, limit, offset, reach), False
        if self.view is None:
            # Another process may have found the first page: its order was as good as exact.
            rows = self._exact(scan, limit, offset)
            return rows, len(rows) < limit
        stop, first = offset + limit, scan.candidates
        found = rank_candidates(self.session, self.view, self.vector, stop, first, self.without)
        return found.near[offset:], found.is_all

    def _graph(self, scan: Scan, limit: int, offset: int, reach: int | None = None) -> list[Near]:
        """A window of the pictures that pass, among the scan's first `reach` rows or all."""
        prepare(self.session, scan.candidates)
        if self.index.has_parts:
            return self._graph_of_parts(scan.block, offset + limit, reach)[offset:]
        if scan.category is not None and self.condition is not None:
            walked = nearest_in_category(
                self.index, scan.category, self.vector, self.condition, reach, self.without
            )
            return self._sorted(walked.limit(limit).offset(offset or None))
        query = nearest_query(
            self.index, self.vector, limit, offset, self.condition, reach, self.without
        )
        return self._sorted(query)

    def _graph_of_parts(self, block: int, stop: int, reach: int | None) -> list[Near]:
        """The first `stop` pictures, each where its first row is; the scan is read from its start.

        Rows are sorted a fixed number at a time, so the order is the same whatever `stop` is.
        """
        rows = ROWS_PER_PICTURE * block
        blocks = ceil(stop / block)
        while True:
            depth = rows * blocks
            query = nearest_query(
                self.index,
                self.vector,
                depth,
                condition=self.condition,
                reach=reach,
                without=self.without,
                regions=self.regions,
            )
            found = [(one.image_id, one.distance) for one in self.session.execute(query)]
            nearest: dict[int, float] = {}
            for start in range(0, len(found), rows):
                for image_id, distance in sorted(found[start : start + rows], key=_by_distance):
                    nearest.setdefault(image_id, distance)
            if len(nearest) >= stop or len(found) < depth or depth >= MAX_SCAN_TUPLES:
                return list(nearest.items())[:stop]
            blocks *= 2

    def _sorted(self, query: Select[tuple[int, float]]) -> list[Near]:
        rows = query.cte("nearest").prefix_with("MATERIALIZED")
        # Plus 0: Postgres would take the scan's order for true and sort only among equals.
        ordered = select(rows).order_by(rows.c.distance + 0, rows.c.image_id)
        return [(image_id, distance) for image_id, distance in self.session.execute(ordered)]

    def _rest(self, scan: Scan, limit: int, start: int) -> tuple[list[Near], bool]:
        """What was not returned yet, in exact order; and whether that took too long."""
        head = scan.head or 0
        returned = self._approximate(scan, head, 0)[0] if head else []
        seen = [image_id for image_id, _ in returned]
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
        asked = cast(self.vector, stored.type)
        distance = nearest_part(self.index, stored.cosine_distance(asked))
        image_id = embeddings.c.image_id
        of_index = (embeddings.c.index_id == self.index.id, NOT_DELETED)
        query = select(image_id, distance).where(*of_index)
        if self.index.has_parts:
            query = query.group_by(image_id)
        if not self.regions:
            query = query.where(NO_REGION)
        if scan.few:
            found = passing(self.index, self.condition).scalar_subquery()
            # An array, so that they are fetched by id whatever number the planner expects.
            query = query.where(image_id == any_(func.array(found, type_=ARRAY(BigInteger))))
        elif self.condition is not None:
            query = query.where(image_id.in_(passing(self.index, self.condition)))
        if self.without is not None:
            query = query.where(image_id != self.without)
        if seen:
            query = query.where(~(image_id == any_of(seen)))
        # Plus 0, so that the planner cannot use the graph, whose order is approximate.
        query = query.order_by(distance + 0, image_id).limit(limit).offset(offset or None)
        return [(near, far) for near, far in self.session.execute(query)]


def _by_distance(near: Near) -> tuple[float, int]:
    image_id, distance = near
    return distance, image_id
