"""SQL on collections, vector indexes, images and embeddings.

Every function takes a Session and leaves the transaction to its caller.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.errors import ImageNotFound, IndexGone, ModelMismatch
from app.pictures import Picture
from app.tables import (
    IMAGE_COLUMNS,
    INDEX_COLUMNS,
    Image,
    VectorIndex,
    collections,
    embeddings,
    images,
    vector_indexes,
)
from app.vectors import Vectors, VectorSpace, check_vectors

DEFAULT_NAMESPACE = DEFAULT_COLLECTION = "default"
HNSW_M = 16  # pgvector's own defaults
HNSW_EF_CONSTRUCTION = 64
CONTENT_COLUMNS = ("content_hash", "etag", "bytes", "width", "height", "format")


@dataclass(frozen=True)
class NewImage:
    """What is known of a picture before it has a row."""

    path: str
    content_hash: bytes
    etag: str
    bytes: int
    width: int
    height: int
    format: str
    caption: str | None = None
    metadata: Mapping[str, Any] | None = None

    def values(self) -> dict[str, Any]:
        """The columns of its row, but for the collection."""
        return {**vars(self), "metadata": dict(self.metadata or {})}


def new_image(path: str, etag: str, data: bytes, picture: Picture) -> NewImage:
    """The facts of the file `data` that was decoded to `picture`."""
    return NewImage(
        path=path,
        content_hash=hashlib.sha256(data).digest(),
        etag=etag,
        bytes=len(data),
        width=picture.width,
        height=picture.height,
        format=picture.format,
    )


@dataclass(frozen=True)
class KnownFile:
    """What the catalog remembers of a file, to tell whether it has changed."""

    id: int
    path: str
    etag: str
    content_hash: bytes


def default_collection(session: Session) -> int:
    """The id of the collection that the flat endpoints use."""
    query = select(collections.c.id).where(
        collections.c.namespace == DEFAULT_NAMESPACE, collections.c.name == DEFAULT_COLLECTION
    )
    collection_id: int = session.execute(query).scalar_one()
    return collection_id


def open_index(session: Session, collection_id: int, space: VectorSpace) -> VectorIndex:
    """The collection's active index, made now if it has none.

    Raises ModelMismatch where the active index holds another model's vectors.
    """
    _lock(session, f"collection {collection_id}")
    index = _active_index(session, collection_id)
    if index is None:
        return _create_index(session, collection_id, space)
    if index.fingerprint != space.fingerprint:
        if count_vectors(session, index, limit=1) == 0:  # nothing would be mixed
            _drop_index(session, index)
            return _create_index(session, collection_id, space)
        known = index.space
        raise ModelMismatch(
            f"The pictures in this database were indexed with {known.name} "
            f"(fingerprint {known.fingerprint[:12]}), not with {space.name} "
            f"({space.fingerprint[:12]}). Their vectors cannot be compared. Start with that model "
            "again (CLIP_MODEL and CLIP_PRETRAINED; TESTING=1 for the demo model), or use another "
            "database (DATABASE_URL or POSTGRES_DIR) for the new one."
        )
    return index


def _active_index(session: Session, collection_id: int) -> VectorIndex | None:
    query = select(*INDEX_COLUMNS).where(
        vector_indexes.c.collection_id == collection_id, vector_indexes.c.state == "active"
    )
    # FOR UPDATE: whoever is adding vectors holds the row, and is waited for.
    row = session.execute(query.with_for_update()).mappings().one_or_none()
    return VectorIndex(**row) if row else None


def _create_index(session: Session, collection_id: int, space: VectorSpace) -> VectorIndex:
    values = {
        "collection_id": collection_id,
        **vars(space),
        "m": HNSW_M,
        "ef_construction": HNSW_EF_CONSTRUCTION,
        "state": "active",
    }
    query = insert(vector_indexes).values(values).returning(*INDEX_COLUMNS)
    index = VectorIndex(**session.execute(query).mappings().one())
    session.execute(
        text(
            f"CREATE TABLE {index.partition} PARTITION OF embeddings "
            f"(CONSTRAINT {index.partition}_dimensions_check "
            f"CHECK (vector_dims(embedding) = {index.dimensions})) "
            f"FOR VALUES IN ({index.id})"
        )
    )
    return index


def _drop_index(session: Session, index: VectorIndex) -> None:
    session.execute(text(f"DROP TABLE {index.partition}"))
    session.execute(delete(vector_indexes).where(vector_indexes.c.id == index.id))


def build_hnsw(session: Session, index: VectorIndex) -> None:
    """Build the index's HNSW graph unless it is there; blocks its writers, not its readers."""
    name = _hnsw_name(index)
    _lock(session, name)  # IF NOT EXISTS alone does not keep two builders apart
    if session.execute(select(func.to_regclass(name))).scalar_one() is not None:
        return
    session.execute(
        text(
            f"CREATE INDEX IF NOT EXISTS {name} ON {index.partition} USING hnsw "
            f"((embedding::halfvec({index.dimensions})) halfvec_cosine_ops) "
            f"WITH (m = {index.m}, ef_construction = {index.ef_construction})"
        )
    )
    # Until the planner has counted what was loaded, it would rather scan than use the graph.
    session.execute(text(f"ANALYZE {index.partition}"))


def drop_hnsw_if_empty(session: Session, index: VectorIndex) -> None:
    """Drop the HNSW graph of an index without vectors: a bulk load goes faster before it."""
    if count_vectors(session, index, limit=1) == 0:
        session.execute(text(f"LOCK TABLE {index.partition} IN ACCESS EXCLUSIVE MODE"))
        if count_vectors(session, index, limit=1) == 0:  # still, now that nobody can write
            session.execute(text(f"DROP INDEX IF EXISTS {_hnsw_name(index)}"))


def _hnsw_name(index: VectorIndex) -> str:
    return f"{index.partition}_hnsw_idx"


def count_vectors(session: Session, index: VectorIndex, limit: int | None = None) -> int:
    """How many vectors the index holds; counting stops at `limit`."""
    rows = select(embeddings.c.image_id).where(embeddings.c.index_id == index.id).limit(limit)
    return session.execute(select(func.count()).select_from(rows.subquery())).scalar_one()


def count_images(session: Session, collection_id: int) -> int:
    """How many pictures the collection holds."""
    query = select(func.count()).where(images.c.collection_id == collection_id)
    return session.execute(query.select_from(images)).scalar_one()


def get_image(session: Session, image_id: int) -> Image:
    """One picture. Raises ImageNotFound."""
    query = select(*IMAGE_COLUMNS).where(images.c.id == image_id)
    row = session.execute(query).mappings().one_or_none()
    if row is None:
        raise ImageNotFound(f"There is no picture with id {image_id}.")
    return Image.of(row)


def find_by_hash(session: Session, collection_id: int, content_hash: bytes) -> Image | None:
    """The first picture with these bytes, or None."""
    query = (
        select(*IMAGE_COLUMNS)
        .where(images.c.collection_id == collection_id, images.c.content_hash == content_hash)
        .order_by(images.c.id)
        .limit(1)
    )
    row = session.execute(query).mappings().one_or_none()
    return Image.of(row) if row else None


def known_files(session: Session, collection_id: int, prefix: str) -> dict[str, KnownFile]:
    """Every picture whose path starts with `prefix`, by path."""
    return {
        known.path: known
        for known in _known(
            session, collection_id, images.c.path.startswith(prefix, autoescape=True)
        )
    }


def files_with_content(
    session: Session, collection_id: int, content_hash: bytes
) -> list[KnownFile]:
    """Every picture with these bytes."""
    return _known(session, collection_id, images.c.content_hash == content_hash)


def _known(session: Session, collection_id: int, condition: ColumnElement[bool]) -> list[KnownFile]:
    columns = [images.c[name] for name in KnownFile.__dataclass_fields__]
    query = select(*columns).where(images.c.collection_id == collection_id, condition)
    return [KnownFile(**row) for row in session.execute(query).mappings()]


def add_images(
    session: Session, index: VectorIndex, new: Sequence[NewImage], vectors: Vectors
) -> list[Image]:
    """Insert pictures with their vectors, float32 (len(new), dimensions); return their rows.

    A path that is known keeps its id, caption and metadata and gets the new content and vector.
    Raises IndexGone where the index is no longer the active one.
    """
    if not new:
        return []
    check_vectors(vectors, index.space)
    _require_active(session, index)
    query = upsert(images)
    changed = {name: query.excluded[name] for name in CONTENT_COLUMNS}
    query = query.on_conflict_do_update(index_elements=["collection_id", "path"], set_=changed)
    rows = [{"collection_id": index.collection_id, **image.values()} for image in new]
    returned = session.execute(query.returning(*IMAGE_COLUMNS), rows).mappings()
    stored = {row["path"]: Image.of(row) for row in returned}  # in any order
    ordered = [stored[image.path] for image in new]
    _put_vectors(session, index, [image.id for image in ordered], vectors)
    return ordered


def _put_vectors(
    session: Session, index: VectorIndex, image_ids: list[int], vectors: Vectors
) -> None:
    rows = [
        {"index_id": index.id, "image_id": image_id, "embedding": vector}
        for image_id, vector in zip(image_ids, vectors, strict=True)
    ]
    query = upsert(embeddings)
    query = query.on_conflict_do_update(
        index_elements=["index_id", "image_id", "region"],
        set_={"embedding": query.excluded.embedding},
    )
    session.execute(query, rows)


def _require_active(session: Session, index: VectorIndex) -> None:
    query = select(vector_indexes.c.state).where(vector_indexes.c.id == index.id)
    state = session.execute(query.with_for_update(read=True)).scalar_one_or_none()
    if state != "active":
        raise IndexGone("The index of this collection was replaced. Restart the server.")


def place_image(session: Session, image_id: int, path: str, etag: str) -> None:
    """Note that a picture's unchanged content now lies at `path`, with this etag."""
    session.execute(update(images).where(images.c.id == image_id).values(path=path, etag=etag))


def delete_images(session: Session, image_ids: Sequence[int]) -> None:
    """Delete pictures and, by their foreign keys, their vectors."""
    session.execute(delete(images).where(images.c.id.in_(image_ids)))


def lock_content(session: Session, content_hash: bytes) -> None:
    """Until the transaction ends, nobody else adds or deletes a picture with these bytes."""
    _lock(session, f"content {content_hash.hex()}")


def _lock(session: Session, name: str) -> None:
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
