"""The table of files that are passed over."""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, PrimaryKeyConstraint, Table, Text

from app.database.tables import metadata, now_column

skipped_files = Table(
    "skipped_files",
    metadata,
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("path", Text(collation="C"), nullable=False),
    Column("etag", Text, nullable=False),
    Column("content_hash", LargeBinary),  # SHA-256 of a deleted picture's file
    Column("reason", Text),  # why the file was refused
    Column("code", Text),  # of the reason
    Column("rules", Text),  # the limits and decoders that refused it
    now_column(),
    PrimaryKeyConstraint("collection_id", "path"),
    Index(None, "collection_id", "content_hash"),
)
