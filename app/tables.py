"""The tables, and the records that their rows become."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    RowMapping,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.vectors import VectorSpace

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def _now() -> Column[datetime]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


collections = Table(
    "collections",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    _now(),
    UniqueConstraint("namespace", "name"),
)

vector_indexes = Table(
    "vector_indexes",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("model", Text, nullable=False),
    Column("pretrained", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("dimensions", Integer, nullable=False),
    Column("m", Integer, nullable=False),
    Column("ef_construction", Integer, nullable=False),
    Column("state", Text, nullable=False),  # building | active | retired
    _now(),
    Index(
        "vector_indexes_one_active_idx",
        "collection_id",
        unique=True,
        postgresql_where=text("state = 'active'"),
    ),
)

images = Table(
    "images",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("path", Text, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),  # SHA-256 of the file
    Column("etag", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("format", Text, nullable=False),
    Column("caption", Text),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _now(),
    UniqueConstraint("collection_id", "path"),
    Index(None, "collection_id", "content_hash"),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("index_id", ForeignKey("vector_indexes.id"), nullable=False),
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("region", Integer, nullable=False, server_default=text("0")),  # 0: the whole picture
    Column("box", JSONB),  # the region's [left, top, right, bottom], as fractions
    Column("embedding", HALFVEC, nullable=False),
    PrimaryKeyConstraint("index_id", "image_id", "region"),
    Index(None, "image_id"),  # a deleted image finds its vectors in every partition
    postgresql_partition_by="LIST (index_id)",
)


@dataclass(frozen=True)
class VectorIndex:
    """One generation of a collection's embeddings."""

    id: int
    collection_id: int
    model: str
    pretrained: str
    fingerprint: str
    dimensions: int
    m: int
    ef_construction: int

    @property
    def space(self) -> VectorSpace:
        """The space of its vectors."""
        return VectorSpace(self.model, self.pretrained, self.fingerprint, self.dimensions)

    @property
    def partition(self) -> str:
        """The name of the partition of `embeddings` that holds its vectors."""
        return f"embeddings_{self.id}"


@dataclass(frozen=True)
class Image:
    """One picture as the catalog knows it; `content_hash` is the SHA-256 of its file."""

    id: int
    path: str
    content_hash: bytes
    bytes: int
    width: int
    height: int
    format: str
    caption: str | None
    metadata: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, row: RowMapping) -> Self:
        """The record of a row that has at least IMAGE_COLUMNS."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


IMAGE_COLUMNS = [images.c[name] for name in Image.__dataclass_fields__]
INDEX_COLUMNS = [vector_indexes.c[name] for name in VectorIndex.__dataclass_fields__]
