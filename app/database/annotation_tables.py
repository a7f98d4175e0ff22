"""The tables of annotators: where they are on, what they have looked at, the texts they found."""

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import REAL

from app.database.tables import metadata, now_column

collection_annotators = Table(
    "collection_annotators",
    metadata,
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("annotator", Text, nullable=False),
    Column("job_id", ForeignKey("jobs.id", ondelete="SET NULL")),  # the last one
    now_column(),
    PrimaryKeyConstraint("collection_id", "annotator"),
)

image_annotations = Table(
    "image_annotations",
    metadata,
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("annotator", Text, nullable=False),
    Column("state", Text, nullable=False),  # waiting | read | skipped | failed
    Column("version", Text),  # of the annotator; null: waiting
    Column("content_hash", LargeBinary),  # of the picture as it was read; null: waiting
    Column("reason", Text),  # why it failed
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("image_id", "annotator"),
    Index(
        "image_annotations_waiting_idx",
        "annotator",
        "image_id",
        postgresql_where=text("state = 'waiting'"),
    ),
)

image_texts = Table(
    "image_texts",
    metadata,
    Column("image_id", nullable=False),
    Column("annotator", Text, nullable=False),
    Column("number", Integer, nullable=False),  # in reading order, from 0
    Column("text", Text, nullable=False),  # a line
    Column("box", ARRAY(REAL)),  # [left, top, right, bottom], as fractions; null: the whole
    Column("confidence", REAL),  # 0 to 1; null: not told
    Column("language", Text),  # a text search configuration; null: not known
    PrimaryKeyConstraint("image_id", "annotator", "number"),
    ForeignKeyConstraint(
        ["image_id", "annotator"],
        ["image_annotations.image_id", "image_annotations.annotator"],
        ondelete="CASCADE",
    ),
)

text_embeddings = Table(
    "text_embeddings",
    metadata,
    Column("index_id", ForeignKey("vector_indexes.id", ondelete="CASCADE"), nullable=False),
    Column("image_id", BigInteger, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("embedding", HALFVEC, nullable=False),  # of the text, by the model of the index
    PrimaryKeyConstraint("index_id", "image_id", "annotator", "number"),
    ForeignKeyConstraint(
        ["image_id", "annotator", "number"],
        ["image_texts.image_id", "image_texts.annotator", "image_texts.number"],
        ondelete="CASCADE",
    ),
    Index(None, "image_id", "annotator", "number"),
)

sentence_embeddings = Table(
    "sentence_embeddings",
    metadata,
    Column("image_id", BigInteger, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False),  # of the collection's sentence model
    Column("embedding", HALFVEC, nullable=False),  # of the text, by that model
    PrimaryKeyConstraint("image_id", "annotator", "number"),
    ForeignKeyConstraint(
        ["image_id", "annotator", "number"],
        ["image_texts.image_id", "image_texts.annotator", "image_texts.number"],
        ondelete="CASCADE",
    ),
)
