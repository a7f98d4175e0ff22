"""The one hot query: the pictures nearest to a vector."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pgvector.sqlalchemy import BIT, HALFVEC, VECTOR
from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    ColumnElement,
    Select,
    Table,
    any_,
    bindparam,
    cast,
    func,
    select,
    true,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import FromClause

from app.database.pipelines import Row, Statement
from app.database.sent_vectors import SentVector
from app.database.tables import IMAGE_COLUMNS, PRESENT, Image, VectorIndex, embeddings, images
from app.index.scan_settings import ef_search_for, prepare, rerank_depth, settings_for
from app.index.search_method import is_searched_exactly
from app.vectors import Vectors

MAX_PAGE_ROWS = 2_000  # read to find enough pictures where a few fill the front with their pages
CACHED_STATEMENTS = 100  # one for each index: the least recently used goes

Near = tuple[int, float]
"""The id of a picture, and its cosine distance to the query, 0 to 2."""

Condition = ColumnElement[bool] | None
"""A filter over `images`; None: every picture passes."""


def not_deleted(image_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Rows of present pictures. Those that can be restored still have vectors, as do held ones.

    They must take no place of an answer, and are few: cheaper than to look up each picture.
    """
    return image_id.not_in(select(images.c.id).where(~PRESENT))


NOT_DELETED = not_deleted(embeddings.c.image_id)

NO_REGION = embeddings.c.box.is_(None)
"""Rows of whole pictures and pages alone."""

GRID_ROWS = 14  # of a picture with all regions of the grid: one is that of the whole
ROWS_PER_PICTURE = 4
"""How many rows are read for each picture wanted, at first, where pictures have parts."""


def passing(index: VectorIndex, condition: Condition) -> Select[tuple[int]]:
    """The ids of the pictures of the index's collection that pass."""
    query = select(images.c.id).where(images.c.collection_id == index.collection_id, PRESENT)
    return query if condition is None else query.where(condition)


@dataclass(frozen=True)
class Neighbour:
    """A picture and its cosine distance to the query, 0 to 2."""

    image: Image
    distance: float


def find_nearest(
    session: Session, index: VectorIndex, vector: Vectors, limit: int
) -> list[Neighbour]:
    """The `limit` pictures nearest to `vector`, shape (dimensions,), nearest first.

    Exactly in a small index, else by its graph.
    """
    exact = is_searched_exactly(session, index)

    def read(depth: int) -> Sequence[Row]:
        settings, found = nearest_statements(index, vector, depth, exact=exact)
        session.execute(*settings)
        return session.execute(*found).mappings().all()

    return distinct_nearest(read, limit)


def distinct_nearest(read: Callable[[int], Sequence[Row]], limit: int) -> list[Neighbour]:
    """The first `limit` pictures of the rows, nearest first, of which `read` gives so many."""
    depth = limit
    while True:
        rows = read(depth)
        nearest: dict[int, Neighbour] = {}
        for row in rows:  # of a picture with several pages the first row is the nearest
            nearest.setdefault(row["id"], Neighbour(Image.of(row), row["distance"]))
        if len(nearest) >= limit or len(rows) < depth or depth >= MAX_PAGE_ROWS:
            return list(nearest.values())[:limit]
        depth *= 2


def nearest_statements(
    index: VectorIndex, vector: Vectors, limit: int, *, exact: bool
) -> tuple[Statement, Statement]:
    """The settings for a transaction, and what reads the `limit` nearest rows with them."""
    depth = limit if exact else rerank_depth(index, limit)
    values = {"vector": vector, "rerank_depth": depth, "limit": limit}
    found = Statement(_neighbours(index, exact), values)
    return settings_for(None if exact else ef_search_for(index, limit)), found


@lru_cache(maxsize=CACHED_STATEMENTS)
def _neighbours(index: VectorIndex, exact: bool) -> Select[Any]:
    """The statement that finds the nearest: building it takes longer than sending it."""
    vector = bindparam("vector", type_=SentVector())
    query = exact_query if exact else nearest_query
    nearest = query(index, vector, bindparam("rerank_depth"))
    return with_pictures(nearest).limit(bindparam("limit"))


def with_pictures(nearest: Select[Any]) -> Select[Any]:
    """The pictures of rows of `image_id` and `distance`, nearest first.

    With the distance, and what else is in the rows.
    """
    # The outer sort is by distance + 0: else Postgres, from 17 on, takes the relaxed scan's order
    # for true and sorts only among equals.
    # Each picture is read by its id: a join would be planned by statistics, and before the first
    # ones, after a load, all pictures would be read.
    found = nearest.cte("nearest").prefix_with("MATERIALIZED")
    picture = select(*IMAGE_COLUMNS).where(images.c.id == found.c.image_id, PRESENT)
    picture_of = picture.limit(1).lateral("picture")
    return (
        select(*picture_of.c, *(one for one in found.c if one.name != "image_id"))
        .join_from(found, picture_of, true())
        .order_by(found.c.distance + 0, picture_of.c.id)
    )


def find_nearest_distance(session: Session, index: VectorIndex, vector: Vectors) -> float:
    """The cosine distance of the nearest picture; infinity where there is none."""
    if is_searched_exactly(session, index):
        prepare(session)
        near = exact_query(index, vector, 1).subquery()
    else:
        prepare(session, ef_search_for(index, 1))
        near = nearest_query(index, vector, rerank_depth(index, 1)).subquery()
    found: float | None = session.execute(select(func.min(near.c.distance))).scalar_one()
    return float("inf") if found is None else found


def nearest_query(
    index: VectorIndex,
    vector: Vectors | BindParameter[Any],
    limit: int | BindParameter[Any],
    offset: int = 0,
    condition: Condition = None,
    reach: int | None = None,
    without: int | None = None,
    regions: bool = True,
) -> Select[tuple[int, float]]:
    """Rows `offset` to `offset + limit` of a graph scan: nothing but ORDER BY distance LIMIT.

    Tie-breaks and joins go around it, so that the planner sees a query that HNSW can serve.
    With a condition, only rows that pass count, among the first `reach` of the scan, or all of it.
    The picture `without` is left out, and without `regions` their rows are passed over.
    """
    query, order = walk(index, embeddings, vector)
    query = query.where(embeddings.c.index_id == index.id, NOT_DELETED)
    if without is not None:
        query = query.where(embeddings.c.image_id != without)
    if not regions:
        query = query.where(NO_REGION)
    if condition is not None:
        query = passing_rows(query, order, condition, reach)
    return query.limit(limit).offset(offset or None)


def walk(
    index: VectorIndex, table: Table, vector: Vectors | BindParameter[Any]
) -> tuple[Select[tuple[int, float]], ColumnElement[Any]]:
    """The rows of `embeddings`, or of a table like it, in the order of a graph; and that order."""
    stored = stored_in(index, table)
    asked = cast(vector, stored.type)
    order = graph_order(index, stored, asked)
    query = select(table.c.image_id, stored.cosine_distance(asked).label("distance"))
    return query.order_by(order), order


def passing_rows(
    walked: Select[tuple[int, float]],
    order: ColumnElement[Any],
    condition: ColumnElement[bool],
    reach: int | None,
) -> Select[tuple[int, float]]:
    """Of the first `reach` rows of a walk, or of all, those whose pictures pass, in its order."""
    near = walked.add_columns(order.label("place")).limit(reach).subquery("near")
    return (
        select(near.c.image_id, near.c.distance)
        .join_from(near, images, images.c.id == near.c.image_id)
        .where(PRESENT, condition)
        .order_by(near.c.place)
    )


def exact_query(
    index: VectorIndex, vector: Vectors | BindParameter[Any], limit: int | BindParameter[Any]
) -> Select[tuple[int, float]]:
    """The `limit` pictures nearest to it, all vectors compared one by one.

    Plus 0, so that the planner cannot use the graph, whose order is approximate.
    """
    stored = typed(index, index.column)
    distance = nearest_part(index, stored.cosine_distance(cast(vector, stored.type)))
    query = select(embeddings.c.image_id, distance.label("distance"))
    query = query.where(embeddings.c.index_id == index.id, NOT_DELETED)
    if index.has_parts:
        query = query.group_by(embeddings.c.image_id)
    return query.order_by(distance + 0, embeddings.c.image_id).limit(limit)


def nearest_part(index: VectorIndex, distance: ColumnElement[float]) -> ColumnElement[float]:
    """The distance of a picture's nearest part, where rows are grouped by picture."""
    return func.min(distance) if index.has_parts else distance


def typed(index: VectorIndex, column: ColumnElement[Any]) -> Any:
    """The column cast to its type with the index's dimensions, as its graph was built."""
    kind = VECTOR if index.storage == "vector" else HALFVEC
    return cast(column, kind(index.dimensions))


def graph_order(index: VectorIndex, stored: Any, asked: Any) -> ColumnElement[Any]:
    """What the graph is ordered by: cosine distance, or Hamming distance of the signs."""
    if index.storage != "bit":
        return stored.cosine_distance(asked)  # type: ignore[no-any-return]
    bits = BIT(index.dimensions)
    return cast(func.binary_quantize(stored), bits).hamming_distance(  # type: ignore[no-any-return]
        cast(func.binary_quantize(asked), bits)
    )


def any_of(ids: Sequence[int]) -> Any:
    """`= ANY(ids)` with one array parameter: the same statement for any number of ids."""
    return any_(cast(list(ids), ARRAY(BigInteger)))


def stored_in(index: VectorIndex, table: FromClause) -> Any:
    """The index's vectors in `embeddings`, or in an alias or a table like it."""
    return typed(index, table.c[index.column.name])
