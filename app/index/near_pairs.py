"""Pairs of pictures that are near to each other, found through the graph for many at a time."""

from collections.abc import Sequence

from sqlalchemy import Select, select, true
from sqlalchemy.orm import Session

from app.database.tables import VectorIndex, embeddings
from app.index.hnsw_search import graph_order, stored_in
from app.index.scan_settings import prepare

PAIRS_EF_SEARCH = 40  # near-duplicates need few candidates: 0.8 ms a picture instead of 4

NeighbourPair = tuple[int, int, float]
"""The ids of two pictures, and the cosine distance between them."""


def find_neighbour_pairs(
    session: Session, index: VectorIndex, image_ids: Sequence[int], limit: int, most: float
) -> list[NeighbourPair]:
    """Each of the pictures with those of its `limit` nearest that are at most `most` away.

    The picture itself counts towards `limit` but makes no pair.
    """
    prepare(session, PAIRS_EF_SEARCH)
    rows = session.execute(neighbour_pairs_query(index, image_ids, limit, most))
    return [(one, other, distance) for one, other, distance in rows]


def neighbour_pairs_query(
    index: VectorIndex, image_ids: Sequence[int], limit: int, most: float
) -> Select[tuple[int, int, float]]:
    """A lateral join: for each picture nothing but ORDER BY distance LIMIT, so HNSW serves it."""
    asked, near = embeddings.alias("asked"), embeddings.alias("near")
    one, other = stored_in(index, asked), stored_in(index, near)
    # The parts of a picture are near to it: they must not fill the limit.
    is_wanted = (near.c.index_id == index.id, *([near.c.region == 0] if index.has_parts else []))
    found = (
        select(near.c.image_id, near.c.region, other.cosine_distance(one).label("distance"))
        .where(*is_wanted)
        .order_by(graph_order(index, other, one))
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
