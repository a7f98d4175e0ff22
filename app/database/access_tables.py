"""The table of API keys."""

from sqlalchemy import Column, DateTime, Identity, Integer, LargeBinary, Table, Text

from app.database.tables import metadata, now_column

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),  # reader | writer | admin
    Column("hash", LargeBinary, nullable=False, unique=True),  # SHA-256 of the key
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("last_used_at", DateTime(timezone=True)),
    now_column(),
)
