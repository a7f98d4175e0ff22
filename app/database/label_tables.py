"""The tables of label sets, of pictures' labels by them, and of what their gates stopped."""

from sqlalchemy import (
    Column,
    Computed,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB, REAL

from app.database.tables import metadata, now_column

OTHER = "other"
"""The label of pictures that have none of a set's."""

label_sets = Table(
    "label_sets",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("definition", JSONB, nullable=False),  # a `label_sets.LabelSet`, without its name
    Column(
        "label_names",
        JSONB,
        Computed('jsonb_path_query_array(definition, \'$."labels"[*]."name"\')', persisted=True),
        nullable=False,
    ),
    Column("revision", Integer, nullable=False),  # grows with each change: older labels are stale
    Column("fingerprint", Text),  # of the model that embedded its prompts; null: not embedded yet
    Column("logit_scale", Float),
    Column("vectors", LargeBinary),  # of its prompts: `prompts.encode_set`, as little-endian floats
    Column("job_id", ForeignKey("jobs.id", ondelete="SET NULL")),  # the last that labelled by it
    now_column(),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("collection_id", "name"),
)

image_labels = Table(
    "image_labels",
    metadata,
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("set_id", ForeignKey("label_sets.id", ondelete="CASCADE"), nullable=False),
    Column("label", Text, nullable=False),  # of the set's `label_names`, or OTHER
    Column("probability", REAL, nullable=False),
    Column("revision", Integer, nullable=False),  # the set's when it was told
    PrimaryKeyConstraint("image_id", "set_id", "label"),
    Index(
        None,
        "set_id",
        "label",
        "image_id",
        postgresql_include=["revision", "probability"],  # filters and counts read the index alone
    ),
)

reviews = Table(
    "reviews",
    metadata,
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("set_name", Text, nullable=False),  # the gate that stopped the picture
    Column("label", Text, nullable=False),  # for this label
    Column("probability", REAL, nullable=False),
    Column("external_id", Text),  # that the picture gets once it is approved
    Column("approved_at", DateTime(timezone=True)),  # null: it waits for a decision
    now_column(),
)
