"""The tables of the graphs that searches within a label have of their own."""

from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    false,
)

from app.database.tables import metadata, now_column

category_graphs = Table(
    "category_graphs",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("index_id", ForeignKey("vector_indexes.id", ondelete="CASCADE"), nullable=False),
    Column("set_id", ForeignKey("label_sets.id", ondelete="CASCADE"), nullable=False),
    Column("revision", Integer, nullable=False),  # the set's when the graph was begun
    Column("label", Text, nullable=False),
    Column("vectors", Integer, nullable=False),  # about so many it was built of
    Column("ready", Boolean, nullable=False, server_default=false()),  # searches may use it
    now_column(),
    Index(None, "index_id"),
    Index(None, "set_id"),
)

category_vectors = Table(
    "category_vectors",
    metadata,
    Column("graph_id", ForeignKey("category_graphs.id", ondelete="CASCADE"), nullable=False),
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("embedding", HALFVEC),  # as in `embeddings`
    Column("full_embedding", VECTOR),
    PrimaryKeyConstraint("graph_id", "image_id"),
    CheckConstraint("num_nonnulls(embedding, full_embedding) = 1", "stored_once"),
    Index(None, "image_id"),
)
"""Copies of the vectors of whole pictures with a label, one row for each graph that they are in.

Each graph is a partial HNSW index of this table, `WHERE graph_id = …`, which Postgres's metadata
knows and this does not: `index.categories.category_graphs` builds and drops them.
"""
