"""The tables of collections, pictures and their vectors, and their rows as dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self, TypedDict

from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
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
    Table,
    Text,
    UniqueConstraint,
    and_,
    func,
    literal_column,
    or_,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from app.database.column_types import Xid8
from app.vectors import Arithmetic, VectorSpace

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
    Column("sentence_model", Text),  # embeds its captions; null: the model of the searches
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
    Column("precision", Text),  # float | int8; null: of before 0037, as the server's was then
    Column("tuning", JSONB),  # why it has its ef_search: `tuning.Tuning`; null: not chosen
    Column("regions", Text),  # of a `reindex` that names them, as `Regions`; null: the collection's
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
    Column("removed_at", DateTime(timezone=True)),  # tombstone: hidden, deleted from then on
    Column(
        "language", Text, nullable=False, server_default=text("'english'")
    ),  # a text search configuration
    Column(
        "words",
        TSVECTOR,
        Computed(
            "image_words(language, COALESCE(origin, path), caption, metadata) "
            "|| found_words(language, found_text) "
            "|| setweight(found_words(language, generated_caption), 'C')",
            persisted=True,
        ),
    ),
    now_column(),
    Column("external_id", Text(collation="C")),  # the name that a user's own system has for it
    Column("found_text", Text),  # all that was read in it, of `image_texts`
    Column("frame_times", JSONB(none_as_null=True)),  # of a video: seconds of its pages
    Column("generated_caption", Text),  # by a model, of `image_texts`
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
    Column(
        "region", Integer, nullable=False, server_default=text("0")
    ),  # without box n: page n + 1
    Column("box", JSONB),  # of a part of the first page: [x, y, width, height], as fractions
    Column("embedding", HALFVEC),  # of an index whose storage is halfvec or bit
    Column("full_embedding", VECTOR),  # of one whose storage is vector
    Column(
        "changed",  # the transaction that wrote the row: `resident.changes` looks for the latest
        Xid8,
        nullable=False,
        server_default=func.pg_current_xact_id(),
        onupdate=func.pg_current_xact_id(),
    ),
    PrimaryKeyConstraint("index_id", "image_id", "region"),
    CheckConstraint("num_nonnulls(embedding, full_embedding) = 1", "stored_once"),
    Index(None, "image_id"),  # a deleted image finds its vectors in every partition
    Index(None, "changed"),
    postgresql_partition_by="LIST (index_id)",
)


LABELS = "labels"
"""The prefix of the fields of label sets, and the name of their type."""


class LabelNames(TypedDict):
    """A label set's id, and the names of its labels in its order."""

    id: int
    labels: list[str]


Declared = Mapping[str, str | LabelNames]
"""The type of each field that a collection declares, or the labels of a label set."""

Pages = Literal["first", "all"]
"""Which pages of a picture have vectors: at most MAX_PAGES of `frames.py`."""

CaptionSource = Literal["given", "generated"]
"""Whose words a caption is: a person's or a file's, or a model's."""

Regions = Literal["off", "grid", "detector"]
"""Which parts of pictures have vectors too: overlapping crops, or what is detected."""

REGION_ANNOTATORS: tuple[str, ...] = ("grid", "detector")
"""The annotators that embed regions, named as in `Regions`."""

Storage = Literal["halfvec", "vector", "bit"]
"""2 bytes per dimension, 4 bytes, or 2 bytes with an HNSW index on 1 bit per dimension."""


@dataclass(frozen=True)
class Collection:
    """A set of pictures searched together; `fields` maps declared metadata fields to types.

    `pages` says which pages of documents, and frames of animations, are indexed; `label_sets` are
    its label sets by name; `annotators` are the names of those that are on, in order.
    `sentence_model` embeds its generated captions; None: the model of the searches does.
    """

    id: int
    namespace: str
    name: str
    language: str
    fields: dict[str, str]
    pages: Pages
    created_at: datetime
    label_sets: dict[str, LabelNames]
    annotators: list[str]
    sentence_model: str | None

    @property
    def filterable(self) -> Declared:
        """Its declared fields, and its label sets as `labels.<name>`."""
        return {
            **self.fields,
            **{f"{LABELS}.{name}": one for name, one in self.label_sets.items()},
        }

    @property
    def regions(self) -> Regions:
        """Which regions of its pictures are embedded."""
        if "detector" in self.annotators:
            return "detector"
        return "grid" if "grid" in self.annotators else "off"


@dataclass(frozen=True)
class VectorIndex:
    """One generation of a collection's embeddings.

    `ef_search` is HNSW's candidate list size if it was tuned, else None. `has_parts`: a picture may
    have several vectors, of its pages or regions, the nearest of which counts.
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
    precision: Arithmetic | None
    has_parts: bool = False

    @property
    def space(self) -> VectorSpace:
        """The embedding space of its vectors."""
        names = VectorSpace.__dataclass_fields__
        return VectorSpace(**{name: getattr(self, name) for name in names})

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
    zone; None means UTC. `frame_times` are the seconds at which the pages of a video are shown,
    None where its frames are not indexed. `generated_caption` is what a model says it shows.
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
    frame_times: list[float] | None
    generated_caption: str | None

    @property
    def shown_caption(self) -> str | None:
        """What people or files say it shows, else what a model does."""
        return self.caption or self.generated_caption

    @property
    def caption_source(self) -> CaptionSource | None:
        """Whose words `shown_caption` are."""
        if self.caption:
            return "given"
        return "generated" if self.generated_caption else None

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Self:
        """From a row that has at least IMAGE_COLUMNS."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


PRESENT = images.c.removed_at.is_(None)
"""SQL condition: the picture is not deleted. Answers may show no others."""

HELD = and_(
    images.c.removed_at.is_not(None),  # so that it is false, not null, without a tombstone
    images.c.removed_at == literal_column("'infinity'::timestamptz"),
)
"""SQL condition: a gate hides the picture until somebody decides on it. It is not PRESENT."""

KEPT = or_(PRESENT, HELD)
"""SQL condition: the picture is in answers, or may come back to them at any time."""

EXPIRED = images.c.removed_at <= func.now()
"""SQL condition: the picture is deleted, and can no longer be restored."""

_PATHS = {"path": func.shown_path(images.c.path), "stored_path": images.c.path}
IMAGE_COLUMNS = [
    _PATHS[name].label(name) if name in _PATHS else images.c[name]
    for name in Image.__dataclass_fields__
]
_LABEL_SETS: ColumnElement[dict[str, LabelNames]] = literal_column(
    "(SELECT coalesce(jsonb_object_agg(name, jsonb_build_object('id', id, 'labels', label_names)), "
    "'{}') FROM label_sets WHERE collection_id = collections.id)",
    JSONB(),
).label("label_sets")
_ANNOTATORS: ColumnElement[Any] = literal_column(
    "ARRAY(SELECT annotator FROM collection_annotators "
    "WHERE collection_id = collections.id ORDER BY annotator)",
    ARRAY(Text()),
).label("annotators")
_OF_OTHER_TABLES: dict[str, ColumnElement[Any]] = {
    "label_sets": _LABEL_SETS,
    "annotators": _ANNOTATORS,
}
COLLECTION_COLUMNS = [
    _OF_OTHER_TABLES[name] if name in _OF_OTHER_TABLES else collections.c[name]
    for name in Collection.__dataclass_fields__
]
_HAS_PARTS: ColumnElement[bool] = literal_column(
    "(EXISTS (SELECT FROM collections WHERE id = vector_indexes.collection_id AND pages = 'all') "
    "OR COALESCE(regions <> 'off', EXISTS (SELECT FROM collection_annotators "
    "WHERE collection_id = vector_indexes.collection_id AND annotator IN ('grid', 'detector'))))",
    Boolean(),
).label("has_parts")
INDEX_COLUMNS = [
    _HAS_PARTS if name == "has_parts" else vector_indexes.c[name]
    for name in VectorIndex.__dataclass_fields__
]
