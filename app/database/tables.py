"""The tables, and the records that their rows become."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
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
from sqlalchemy.dialects.postgresql import JSONB, REGCONFIG, TSVECTOR

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


def now_column() -> Column[datetime]:
    """When a row was written."""
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


OUTCOMES = (
    "added",
    "changed",
    "moved",
    "removed",
    "unchanged",
    "duplicate",
    "gone",
    "failed",
    "cancelled",
)
"""What may become of a file; a job counts each in a column of that name."""

collections = Table(
    "collections",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("language", Text, nullable=False, server_default=text("'english'")),
    Column("fields", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    now_column(),
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
    Column("storage", Text, nullable=False, server_default=text("'halfvec'")),
    Column("ef_search", Integer),  # as tuned; null: the code's own
    Column("chance", LargeBinary),  # the scores that unrelated queries reach: `chance.Chance`
    Column("trial", JSONB),  # whether judgements improve its answers: `trials.Verdict`
    now_column(),
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
    Column("path", Text(collation="C"), nullable=False),  # C: sorted as sources are listed
    Column("content_hash", LargeBinary, nullable=False),  # SHA-256 of the file
    Column("etag", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("format", Text, nullable=False),
    Column("caption", Text),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("origin", Text),  # the name it was sent under: a file's, an archive entry's, a URL
    Column("taken_at", DateTime(timezone=True)),
    Column("perceptual_hash", BigInteger),  # 64 bits, signed; null: kept before there was one
    Column("removed_at", DateTime(timezone=True)),  # a tombstone: in no answer, soon deleted
    Column("language", REGCONFIG, nullable=False, server_default=text("'english'::regconfig")),
    Column(
        "words",
        TSVECTOR,
        Computed(
            "image_words(language, COALESCE(origin, path), caption, metadata)", persisted=True
        ),
    ),
    now_column(),
    UniqueConstraint("collection_id", "path"),
    Index(None, "collection_id", "content_hash"),
    Index("images_present_idx", "collection_id", "id", postgresql_where=text("removed_at IS NULL")),
    Index(None, "collection_id", "created_at"),
    Index(None, "collection_id", "taken_at"),
    Index("images_words_idx", "words", postgresql_using="gin"),
    Index("images_removed_idx", "id", postgresql_where=text("removed_at IS NOT NULL")),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("index_id", ForeignKey("vector_indexes.id"), nullable=False),
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("region", Integer, nullable=False, server_default=text("0")),  # 0: the whole picture
    Column("box", JSONB),  # the region's [left, top, right, bottom], as fractions
    Column("embedding", HALFVEC),  # of an index whose storage is halfvec or bit
    Column("full_embedding", VECTOR),  # of one whose storage is vector
    PrimaryKeyConstraint("index_id", "image_id", "region"),
    CheckConstraint("num_nonnulls(embedding, full_embedding) = 1", "stored_once"),
    Index(None, "image_id"),  # a deleted image finds its vectors in every partition
    postgresql_partition_by="LIST (index_id)",
)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


jobs = Table(
    "jobs",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("source", JSONB, nullable=False),
    Column("mode", Text, nullable=False),  # add | sync
    Column("dry_run", Boolean, nullable=False),
    Column("queue", Text, nullable=False),  # of its tasks: who can read the source
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("reason", Text),  # why the whole of it failed
    Column("checkpoint", Text(collation="C")),  # the source is listed up to here
    Column("listed", Boolean, nullable=False, server_default=text("false")),
    _count("total"),
    *(_count(outcome) for outcome in OUTCOMES),
    now_column(),
    Column("started_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("finished_at", DateTime(timezone=True)),
    Index("jobs_open_idx", "id", postgresql_where=text("finished_at IS NULL")),
)

job_items = Table(
    "job_items",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("path", Text, nullable=False),
    Column("etag", Text, nullable=False),
    Column("bytes", BigInteger),
    Column("removal", Boolean, nullable=False, server_default=text("false")),
    Column("staged", Text),  # the name of its bytes among those that wait
    Column("caption", Text),
    Column("metadata", JSONB),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("outcome", Text),  # one of OUTCOMES
    Column("reason", Text),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("leases", Integer, nullable=False, server_default=text("0")),  # how often it was taken
    Column("worker", Text),  # host and process that took it last
    Column("image_id", BigInteger),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(None, "job_id", "state", "id"),
    Index(None, "job_id", "id"),
)

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

Storage = Literal["halfvec", "vector", "bit"]
"""How an index keeps its vectors: two bytes a dimension, four, or two with a graph of one bit."""


@dataclass(frozen=True)
class Collection:
    """Pictures of one owner, searched together; `fields` declares metadata, by name and type."""

    id: int
    namespace: str
    name: str
    language: str
    fields: dict[str, str]
    created_at: datetime


@dataclass(frozen=True)
class VectorIndex:
    """One generation of a collection's embeddings.

    `ef_search` is how many candidates a search keeps, where that was tuned.
    """

    id: int
    collection_id: int
    model: str
    pretrained: str
    fingerprint: str
    dimensions: int
    m: int
    ef_construction: int
    storage: Storage
    ef_search: int | None

    @property
    def space(self) -> VectorSpace:
        """The space of its vectors."""
        return VectorSpace(self.model, self.pretrained, self.fingerprint, self.dimensions)

    @property
    def partition(self) -> str:
        """The name of the partition of `embeddings` that holds its vectors."""
        return f"embeddings_{self.id}"

    @property
    def column(self) -> Column[Any]:
        """The column of `embeddings` that holds its vectors."""
        return embeddings.c.full_embedding if self.storage == "vector" else embeddings.c.embedding


@dataclass(frozen=True)
class Image:
    """One picture as the catalog knows it; `content_hash` is the SHA-256 of its file."""

    id: int
    collection_id: int
    path: str
    content_hash: bytes
    bytes: int
    width: int
    height: int
    format: str
    caption: str | None
    metadata: dict[str, Any]
    origin: str | None
    taken_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, row: RowMapping) -> Self:
        """The record of a row that has at least IMAGE_COLUMNS."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


PRESENT = images.c.removed_at.is_(None)
"""True of the pictures that have no tombstone: the only ones that answers may show."""

IMAGE_COLUMNS = [images.c[name] for name in Image.__dataclass_fields__]
COLLECTION_COLUMNS = [collections.c[name] for name in Collection.__dataclass_fields__]
INDEX_COLUMNS = [vector_indexes.c[name] for name in VectorIndex.__dataclass_fields__]
