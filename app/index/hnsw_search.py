"""The one hot query: the pictures nearest to a vector, and the session settings it needs."""

from collections.abc import Mapping, Sequence
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
    TextClause,
    any_,
    bindparam,
    cast,
    func,
    select,
    text,
    true,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import FromClause

from app.database.tables import IMAGE_COLUMNS, PRESENT, Image, VectorIndex, embeddings, images
from app.vectors import Vectors

MIN_EF_SEARCH = 400  # candidates kept: recall@10 is 0.96 on 100,000 CLIP-like vectors, 0.87 of 200
MAX_EF_SEARCH = 1000  # pgvector's bound
LINKS_EF_SEARCH = 40  # what is very near is found with few candidates: 0.8 ms a picture, not 4
RERANKED = 1000  # pictures of a graph of bits that are put in order by their vectors
MAX_SCAN_TUPLES = 40_000  # vectors that one scan of the graph looks at
SCAN_MEMORY = 16  # times work_mem, for the vectors that a scan has seen
STATEMENT_TIMEOUT_MS = 5_000
STATEMENTS_KEPT = 100  # of indexes: those asked last

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


def find_nearest(
    session: Session, index: VectorIndex, vector: Vectors, limit: int
) -> list[Neighbour]:
    """The `limit` pictures nearest to `vector`, shape (dimensions,), nearest first."""
    prepare(session, candidates(index, limit))
    asked = {"vector": vector, "looked_at": looked_at(index, limit), "limit": limit}
    rows = session.execute(_neighbours(index), asked).mappings()
    return [Neighbour(Image.of(row), row["distance"]) for row in rows]


@lru_cache(maxsize=STATEMENTS_KEPT)
def _neighbours(index: VectorIndex) -> Select[Any]:
    """The statement of `find_nearest`: to build it anew takes longer than to send it."""
    vector = bindparam("vector", type_=typed(index, index.column).type)
    nearest = nearest_query(index, vector, bindparam("looked_at"))
    found = nearest.cte("nearest").prefix_with("MATERIALIZED")
    return (
        select(*IMAGE_COLUMNS, found.c.distance)
        .join_from(found, images, images.c.id == found.c.image_id)
        .where(PRESENT)
        .order_by(found.c.distance, images.c.id)
        .limit(bindparam("limit"))
    )


def looked_at(index: VectorIndex, limit: int) -> int:
    """How many the graph gives, to be put in order by their vectors, for `limit` hits.

    A graph of bits is in the order of its signs alone: in whole blocks of about RERANKED.
    """
    return limit * max(1, RERANKED // limit) if index.storage == "bit" else limit


def find_nearest_distance(session: Session, index: VectorIndex, vector: Vectors) -> float:
    """The cosine distance of the nearest picture; infinity where there is none."""
    prepare(session, candidates(index, 1))
    near = nearest_query(index, vector, looked_at(index, 1)).subquery()
    found: float | None = session.execute(select(func.min(near.c.distance))).scalar_one()
    return float("inf") if found is None else found


def get_distances(
    session: Session, index: VectorIndex, vector: Vectors, image_ids: Sequence[int]
) -> dict[int, float]:
    """The cosine distances, 0 to 2, of those of the pictures that have a vector."""
    stored = typed(index, index.column)
    query = select(embeddings.c.image_id, stored.cosine_distance(cast(vector, stored.type))).where(
        embeddings.c.index_id == index.id,
        embeddings.c.region == 0,
        embeddings.c.image_id == any_of(image_ids),
    )
    return {row[0]: row[1] for row in session.execute(query)}


def nearest_query(
    index: VectorIndex,
    vector: Vectors | BindParameter[Any],
    limit: int | BindParameter[Any],
    offset: int = 0,
    condition: Condition = None,
    reach: int | None = None,
    without: int | None = None,
) -> Select[tuple[int, float]]:
    """A window of the graph's order: nothing but ORDER BY distance LIMIT.

    Ties and the join to what is shown come after it, so that the planner sees what HNSW can serve.
    With a condition, of what passes; the first `reach` pictures of the graph are looked at, or all.
    The picture `without` is passed over.
    """
    stored = typed(index, index.column)
    asked = cast(vector, stored.type)
    order = _graph_order(index, stored, asked)
    query = select(embeddings.c.image_id, stored.cosine_distance(asked).label("distance"))
    query = query.where(embeddings.c.index_id == index.id).order_by(order)
    if without is not None:
        query = query.where(embeddings.c.image_id != without)
    if condition is not None:
        near = query.add_columns(order.label("place")).limit(reach).subquery("near")
        query = (
            select(near.c.image_id, near.c.distance)
            .join_from(near, images, images.c.id == near.c.image_id)
            .where(PRESENT, condition)
            .order_by(near.c.place)
        )
    return query.limit(limit).offset(offset or None)


def typed(index: VectorIndex, column: ColumnElement[Any]) -> Any:
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


def candidates(index: VectorIndex, limit: int, share: float = 1.0) -> int:
    """How many to keep for `limit` hits, where a filter lets this share of the pictures pass."""
    if index.storage == "bit":
        return MAX_EF_SEARCH
    wanted = max(index.ef_search or MIN_EF_SEARCH, 2 * limit) / share
    return int(min(wanted, MAX_EF_SEARCH))


def any_of(ids: Sequence[int]) -> Any:
    """To compare with: one array, however many ids."""
    return any_(cast(list(ids), ARRAY(BigInteger)))


def find_neighbour_pairs(
    session: Session, index: VectorIndex, image_ids: Sequence[int], limit: int, most: float
) -> list[Link]:
    """From each of the pictures to those of its `limit` nearest at a distance of at most `most`.

    A picture is one of its own nearest, but no link leads to itself.
    """
    prepare(session, LINKS_EF_SEARCH)
    rows = session.execute(neighbour_pairs_query(index, image_ids, limit, most))
    return [(one, other, distance) for one, other, distance in rows]


def neighbour_pairs_query(
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
    return typed(index, table.c[index.column.name])


def prepare(session: Session, kept: int | None = None) -> None:
    """Settings for this transaction alone; so many candidates are `kept` while a graph is walked.

    The iterative scan goes on past vectors of deleted pictures until the limit is full. Where
    `kept` is None no graph is to be used, and the planner may choose.
    """
    told = {"timeout": str(STATEMENT_TIMEOUT_MS)}
    if kept is None:
        session.execute(ANY_WAY, told)
    else:
        told |= {"kept": str(kept), "tuples": str(MAX_SCAN_TUPLES), "memory": str(SCAN_MEMORY)}
        session.execute(BY_GRAPH, told)


def _settings(values: Mapping[str, str]) -> TextClause:
    """A statement that sets them, for its transaction alone."""
    return text("SELECT " + ", ".join(f"set_config('{n}', {v}, true)" for n, v in values.items()))


ANY_WAY = _settings(
    {"statement_timeout": ":timeout"} | {f"enable_{way}": "'on'" for way in ONLY_THE_GRAPH}
)
BY_GRAPH = _settings(
    {
        "statement_timeout": ":timeout",
        "hnsw.ef_search": ":kept",
        "hnsw.iterative_scan": "'relaxed_order'",
        "hnsw.max_scan_tuples": ":tuples",
        "hnsw.scan_mem_multiplier": ":memory",
    }
    | {f"enable_{way}": "'off'" for way in ONLY_THE_GRAPH}
)
