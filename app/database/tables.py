"""The tables of collections, pictures and their vectors, and their rows as dataclasses."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Float,
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
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

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
    """A `created_at` column: when the row was inserted."""
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


collections = Table(
    "collections",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("language", Text, nullable=False, server_default=text("'english'")),
    Column("fields", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("pages", Text, nullable=False, server_default=text("'first'")),  # first | all
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
    Column("state", Text, nullable=False),  # building | ready | active | retired
    Column("storage", Text, nullable=False, server_default=text("'halfvec'")),
    Column("ef_search", Integer),  # as tuned; null: the default
    Column("chance", LargeBinary),  # a `calibration.NullDistribution`
    Column("trial", JSONB),  # whether judgements improve its answers: `evaluation.EvaluationResult`
    now_column(),
    Column("graph_vectors", Integer),  # at the last `graph_rebuild`; null: in order of arrival
    Column("graph_recall", Float),  # `graph_health.measure`; null: not measured since it was built
    Column("job_id", ForeignKey("jobs.id", ondelete="SET NULL")),  # that made it, if one did
    Column("measured", JSONB),  # recall as the job found it: `recall.RecallMeasurement`
    Column("retired_at", DateTime(timezone=True)),  # when another one took its place
    Index(
        "vector_indexes_one_active_idx",
        "collection_id",
        unique=True,
        postgresql_where=text("state = 'active'"),
    ),
    Index(
        "vector_indexes_one_growing_idx",
        "collection_id",
        unique=True,
        postgresql_where=text("state IN ('building', 'ready')"),
    ),
)

FILE_NAME = "\"left\"(lower(regexp_replace(COALESCE(origin, path), '^.*/', '')), 100)"
"""SQL: the beginning of a file's name in lower case, of collation C as `path` is."""

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
    Column("upload_copy", Text),  # where its bytes are kept, uploaded too
    Column("said_caption", Text),  # by people; empty: they removed what a file says
    Column("said_metadata", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("sidecar", JSONB(none_as_null=True)),  # what its sidecars said last
    Column("embedded", JSONB(none_as_null=True)),  # what its file says; null: of before 0014
    Column("origin", Text),  # the name it was submitted under: file, archive entry or URL
    Column("taken_at", DateTime(timezone=True)),
    Column("taken_local", DateTime),  # by the clock there; null: as in UTC
    Column("perceptual_hash", BigInteger),  # 64 bits, signed; null: from before there was one
    Column("removed_at", DateTime(timezone=True)),  # tombstone: hidden, and deleted from then on
    Column(
        "language", Text, nullable=False, server_default=text("'english'")
    ),  # a text search configuration
    Column(
        "words",
        TSVECTOR,
        Computed(
            "image_words(language, COALESCE(origin, path), caption, metadata)", persisted=True
        ),
    ),
    now_column(),
    Column("external_id", Text(collation="C")),  # the name that a user's own system has for it
    UniqueConstraint("collection_id", "path"),
    Index(
        "images_external_id_idx",
        "collection_id",
        "external_id",
        unique=True,
        postgresql_where=text("external_id IS NOT NULL"),
    ),
    Index(None, "collection_id", "content_hash"),
    Index("images_present_idx", "collection_id", "id", postgresql_where=text("removed_at IS NULL")),
    Index(None, "collection_id", "created_at"),
    Index(None, "collection_id", "taken_at"),
    Index(
        "images_file_name_idx",
        "collection_id",
        text(FILE_NAME),
        postgresql_where=text("removed_at IS NULL"),
    ),
    Index(
        "images_taken_local_idx",
        "collection_id",
        text("COALESCE(taken_local, timezone('UTC', taken_at))"),  # as in filters/fields.py
    ),
    *(
        Index(
            f"images_{name}_idx",
            literal_column(f"(metadata -> '{name}'::text)").label(name),  # as in filters/fields.py
            postgresql_using="gin",
            postgresql_ops={name: "jsonb_path_ops"},
        )
        for name in ("tags", "people")
    ),
    Index("images_words_idx", "words", postgresql_using="gin"),
    Index("images_removed_idx", "id", postgresql_where=text("removed_at IS NOT NULL")),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("index_id", ForeignKey("vector_indexes.id"), nullable=False),
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("region", Integer, nullable=False, server_default=text("0")),  # n: page n + 1
    Column("box", JSONB),  # the region's [left, top, right, bottom], as fractions
    Column("embedding", HALFVEC),  # of an index whose storage is halfvec or bit
    Column("full_embedding", VECTOR),  # of one whose storage is vector
    PrimaryKeyConstraint("index_id", "image_id", "region"),
    CheckConstraint("num_nonnulls(embedding, full_embedding) = 1", "stored_once"),
    Index(None, "image_id"),  # a deleted image finds its vectors in every partition
    postgresql_partition_by="LIST (index_id)",
)


Pages = Literal["first", "all"]
"""Which pages of a picture have vectors: at most MAX_PAGES of `frames.py`."""

Storage = Literal["halfvec", "vector", "bit"]
"""2 bytes per dimension, 4 bytes, or 2 bytes with an HNSW index on 1 bit per dimension."""


@dataclass(frozen=True)
class Collection:
    """A set of pictures searched together; `fields` maps declared metadata fields to types.

    `pages` says which pages of documents, and frames of animations, are indexed.
    """

    id: int
    namespace: str
    name: str
    language: str
    fields: dict[str, str]
    pages: Pages
    created_at: datetime


@dataclass(frozen=True)
class VectorIndex:
    """One generation of a collection's embeddings.

    `ef_search` is HNSW's candidate list size if it was tuned, else None.
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
        """The embedding space of its vectors."""
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
    """One picture as the catalog knows it; `content_hash` is the SHA-256 of its file.

    `path` is what people are shown; `stored_path` is the row's, relative to the store of uploads.
    `upload_copy` is the stored path of an upload of the same bytes, if the picture itself is in a
    folder or bucket. `taken_local` is `taken_at` by the clock of the place, without a time
    zone; None means UTC.
    """

    id: int
    collection_id: int
    path: str
    stored_path: str
    content_hash: bytes
    bytes: int
    width: int
    height: int
    format: str
    caption: str | None
    metadata: dict[str, Any]
    origin: str | None
    taken_at: datetime | None
    taken_local: datetime | None
    created_at: datetime
    upload_copy: str | None
    external_id: str | None

    @classmethod
    def of(cls, row: RowMapping) -> Self:
        """From a row that has at least IMAGE_COLUMNS."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


PRESENT = images.c.removed_at.is_(None)
"""SQL condition: the picture is not deleted. Answers may show no others."""

EXPIRED = images.c.removed_at <= func.now()
"""SQL condition: the picture is deleted, and can no longer be restored."""

_PATHS = {"path": func.shown_path(images.c.path), "stored_path": images.c.path}
IMAGE_COLUMNS = [
    _PATHS[name].label(name) if name in _PATHS else images.c[name]
    for name in Image.__dataclass_fields__
]
COLLECTION_COLUMNS = [collections.c[name] for name in Collection.__dataclass_fields__]
INDEX_COLUMNS = [vector_indexes.c[name] for name in VectorIndex.__dataclass_fields__]
