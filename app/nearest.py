"""The one hot query: the pictures nearest to a vector, and the session settings it needs."""

from collections.abc import Sequence
from dataclasses import dataclass

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import Select, cast, func, select, true
from sqlalchemy.orm import Session

from app.tables import IMAGE_COLUMNS, PRESENT, Image, VectorIndex, embeddings, images
from app.vectors import Vectors

MIN_EF_SEARCH = 200  # candidates kept: recall@10 ≥ 0.97 on 20,000 CLIP-like vectors (a test)
MAX_EF_SEARCH = 1000  # pgvector's bound
LINKS_EF_SEARCH = 40  # what is very near is found with few candidates: 0.8 ms a picture, not 4
STATEMENT_TIMEOUT_MS = 5_000


Link = tuple[int, int, float]
"""The ids of two pictures, and the cosine distance between them."""


@dataclass(frozen=True)
class Neighbour:
    """A picture and its cosine distance to the query, 0 to 2."""

    image: Image
    distance: float


def find_nearest(
    session: Session, index: VectorIndex, vector: Vectors, limit: int
) -> list[Neighbour]:
    """The `limit` pictures nearest to `vector`, shape (dimensions,), nearest first."""
    _prepare(session, min(max(MIN_EF_SEARCH, 2 * limit), MAX_EF_SEARCH))
    rows = session.execute(nearest_query(index, vector, limit)).mappings()
    return [Neighbour(Image.of(row), row["distance"]) for row in rows]


def nearest_query(index: VectorIndex, vector: Vectors, limit: int) -> Select[tuple[object, ...]]:
    """The statement: inside the materialised part nothing but ORDER BY distance LIMIT.

    Ties and the join to images come after it, so that the planner sees what HNSW can serve.
    """
    kind = HALFVEC(index.dimensions)
    distance = cast(embeddings.c.embedding, kind).cosine_distance(cast(vector, kind))
    nearest = (
        select(embeddings.c.image_id, distance.label("distance"))
        .where(embeddings.c.index_id == index.id)
        .order_by(distance)
        .limit(limit)
        .cte("nearest")
        .prefix_with("MATERIALIZED")
    )
    return (
        select(*IMAGE_COLUMNS, nearest.c.distance)
        .join_from(nearest, images, images.c.id == nearest.c.image_id)
        .where(PRESENT)
        .order_by(nearest.c.distance, images.c.id)
    )


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
    kind = HALFVEC(index.dimensions)
    asked, near = embeddings.alias("asked"), embeddings.alias("near")
    distance = cast(near.c.embedding, kind).cosine_distance(cast(asked.c.embedding, kind))
    found = (
        select(near.c.image_id, near.c.region, distance.label("distance"))
        .where(near.c.index_id == index.id)
        .order_by(distance)
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


def _prepare(session: Session, candidates: int) -> None:
    """Settings for this transaction alone; `candidates` are kept while the graph is walked.

    The iterative scan goes on past vectors of deleted pictures until the limit is full.
    """
    settings = {
        "hnsw.ef_search": candidates,
        "hnsw.iterative_scan": "relaxed_order",
        "statement_timeout": STATEMENT_TIMEOUT_MS,
    }
    values = [func.set_config(name, str(value), True) for name, value in settings.items()]
    session.execute(select(*values))
