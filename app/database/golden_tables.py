"""The tables of golden queries, of what they should find, and of evaluations by them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.database.tables import metadata, now_column

golden_queries = Table(
    "golden_queries",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("digest", LargeBinary, nullable=False),  # of the query: a text is too long for an index
    Column("text", Text),
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE")),  # the picture to search with
    Column("origin", Text, nullable=False),  # written | imported | ratings | captions | tags
    now_column(),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("collection_id", "digest"),
    CheckConstraint("num_nonnulls(text, image_id) = 1", "one_query"),
    Index(None, "image_id"),  # a deleted picture finds its queries
)

golden_judgements = Table(
    "golden_judgements",
    metadata,
    Column("query_id", ForeignKey("golden_queries.id", ondelete="CASCADE"), nullable=False),
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("is_relevant", Boolean, nullable=False),
    PrimaryKeyConstraint("query_id", "image_id"),
    Index(None, "image_id"),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("result", JSONB, nullable=False),  # `evaluation_result.Evaluation`
    now_column(),
)
