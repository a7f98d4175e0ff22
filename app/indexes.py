"""SQL on collections and their vector indexes.

Every function takes a Session and leaves the transaction to its caller.
"""

from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.orm import Session

from app.errors import IndexGone, ModelMismatch
from app.tables import INDEX_COLUMNS, VectorIndex, collections, embeddings, vector_indexes
from app.vectors import VectorSpace

DEFAULT_NAMESPACE = DEFAULT_COLLECTION = "default"
HNSW_M = 16  # pgvector's own defaults
HNSW_EF_CONSTRUCTION = 64


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
    lock(session, f"collection {collection_id}")
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
    lock(session, name)  # IF NOT EXISTS alone does not keep two builders apart
    if has_hnsw(session, index):
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


def has_hnsw(session: Session, index: VectorIndex) -> bool:
    """Whether the index's HNSW graph is there."""
    found = session.execute(select(func.to_regclass(_hnsw_name(index)))).scalar_one()
    return found is not None


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


def require_active(session: Session, index: VectorIndex) -> None:
    """Keep the index active until the transaction ends. Raises IndexGone where it is not."""
    query = select(vector_indexes.c.state).where(vector_indexes.c.id == index.id)
    state = session.execute(query.with_for_update(read=True)).scalar_one_or_none()
    if state != "active":
        raise IndexGone("The index of this collection was replaced. Restart the server.")


def lock(session: Session, name: str) -> None:
    """Hold the advisory lock `name` until the transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
