"""SQL on embeddings: the vectors of pictures, each in the partition of its index.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    LargeBinary,
    Select,
    and_,
    any_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.kept_statements import execute_kept
from app.database.tables import IMAGE_COLUMNS, PRESENT, Image, VectorIndex, embeddings, images
from app.index.categories.category_copies import follow_vectors
from app.index.hnsw_search import NOT_DELETED, any_of
from app.vectors import Vectors, unit_halves

BINARY_FORMATS = {
    "embedding": (func.halfvec_send, ">f2"),
    "full_embedding": (func.vector_send, ">f4"),
}
"""By column, pgvector's send function and its number type: a third of the time that text takes."""

FURTHER_PAGE = and_(embeddings.c.region > 0, embeddings.c.box.is_(None))
FRAMES = "frames"  # in the metadata of pictures that have several pages
BINARY_HEADER = 4  # bytes before the numbers: their count, and two unused


def put_vectors(
    session: Session, index: VectorIndex, image_ids: list[int], vectors: Vectors
) -> None:
    """Write the vectors of whole pictures, float32 (len(image_ids), dimensions)."""
    column = index.column.name
    stored = vectors if index.storage == "vector" else unit_halves(vectors)
    rows = [
        {"index_id": index.id, "image_id": image_id, column: vector}
        for image_id, vector in zip(image_ids, stored, strict=True)
    ]
    query = upsert(embeddings)
    query = query.on_conflict_do_update(
        index_elements=["index_id", "image_id", "region"],
        set_={column: query.excluded[column], "changed": query.excluded.changed},
    )
    session.execute(query, rows)
    follow_vectors(session, index, image_ids)


def put_pages(
    session: Session, index: VectorIndex, pages: Mapping[int, Mapping[int, Vectors]]
) -> None:
    """Replace the vectors of pictures' pages, float32 (dimensions,), by picture and page.

    Pages are counted from 1, which stands for the picture itself and is left as it is.
    """
    drop_pages(session, index, list(pages))
    rows: list[dict[str, Any]] = []
    for image_id, vectors in pages.items():
        for page, vector in vectors.items():
            stored = vector if index.storage == "vector" else unit_halves(vector[np.newaxis])[0]
            row = {"index_id": index.id, "image_id": image_id, "region": page - 1}
            rows.append({**row, index.column.name: stored})
    if rows:
        session.execute(insert(embeddings), rows)


def drop_pages(
    session: Session, index: VectorIndex, image_ids: Sequence[int] | None = None
) -> None:
    """Delete the vectors of all pages but the first, of these pictures or of all."""
    query = delete(embeddings).where(embeddings.c.index_id == index.id, FURTHER_PAGE)
    if image_ids is not None:
        query = query.where(embeddings.c.image_id == any_of(image_ids))
    session.execute(query)


def get_vectors(
    session: Session, index: VectorIndex, image_ids: Sequence[int]
) -> dict[int, Vectors]:
    """The vectors, float32 (dimensions,), of those of the pictures that have one, by their ids."""
    values = {"index_id": index.id, "image_ids": list(image_ids)}
    found = execute_kept(session, _vectors_of(index.column.name), values)
    return {image_id: read_vector(index.column.name, sent) for image_id, sent in found}


def sent_vector(column: str) -> ColumnElement[bytes]:
    """A vector of `column` as it is sent, for `read_vector`."""
    as_bytes, _ = BINARY_FORMATS[column]
    return as_bytes(embeddings.c[column], type_=LargeBinary)


def read_vector(column: str, sent: bytes) -> Vectors:
    """A vector of `column` as float32 (dimensions,)."""
    _, kind = BINARY_FORMATS[column]
    return np.frombuffer(sent, kind, offset=BINARY_HEADER).astype(np.float32)


@cache
def _vectors_of(column: str) -> Select[tuple[int, bytes]]:
    return select(embeddings.c.image_id, sent_vector(column)).where(
        embeddings.c.index_id == bindparam("index_id"),
        embeddings.c.image_id == any_(cast(bindparam("image_ids"), ARRAY(BigInteger))),
        embeddings.c.region == 0,
    )


def get_part_vectors(
    session: Session, index: VectorIndex, numbers: Mapping[int, int]
) -> dict[int, Vectors]:
    """The vectors, float32 (dimensions,), of one part of each picture; `numbers` are `region`s."""
    query = select(embeddings.c.image_id, sent_vector(index.column.name)).where(
        embeddings.c.index_id == index.id,
        tuple_(embeddings.c.image_id, embeddings.c.region).in_(list(numbers.items())),
    )
    return {
        image_id: read_vector(index.column.name, sent) for image_id, sent in session.execute(query)
    }


def get_present_vectors(
    session: Session, index: VectorIndex, image_ids: Sequence[int]
) -> dict[int, Vectors]:
    """The same, without deleted and held pictures: for whoever names pictures by their ids."""
    query = select(images.c.id).where(images.c.id == any_of(image_ids), PRESENT)
    return get_vectors(session, index, list(session.execute(query).scalars()))


def get_pages(
    session: Session, index: VectorIndex, image_ids: Sequence[int]
) -> dict[int, dict[int, Vectors]]:
    """The vectors of the pages after the first, as `put_pages` takes them."""
    column = index.column.name
    query = select(embeddings.c.image_id, embeddings.c.region, sent_vector(column)).where(
        embeddings.c.index_id == index.id,
        embeddings.c.image_id == any_of(image_ids),
        FURTHER_PAGE,
    )
    found: dict[int, dict[int, Vectors]] = {}
    for image_id, region, sent in session.execute(query):
        found.setdefault(image_id, {})[region + 1] = read_vector(column, sent)
    return found


def sample(session: Session, index: VectorIndex, limit: int) -> dict[int, Vectors]:
    """The vectors of a uniform sample of `limit` pictures, by id: always the same sample.

    Of pictures that searches find: deleted and held ones have vectors too.
    """
    query = select(embeddings.c.image_id).where(embeddings.c.index_id == index.id, NOT_DELETED)
    query = query.where(embeddings.c.region == 0)
    chosen = query.order_by(func.hashint8(embeddings.c.image_id), embeddings.c.image_id).limit(
        limit
    )
    return get_vectors(session, index, list(session.execute(chosen).scalars()))


def count_findable(session: Session, index: VectorIndex) -> int:
    """How many vectors a search can come to, of whole pictures and of their parts."""
    query = select(func.count()).select_from(embeddings)
    return session.execute(query.where(embeddings.c.index_id == index.id, NOT_DELETED)).scalar_one()


def count_covered(session: Session, index: VectorIndex) -> tuple[int, int]:
    """How many pictures the index's collection has, and of how many of them it has a vector."""
    return count_covered_each(session, [index])[0]


def count_parts(session: Session, index: VectorIndex) -> int:
    """How many vectors of pages and regions it has, besides those of whole pictures."""
    query = select(func.count()).select_from(embeddings)
    query = query.where(embeddings.c.index_id == index.id, embeddings.c.region > 0)
    return session.execute(query).scalar_one()


def count_covered_each(session: Session, found: Sequence[VectorIndex]) -> list[tuple[int, int]]:
    """For each index: the number of pictures, and of those with a vector."""
    pictures = select(images.c.collection_id, func.count()).group_by(images.c.collection_id)
    pictures = pictures.where(images.c.collection_id.in_([one.collection_id for one in found]))
    vectors = select(embeddings.c.index_id, func.count()).group_by(embeddings.c.index_id)
    vectors = vectors.where(embeddings.c.index_id.in_([one.id for one in found]))
    there = dict(session.execute(pictures.where(PRESENT)).tuples().all())
    covered = dict(session.execute(vectors.where(embeddings.c.region == 0)).tuples().all())
    counted = [(there.get(one.collection_id, 0), covered.get(one.id, 0)) for one in found]
    # Tombstones still have vectors.
    return [(pictures, min(vectors, pictures)) for pictures, vectors in counted]


def without_vector(session: Session, index: VectorIndex, *, all_pages: bool = False) -> list[Image]:
    """The pictures of the index's collection that it has no vector of.

    With `all_pages` also those that have several pages, and a vector of the first alone.
    """
    of_picture = (embeddings.c.index_id == index.id, embeddings.c.image_id == images.c.id)
    lacking = ~exists().where(*of_picture, embeddings.c.region == 0)
    if all_pages:
        number = func.coalesce(func.jsonb_array_length(images.c.frame_times), 2)  # of a video
        has_pages = and_(images.c.metadata.has_key(FRAMES), number > 1)
        lacking = or_(lacking, and_(has_pages, ~exists().where(*of_picture, FURTHER_PAGE)))
    query = select(*IMAGE_COLUMNS).where(
        images.c.collection_id == index.collection_id, PRESENT, lacking
    )
    return [Image.of(row) for row in session.execute(query.order_by(images.c.id)).mappings()]
