"""The one hot query: the pictures nearest to a vector, and the session settings it needs.

A scan of the HNSW graph gives pictures in one order for one vector, however many are asked for:
so pages are windows of that order. Where the scan ends before all were seen, the rest follows in
exact order, and no page is short while pictures are left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pgvector.sqlalchemy import BIT, HALFVEC, VECTOR
from psycopg.errors import QueryCanceled
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Select, any_, cast, func, select, true
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import FromClause

from app.indexes import has_hnsw
from app.plans import estimated_rows
from app.tables import IMAGE_COLUMNS, PRESENT, Image, VectorIndex, embeddings, images
from app.vectors import Vectors

MIN_EF_SEARCH = 200  # candidates kept: recall@10 ≥ 0.97 on 20,000 CLIP-like vectors (a test)
MAX_EF_SEARCH = 1000  # pgvector's bound
LINKS_EF_SEARCH = 40  # what is very near is found with few candidates: 0.8 ms a picture, not 4
EXACT_ROWS = 10_000  # pictures that pass a filter: so few are all compared
RERANKED = 1000  # pictures of a graph of bits that are put in order by their vectors
MAX_SCAN_TUPLES = 40_000  # vectors that one scan of the graph looks at
SCAN_MEMORY = 16  # times work_mem, for the vectors that a scan has seen
STATEMENT_TIMEOUT_MS = 5_000

ONLY_THE_GRAPH = ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin")
"""Ways that the planner would take in a small table, whose order another page would not share."""

Link = tuple[int, int, float]
"""The ids of two pictures, and the cosine distance between them."""

Near = tuple[int, float]
"""The id of a picture, and its cosine distance to the query, 0 to 2."""

Condition = ColumnElement[bool] | None
"""Over `images`: what the pictures of an answer have in common; None: nothing is asked."""


@dataclass(frozen=True)
class Neighbour:
    """A picture and its cosine distance to the query, 0 to 2."""

    image: Image
    distance: float


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


def find_nearest(
    session: Session, index: VectorIndex, vector: Vectors, limit: int
) -> list[Neighbour]:
    """The `limit` pictures nearest to `vector`, shape (dimensions,), nearest first."""
    _prepare(session, _candidates(index, limit))
    nearest = nearest_query(index, vector, limit).cte("nearest").prefix_with("MATERIALIZED")
    query = (
        select(*IMAGE_COLUMNS, nearest.c.distance)
        .join_from(nearest, images, images.c.id == nearest.c.image_id)
        .where(PRESENT)
        .order_by(nearest.c.distance, images.c.id)
    )
    rows = session.execute(query).mappings()
    return [Neighbour(Image.of(row), row["distance"]) for row in rows]


def nearest_query(
    index: VectorIndex, vector: Vectors, limit: int, offset: int = 0, condition: Condition = None
) -> Select[tuple[int, float]]:
    """A window of the graph's order: nothing but ORDER BY distance LIMIT.

    Ties and the join to what is shown come after it, so that the planner sees what HNSW can serve.
    """
    stored = _typed(index, index.column)
    asked = cast(vector, stored.type)
    distance = stored.cosine_distance(asked)
    query = select(embeddings.c.image_id, distance.label("distance")).where(
        embeddings.c.index_id == index.id
    )
    if condition is not None:
        query = query.join(images, images.c.id == embeddings.c.image_id).where(condition)
    return query.order_by(_graph_order(index, stored, asked)).limit(limit).offset(offset or None)


def _typed(index: VectorIndex, column: ColumnElement[Any]) -> Any:
    """The column cast to its type with the index's dimensions, as its graph was built."""
    kind = VECTOR if index.storage == "vector" else HALFVEC
    return cast(column, kind(index.dimensions))


def _graph_order(index: VectorIndex, stored: Any, asked: Any) -> ColumnElement[Any]:
    """What the graph's neighbours are near by: the cosine, or the signs of the dimensions."""
    if index.storage != "bit":
        return stored.cosine_distance(asked)  # type: ignore[no-any-return]
    bits = BIT(index.dimensions)
    return cast(func.binary_quantize(stored), bits).hamming_distance(  # type: ignore[no-any-return]
        cast(func.binary_quantize(asked), bits)
    )


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
    return Scan("hnsw", _candidates(index, limit, share), block)


def _candidates(index: VectorIndex, limit: int, share: float = 1.0) -> int:
    """How many to keep: twice as many as are shown, and as many again as the filter takes out."""
    if index.storage == "bit":
        return MAX_EF_SEARCH
    wanted = max(index.ef_search or MIN_EF_SEARCH, 2 * limit) / share
    return int(min(wanted, MAX_EF_SEARCH))


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
        _prepare(self.session, scan.candidates)
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
        _prepare(self.session)
        stored = _typed(self.index, self.index.column)
        distance = stored.cosine_distance(cast(self.vector, stored.type))
        image_id = embeddings.c.image_id
        query = select(image_id, distance).where(embeddings.c.index_id == self.index.id)
        if scan.few:
            few = matching(self.session, self.index, self.condition, EXACT_ROWS)
            query = query.where(image_id == _any(few))
        elif self.condition is not None:
            query = query.where(image_id.in_(_passing(self.index, self.condition)))
        if seen:
            query = query.where(~(image_id == _any(seen)))
        # Plus 0, so that the planner takes no graph: its order is not exact.
        query = query.order_by(distance + 0, image_id).limit(limit).offset(offset or None)
        return [(near, far) for near, far in self.session.execute(query)]


def _any(ids: Sequence[int]) -> Any:
    return any_(cast(list(ids), ARRAY(BigInteger)))


def find_links(
    session: Session, index: VectorIndex, image_ids: Sequence[int], limit: int, most: float
) -> list[Link]:
    """From each of the pictures to those of its `limit` nearest at a distance of at most `most`.

    A picture is one of its own nearest, but no link leads to itself.
    """
    _prepare(session, LINKS_EF_SEARCH)
    rows = session.execute(links_query(index, image_ids, limit, most))
    return [(one, other, distance) for one, other, distance in rows]


def links_query(
    index: VectorIndex, image_ids: Sequence[int], limit: int, most: float
) -> Select[tuple[int, int, float]]:
    """The statement: per picture, inside the lateral part, nothing but ORDER BY distance LIMIT."""
    asked, near = embeddings.alias("asked"), embeddings.alias("near")
    one, other = _of(index, asked), _of(index, near)
    found = (
        select(near.c.image_id, near.c.region, other.cosine_distance(one).label("distance"))
        .where(near.c.index_id == index.id)
        .order_by(_graph_order(index, other, one))
        .limit(limit)
        .lateral("found")
    )
    return (
        select(asked.c.image_id, found.c.image_id, found.c.distance)
        .join_from(asked, found, true())
        .where(asked.c.index_id == index.id, asked.c.region == 0, found.c.region == 0)
        .where(asked.c.image_id.in_(image_ids), asked.c.image_id != found.c.image_id)
        .where(found.c.distance <= most)
    )


def _of(index: VectorIndex, table: FromClause) -> Any:
    return _typed(index, table.c[index.column.name])


def _prepare(session: Session, candidates: int | None = None) -> None:
    """Settings for this transaction alone; `candidates` are kept while the graph is walked.

    The iterative scan goes on past vectors of deleted pictures until the limit is full. Where
    `candidates` is None the graph is not to be used, and the planner may choose.
    """
    graph = candidates is not None
    settings: dict[str, object] = {"statement_timeout": STATEMENT_TIMEOUT_MS}
    if graph:
        settings |= {
            "hnsw.ef_search": candidates,
            "hnsw.iterative_scan": "relaxed_order",
            "hnsw.max_scan_tuples": MAX_SCAN_TUPLES,
            "hnsw.scan_mem_multiplier": SCAN_MEMORY,
        }
    settings |= {f"enable_{way}": "off" if graph else "on" for way in ONLY_THE_GRAPH}
    values = [func.set_config(name, str(value), True) for name, value in settings.items()]
    session.execute(select(*values))
