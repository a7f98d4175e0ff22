"""How far given pictures are from a vector, and which of their pages is the nearest."""

from collections.abc import Sequence

from sqlalchemy import cast, select
from sqlalchemy.orm import Session

from app.database.tables import VectorIndex, embeddings
from app.index.hnsw_search import any_of, typed
from app.vectors import Vectors


def get_distances(
    session: Session, index: VectorIndex, vector: Vectors, image_ids: Sequence[int]
) -> dict[int, float]:
    """The cosine distances, 0 to 2, of those of the pictures that have a vector."""
    distances, _ = get_nearest_pages(session, index, vector, image_ids)
    return distances


def get_nearest_pages(
    session: Session, index: VectorIndex, vector: Vectors, image_ids: Sequence[int]
) -> tuple[dict[int, float], dict[int, int]]:
    """The cosine distances, 0 to 2, of those of the pictures that have a vector.

    Of one with several pages that of the nearest; its number, from 1, is in the second answer.
    """
    stored = typed(index, index.column)
    distance = stored.cosine_distance(cast(vector, stored.type))
    query = select(embeddings.c.image_id, embeddings.c.region, distance).where(
        embeddings.c.index_id == index.id, embeddings.c.image_id == any_of(image_ids)
    )
    distances: dict[int, float] = {}
    pages: dict[int, int] = {}
    several: set[int] = set()
    for image_id, region, found in session.execute(query):
        if region > 0:
            several.add(image_id)
        if found < distances.get(image_id, float("inf")):
            distances[image_id], pages[image_id] = found, region + 1
    return distances, {image_id: pages[image_id] for image_id in several}
