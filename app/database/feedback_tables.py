"""The tables of feedback: the rated queries, and the ratings of their answers."""

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)

from app.database.tables import metadata, now_column

feedback_queries = Table(
    "feedback_queries",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("index_id", ForeignKey("vector_indexes.id", ondelete="CASCADE"), nullable=False),
    Column("digest", LargeBinary, nullable=False),  # of the query
    Column("query", Text, nullable=False),  # as shown to people
    Column("dimensions", Integer, nullable=False),
    Column(
        "embedding", HALFVEC, nullable=False
    ),  # each number of dimensions has its own HNSW index
    now_column(),
    UniqueConstraint("index_id", "digest"),
    CheckConstraint("vector_dims(embedding) = dimensions", "dimensions"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("query_id", ForeignKey("feedback_queries.id", ondelete="CASCADE"), nullable=False),
    Column("search", Uuid, nullable=False),  # id of the rated answer
    Column("image_id", BigInteger),  # the rated hit, possibly deleted since; null: the whole answer
    Column("rating", SmallInteger, nullable=False),  # 1 to 10
    Column("comment", Text),
    Column("fold", SmallInteger, nullable=False),  # cross-validation fold, 0 to 4
    now_column(),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(
        "feedback_judgement_idx",
        "query_id",
        "search",
        text("coalesce(image_id, 0)"),
        unique=True,
    ),
    Index(None, "query_id", "image_id"),
    Index(None, "updated_at"),
)
