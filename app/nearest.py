"""The one hot query: the pictures nearest to a vector, and the session settings it needs."""

from dataclasses import dataclass

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import Select, cast, func, select
from sqlalchemy.orm import Session

from app.tables import IMAGE_COLUMNS, PRESENT, Image, VectorIndex, embeddings, images
from app.vectors import Vectors

MIN_EF_SEARCH = 200  # candidates kept: recall@10 ≥ 0.97 on 20,000 CLIP-like vectors (a test)
MAX_EF_SEARCH = 1000  # pgvector's bound
STATEMENT_TIMEOUT_MS = 5_000


@dataclass(frozen=True)
class Neighbour:
    """A picture and its cosine distance to the query, 0 to 2."""

    image: Image
    distance: float


def find_nearest(
    session: Session, index: VectorIndex, vector: Vectors, limit: int
) -> list[Neighbour]:
    """The `limit` pictures nearest to `vector`, shape (dimensions,), nearest first."""
    _prepare(session, limit)
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


def _prepare(session: Session, limit: int) -> None:
    """Settings for this transaction alone.

    The iterative scan goes on past vectors of deleted pictures until the limit is full.
    """
    settings = {
        "hnsw.ef_search": min(max(MIN_EF_SEARCH, 2 * limit), MAX_EF_SEARCH),
        "hnsw.iterative_scan": "relaxed_order",
        "statement_timeout": STATEMENT_TIMEOUT_MS,
    }
    values = [func.set_config(name, str(value), True) for name, value in settings.items()]
    session.execute(select(*values))
