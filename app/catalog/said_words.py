"""What people said of pictures, over the API or with an upload: columns of images.

`said_caption` is null if they said nothing; `said_metadata` has the keys that they named. An empty
caption and a key with null hide what the file or a sidecar says. A value counts as said also where
a file says the same: an exported sidecar repeats it, and may change or go.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from app.database.tables import IMAGE_COLUMNS, Image, images
from app.sources.sidecars.annotations import Annotation, check_metadata

JSON_NULL = literal_column("'null'::jsonb", JSONB())


def caption_over(said: ColumnElement[Any], read: ColumnElement[Any] | str | None) -> Any:
    """The caption that people said, else the one that was read."""
    return func.nullif(func.coalesce(said, read), "")


def metadata_over(said: ColumnElement[Any], read: ColumnElement[Any]) -> ColumnElement[Any]:
    """The metadata that people said, over those that were read."""
    pairs = func.jsonb_each(said).table_valued("key", "value")
    hidden = select(pairs.c.key).where(pairs.c.value == JSON_NULL).scalar_subquery()
    # In parentheses: Postgres's minus binds more tightly than its ||.
    return (read + said).self_group().op("-", return_type=JSONB())(func.array(hidden))


def said(session: Session, image: Image) -> Annotation:
    """What people have said of a picture."""
    query = select(images.c.said_caption, images.c.said_metadata).where(images.c.id == image.id)
    row = session.execute(query).one()
    return Annotation(row.said_caption, row.said_metadata)


def change(
    session: Session, image: Image, caption: str | None, changes: Mapping[str, Any]
) -> Image:
    """Record what people say of a picture whose row is locked, and return the row.

    A caption of None leaves it, an empty one removes it; a change to None removes the key. Raises
    AnnotationInvalid if the metadata become too large.
    """
    metadata = check_metadata(_without_nulls({**image.metadata, **changes}))
    columns = select(images.c.said_metadata, images.c.sidecar, images.c.embedded)
    said, *read = session.execute(columns.where(images.c.id == image.id)).one()
    read = [record for record in read if record is not None]
    is_read = {key for record in read for key in record["metadata"]}
    said = {
        key: value
        for key, value in {**said, **changes}.items()
        if value is not None or key in is_read
    }
    values: dict[str, Any] = {"metadata": metadata, "said_metadata": said}
    if caption is not None:
        hides = any(record["caption"] for record in read)
        values |= {"caption": caption or None, "said_caption": caption or ("" if hides else None)}
    query = update(images).where(images.c.id == image.id).values(values)
    return Image.of(session.execute(query.returning(*IMAGE_COLUMNS)).mappings().one())


def _without_nulls(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if value is not None}
