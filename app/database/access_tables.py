"""The tables of API keys, and of requests that were sent with an idempotency key."""

from sqlalchemy import Column, DateTime, Identity, Index, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

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

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # SHA-256 of the caller and the key
    Column("request", LargeBinary, nullable=False),  # SHA-256 of method, path, query, media type
    Column("holder", Uuid, nullable=False),  # the request that is being answered, or was
    Column("held_until", DateTime(timezone=True), nullable=False),
    Column("body", LargeBinary),  # SHA-256 of the request's; null: it is being answered
    Column("status", Integer),
    Column("headers", JSONB(none_as_null=True)),  # [[name, value], …] of the answer
    Column("answer", LargeBinary),
    now_column(),
    Index(None, "created_at"),
)
