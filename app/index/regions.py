"""SQL on the vectors of regions: parts of pictures' first pages, each with its box.

They are rows beside those of whole pictures, told from pages by their box. Every function takes a
Session and leaves the transaction to its caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, cast, delete, func, insert, literal, select
from sqlalchemy.orm import Session

from app.database.annotation_tables import collection_annotators
from app.database.tables import REGION_ANNOTATORS, Regions, VectorIndex, embeddings, vector_indexes
from app.index.hnsw_search import any_of
from app.pictures.crops import Box
from app.vectors import Vectors, unit_halves

FIRST_REGION = 1_000_000  # their numbers begin here, above those of pages and frames
REGION_ROW = embeddings.c.box.is_not(None)

OF_COLLECTION = (
    select(collection_annotators.c.annotator)
    .where(
        collection_annotators.c.collection_id == vector_indexes.c.collection_id,
        collection_annotators.c.annotator.in_(REGION_ANNOTATORS),
    )
    .scalar_subquery()
)
KIND: ColumnElement[Any] = func.coalesce(vector_indexes.c.regions, OF_COLLECTION, "off")
"""The regions that a generation has, as `Regions`: its own, or those of its collection."""


@dataclass(frozen=True, eq=False)
class Region:
    """A part of a picture, and its vector, float32 (dimensions,)."""

    box: Box
    vector: Vectors


def replace(session: Session, index: VectorIndex, image_id: int, regions: Sequence[Region]) -> None:
    """Write the regions of a picture in place of those it had."""
    drop(session, index, [image_id])
    if not regions:
        return
    vectors = np.stack([one.vector for one in regions])
    stored = vectors if index.storage == "vector" else unit_halves(vectors)
    rows: list[dict[str, Any]] = [
        {
            "index_id": index.id,
            "image_id": image_id,
            "region": FIRST_REGION + number,
            "box": list(one.box),
            index.column.name: vector,
        }
        for number, (one, vector) in enumerate(zip(regions, stored, strict=True))
    ]
    session.execute(insert(embeddings), rows)


def drop(session: Session, index: VectorIndex, image_ids: Sequence[int] | None = None) -> None:
    """Delete the regions of these pictures, or of all."""
    query = delete(embeddings).where(embeddings.c.index_id == index.id, REGION_ROW)
    if image_ids is not None:
        query = query.where(embeddings.c.image_id == any_of(image_ids))
    session.execute(query)


def kind(session: Session, index: VectorIndex) -> Regions:
    """Which regions a generation has."""
    query = select(KIND).where(vector_indexes.c.id == index.id)
    found: Regions = session.execute(query).scalar_one()
    return found


def count(session: Session, index: VectorIndex) -> int:
    """How many regions a generation has, of all pictures."""
    query = select(func.count()).where(embeddings.c.index_id == index.id, REGION_ROW)
    return session.execute(query.select_from(embeddings)).scalar_one()


def having(session: Session, index: VectorIndex, image_ids: Sequence[int]) -> set[int]:
    """Which of the pictures have regions."""
    query = select(embeddings.c.image_id).where(
        embeddings.c.index_id == index.id, embeddings.c.image_id == any_of(image_ids), REGION_ROW
    )
    return set(session.execute(query).scalars())


def copy(
    session: Session, source: VectorIndex, target: VectorIndex, image_ids: Sequence[int]
) -> None:
    """Copy the regions of pictures that have none in the target, to a generation of the same model.

    In Python where full precision becomes half, since that is more than a cast (`unit_halves`).
    """
    lacking = sorted(set(image_ids) - having(session, target, image_ids))
    if source.storage == "vector" and target.storage != "vector":
        for image_id, found in _read(session, source, lacking).items():
            replace(session, target, image_id, found)
        return
    value = cast(source.column, target.column.type)
    columns = (embeddings.c.image_id, embeddings.c.region, embeddings.c.box)
    query = select(literal(target.id), *columns, value).where(
        embeddings.c.index_id == source.id, embeddings.c.image_id == any_of(lacking), REGION_ROW
    )
    names = ["index_id", "image_id", "region", "box", target.column.name]
    session.execute(insert(embeddings).from_select(names, query))


def _read(
    session: Session, index: VectorIndex, image_ids: Sequence[int]
) -> dict[int, list[Region]]:
    """The regions of pictures, in their order."""
    columns = (embeddings.c.image_id, embeddings.c.box, index.column)
    query = select(*columns).where(
        embeddings.c.index_id == index.id, embeddings.c.image_id == any_of(image_ids), REGION_ROW
    )
    found: dict[int, list[Region]] = {}
    for image_id, box, vector in session.execute(query.order_by(embeddings.c.region)):
        found.setdefault(image_id, []).append(Region(tuple(box), np.asarray(vector, np.float32)))
    return found
