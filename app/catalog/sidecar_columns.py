"""What a picture's sidecar said, apart from what people said: SQL on columns of images."""

from typing import Any

from sqlalchemy import ColumnElement, Text, literal_column
from sqlalchemy.dialects.postgresql import JSONB

from app.sources.sidecars import Annotation

SAID_CAPTION: ColumnElement[str] = literal_column(
    "CASE WHEN images.caption IS DISTINCT FROM images.sidecar->>'caption' THEN images.caption END",
    Text,
)
SAID_METADATA: ColumnElement[dict[str, Any]] = literal_column(
    "(images.metadata - ARRAY(SELECT s.key FROM jsonb_each(images.sidecar->'metadata') AS s "
    "WHERE images.metadata->s.key = s.value))",
    JSONB,
)
"""A picture's caption and metadata without what its sidecar said last: what people said stays."""


def sidecar_record(sidecar: Annotation) -> dict[str, Any] | None:
    """What a row records of its sidecar; None if that says nothing."""
    return vars(sidecar) if sidecar != Annotation() else None
