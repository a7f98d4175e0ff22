"""How far given pictures are from a vector, and which part of them is the nearest."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import cast, select
from sqlalchemy.orm import Session

from app.database.tables import VectorIndex, embeddings
from app.index.hnsw_search import NO_REGION, any_of, typed
from app.vectors import Vectors


@dataclass(frozen=True)
class Part:
    """The part of a picture that is nearest to a vector.

    `region` is its number, 0 for the picture itself. `page` counts from 1, None where the picture
    has one; `box` is [x, y, width, height], as fractions, None where no region of it is as near.
    """

    region: int
    page: int | None
    box: Sequence[float] | None


def get_distances(
    session: Session,
    index: VectorIndex,
    vector: Vectors,
    image_ids: Sequence[int],
    *,
    regions: bool = True,
) -> dict[int, float]:
    """The cosine distances, 0 to 2, of those of the pictures that have a vector.

    Of a picture with several that of the nearest; without `regions` only of whole pictures and
    pages.
    """
    distances, _ = get_nearest_parts(session, index, vector, image_ids, regions=regions)
    return distances


def get_nearest_parts(
    session: Session,
    index: VectorIndex,
    vector: Vectors,
    image_ids: Sequence[int],
    *,
    regions: bool = True,
) -> tuple[dict[int, float], dict[int, Part]]:
    """The same, and which part that is, of the pictures that have parts."""
    stored = typed(index, index.column)
    distance = stored.cosine_distance(cast(vector, stored.type))
    columns = (embeddings.c.image_id, embeddings.c.region, embeddings.c.box, distance)
    query = select(*columns).where(
        embeddings.c.index_id == index.id, embeddings.c.image_id == any_of(image_ids)
    )
    if index.has_parts and not regions:
        query = query.where(NO_REGION)
    distances: dict[int, float] = {}
    nearest: dict[int, tuple[int, Sequence[float] | None]] = {}
    several, paged = set(), set()
    for image_id, region, box, found in session.execute(query):
        if region > 0:
            several.add(image_id)
            if box is None:
                paged.add(image_id)
        if found < distances.get(image_id, float("inf")):
            distances[image_id], nearest[image_id] = found, (region, box)
    return distances, {one: _part(*nearest[one], one in paged) for one in several}


def _part(region: int, box: Sequence[float] | None, has_pages: bool) -> Part:
    page = 1 if box is not None else region + 1
    return Part(region, page if has_pages else None, box)
