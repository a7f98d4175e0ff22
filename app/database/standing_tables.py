"""The tables of standing searches, of their matches, and of pictures still to be compared."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, REAL

from app.database.tables import metadata, now_column

standing_searches = Table(
    "standing_searches",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("terms", JSONB, nullable=False),  # as `query_terms.Term`: texts, and ids of pictures
    Column("filter", JSONB, nullable=False),
    Column("min_confidence", Float, nullable=False),
    Column("webhook_url", Text),  # where matches are reported; null: nowhere
    Column("index_id", Integer),  # the generation that it was encoded for
    Column("vector", LargeBinary, nullable=False),  # float32, little-endian, of unit length
    Column("picture_share", Float, nullable=False),
    Column("problem", Text),  # why it finds nothing at present; null: it does
    now_column(),
    Index(None, "collection_id", "id"),
)

standing_new_images = Table(
    "standing_new_images",
    metadata,
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("added_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""Pictures that standing searches were not yet compared with."""

standing_matches = Table(
    "standing_matches",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("search_id", ForeignKey("standing_searches.id", ondelete="CASCADE"), nullable=False),
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("similarity", REAL, nullable=False),  # cosine
    Column("confidence", REAL, nullable=False),
    now_column(),
    Column("webhook_id", Text),  # of the message that reports it; null: none does
    Column("webhook_status", Text, nullable=False, server_default=text("'pending'")),
    Column("webhook_attempts", Integer, nullable=False, server_default=text("0")),
    Column("webhook_reason", Text),  # why the last attempt failed
    UniqueConstraint("search_id", "image_id"),
    Index(None, "search_id", "id"),
    Index(None, "image_id"),  # a deleted picture finds its matches
    Index(None, "created_at"),
)
