"""SQL on vector indexes: each is one generation of a collection's embeddings.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ARRAY, Text, cast, delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from app.command_names import typed
from app.database.index_builds import build_index
from app.database.tables import INDEX_COLUMNS, Storage, VectorIndex, embeddings, vector_indexes
from app.errors import CollectionRejected, IndexGone, ModelMismatch
from app.vectors import VectorSpace

HNSW_M = 16  # pgvector's own defaults
HNSW_EF_CONSTRUCTION = 64

HNSW_EXPRESSIONS = {
    "halfvec": "(embedding::halfvec({0})) halfvec_cosine_ops",
    "vector": "(full_embedding::vector({0})) vector_cosine_ops",
    "bit": "(binary_quantize(embedding::halfvec({0}))::bit({0})) bit_hamming_ops",
}
"""By storage, the expression and operator class of the HNSW graph; {0} is the dimensions."""

RATED_QUERIES_HNSW = (
    "CREATE INDEX IF NOT EXISTS feedback_queries_{0}_hnsw_idx ON feedback_queries USING hnsw "
    "((embedding::halfvec({0})) halfvec_cosine_ops) WHERE dimensions = {0}"
)
"""The graph over the rated queries of {0} dimensions, shared by all collections."""

MAX_DIMENSIONS = {"halfvec": 4_000, "vector": 2_000, "bit": 4_000}
"""pgvector builds no HNSW graph beyond these."""

EXACT_ROWS = 10_000
"""Up to so many vectors an index is searched by comparing all of them, which takes about 10 ms.

A graph is no faster there, and after a burst of similar pictures it may miss what came before."""

MOST_EXACT_ROWS = 30_000
"""Up to so many, all are compared where the graph was measured below MIN_GRAPH_RECALL."""

MIN_GRAPH_RECALL = 0.95  # mean recall@10 of the worst tenth of queries

VECTORS_IN_ROWS = "toast_tuple_target = 8160"
"""Of a partition: vectors above 2 kB stay in their rows, up to a page.

By default Postgres moves them out of line, and comparing all takes four times as long."""


@dataclass(frozen=True)
class Shape:
    """Storage of the vectors, and the parameters of the HNSW graph."""

    storage: Storage = "halfvec"
    m: int = HNSW_M
    ef_construction: int = HNSW_EF_CONSTRUCTION


DEFAULT_SHAPE = Shape()


def open_index(session: Session, collection_id: int, space: VectorSpace) -> VectorIndex:
    """The collection's active index, created if it has none.

    Raises ModelMismatch where the active index holds another model's vectors.
    """
    lock(session, f"collection {collection_id}")
    # FOR UPDATE waits for transactions that are adding vectors: they hold the row.
    index = _active(session, collection_id, lock_row=True)
    if index is None:
        return create_index(session, collection_id, space)
    if index.fingerprint != space.fingerprint:
        if count_vectors(session, index, limit=1) == 0:  # nothing would be mixed
            shape = Shape(index.storage, index.m, index.ef_construction)
            drop_index(session, index)
            return create_index(session, collection_id, space, shape)
        known = index.space
        raise ModelMismatch(
            f"The pictures in this database were indexed with {known.name} (fingerprint "
            f"{known.fingerprint[:12]}), not with {space.name} ({space.fingerprint[:12]}). Their "
            "vectors cannot be compared. Start with that model again (IMAGE_SEARCH_CLIP_MODEL, "
            "IMAGE_SEARCH_CLIP_PRETRAINED, IMAGE_SEARCH_PRECISION where either is int8; TESTING=1 "
            f"for the demo model), and change to the new one by `{typed('reindex')}`; or use "
            "another database (DATABASE_URL or IMAGE_SEARCH_POSTGRES_DIR) for it."
        )
    return index


def active_index(session: Session, collection_id: int) -> VectorIndex:
    """The collection's active index. Raises IndexGone."""
    index = _active(session, collection_id)
    if index is None:
        raise no_index()
    return index


def all_models(session: Session) -> set[tuple[str, str]]:
    """Model and pretrained tag of every index there is."""
    query = select(vector_indexes.c.model, vector_indexes.c.pretrained).distinct()
    return {(model, pretrained) for model, pretrained in session.execute(query)}


def no_index() -> IndexGone:
    """The error where a collection has no active index."""
    return IndexGone("This collection has no index now: it was deleted or is being replaced.")


def active_indexes(session: Session, collection_ids: Sequence[int]) -> dict[int, VectorIndex]:
    """The active indexes of those of the collections that have one, by the collections' ids."""
    query = select(*INDEX_COLUMNS).where(
        vector_indexes.c.collection_id.in_(collection_ids), vector_indexes.c.state == "active"
    )
    rows = session.execute(query).mappings()
    return {row["collection_id"]: VectorIndex(**row) for row in rows}


def _active(session: Session, collection_id: int, *, lock_row: bool = False) -> VectorIndex | None:
    query = select(*INDEX_COLUMNS).where(
        vector_indexes.c.collection_id == collection_id, vector_indexes.c.state == "active"
    )
    query = query.with_for_update() if lock_row else query
    row = session.execute(query).mappings().one_or_none()
    return VectorIndex(**row) if row else None


def create_index(
    session: Session,
    collection_id: int,
    space: VectorSpace,
    shape: Shape = DEFAULT_SHAPE,
    state: Literal["active", "building"] = "active",
) -> VectorIndex:
    """An index without vectors and without a graph. Raises CollectionRejected.

    The tables that the partition's foreign keys refer to are locked first, so that two transactions
    that create indexes cannot deadlock. Attaching blocks neither searches nor writers.
    """
    if space.dimensions > MAX_DIMENSIONS[shape.storage]:
        raise CollectionRejected(
            f"storage: {space.name} has {space.dimensions} dimensions; {shape.storage} takes "
            f"{MAX_DIMENSIONS[shape.storage]}."
        )
    session.execute(text("LOCK TABLE vector_indexes, images IN SHARE ROW EXCLUSIVE MODE"))
    values = {"collection_id": collection_id, **vars(space), **vars(shape), "state": state}
    query = insert(vector_indexes).values(values).returning(*INDEX_COLUMNS)
    index = VectorIndex(**session.execute(query).mappings().one())
    column = index.column.name
    session.execute(
        text(
            f"CREATE TABLE {index.partition} "
            "(LIKE embeddings INCLUDING DEFAULTS INCLUDING CONSTRAINTS, "
            f"CONSTRAINT {index.partition}_dimensions_check "
            f"CHECK ({column} IS NOT NULL AND vector_dims({column}) = {index.dimensions})) "
            f"WITH ({VECTORS_IN_ROWS})"
        )
    )
    session.execute(
        text(
            f"ALTER TABLE embeddings ATTACH PARTITION {index.partition} FOR VALUES IN ({index.id})"
        )
    )
    session.execute(text(RATED_QUERIES_HNSW.format(index.dimensions)))
    return index


def drop_index(session: Session, index: VectorIndex) -> None:
    """Delete the index and its partition with all vectors."""
    drop_copies(session, index)
    session.execute(text(f"DROP TABLE {index.partition}"))
    session.execute(delete(vector_indexes).where(vector_indexes.c.id == index.id))


def drop_copies(session: Session, index: VectorIndex) -> None:
    """Drop the tables that a rebuild of the graph works on (`graph_rebuild`), if there are any."""
    for name in (f"{index.partition}_copy", f"{index.partition}_retired"):
        session.execute(text(f"DROP TABLE IF EXISTS {name}"))


def build_hnsw(session: Session, index: VectorIndex) -> None:
    """Build the index's HNSW graph unless it is there; blocks its writers, not its readers.

    In the order in which the rows were written: `graph_rebuild` builds that of a large index.
    """
    lock(session, hnsw_name(index))  # IF NOT EXISTS alone does not keep two builders apart
    if not has_hnsw(session, index):
        create_hnsw(session, index, index.partition)


def create_hnsw(session: Session, index: VectorIndex, table: str) -> None:
    """Build the graph over `table`, the index's partition or a copy of it."""
    build_index(
        session,
        text(
            f"CREATE INDEX IF NOT EXISTS {table}_hnsw_idx ON {table} USING hnsw "
            f"({HNSW_EXPRESSIONS[index.storage].format(index.dimensions)}) "
            f"WITH (m = {index.m}, ef_construction = {index.ef_construction})"
        ),
    )
    # Without statistics on what was loaded the planner prefers a sequential scan to the graph.
    session.execute(text(f"ANALYZE {table}"))


def has_hnsw(session: Session, index: VectorIndex) -> bool:
    """Whether the index's HNSW graph is there."""
    found = session.execute(select(func.to_regclass(hnsw_name(index)))).scalar_one()
    return found is not None


def drop_hnsw_if_empty(session: Session, index: VectorIndex) -> None:
    """Drop the HNSW graph of an index without vectors: a bulk load goes faster before it."""
    if count_vectors(session, index, limit=1) == 0:
        session.execute(text(f"LOCK TABLE {index.partition} IN ACCESS EXCLUSIVE MODE"))
        if count_vectors(session, index, limit=1) == 0:  # still, now that nobody can write
            session.execute(text(f"DROP INDEX IF EXISTS {hnsw_name(index)}"))


def hnsw_name(index: VectorIndex) -> str:
    """The name of the index's HNSW graph in Postgres."""
    return f"{index.partition}_hnsw_idx"


def count_vectors(session: Session, index: VectorIndex, limit: int | None = None) -> int:
    """How many vectors the index holds; counting stops at `limit`."""
    rows = select(embeddings.c.image_id).where(embeddings.c.index_id == index.id).limit(limit)
    return session.execute(select(func.count()).select_from(rows.subquery())).scalar_one()


def require_active(session: Session, index: VectorIndex) -> None:
    """Make sure that the index stays active until the transaction ends. Raises IndexGone."""
    _check_active(session, index, read=True)


def claim(session: Session, index: VectorIndex) -> None:
    """Wait for current writers and block new ones until the transaction ends. Raises IndexGone."""
    _check_active(session, index, read=False)


def _check_active(session: Session, index: VectorIndex, *, read: bool) -> None:
    query = select(vector_indexes.c.state).where(vector_indexes.c.id == index.id)
    state = session.execute(query.with_for_update(read=read)).scalar_one_or_none()
    if state != "active":
        raise IndexGone("The index of this collection was replaced or deleted.")


def require_present(session: Session, index: VectorIndex) -> None:
    """Keep the index from being dropped until the transaction ends. Raises IndexGone."""
    query = select(vector_indexes.c.id).where(vector_indexes.c.id == index.id)
    if session.execute(query.with_for_update(read=True)).scalar_one_or_none() is None:
        raise IndexGone("The index was deleted.")


def get_graph_recall(session: Session, index: VectorIndex) -> float | None:
    """The recall that was measured of its graph; None if it was not since the graph was built."""
    query = select(vector_indexes.c.graph_recall).where(vector_indexes.c.id == index.id)
    return session.execute(query).scalar_one_or_none()


def keep_graph_recall(session: Session, index: VectorIndex, recall: float | None) -> None:
    """Store the recall of its graph, 0 to 1: it decides whether searches use the graph."""
    query = update(vector_indexes).where(vector_indexes.c.id == index.id)
    session.execute(query.values(graph_recall=recall))


def get_null_distribution(session: Session, index: VectorIndex) -> bytes | None:
    """The stored null distribution, if there is one."""
    query = select(vector_indexes.c.chance).where(vector_indexes.c.id == index.id)
    return session.execute(query).scalar_one_or_none()


def keep_null_distribution(session: Session, index: VectorIndex, distribution: bytes) -> None:
    """Store the null distribution."""
    query = update(vector_indexes).where(vector_indexes.c.id == index.id)
    session.execute(query.values(chance=distribution))


def lock(session: Session, *names: str) -> None:
    """Hold the advisory locks `names` until the transaction ends; taken in the given order."""
    name = func.unnest(cast(list(names), ARRAY(Text))).column_valued("name")
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
