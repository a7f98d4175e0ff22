"""SQL on pictures of folders and buckets whose bytes were uploaded too.

Such a picture is one row, at the path of its folder; `upload_copy` is where the upload is kept.
When the folder's file goes, or changes, the row is that of the upload, and keeps its name. Every
function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Text,
    Update,
    case,
    cast,
    exists,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from app.database.tables import IMAGE_COLUMNS, PRESENT, Image, images
from app.sources.sidecars.annotations import Annotation


def add(session: Session, known: Image, upload: str | None, annotation: Annotation) -> Image | None:
    """Record that a known picture's bytes were uploaded, and merge what was said with them.

    Whoever sends a file once more removes nothing: an empty caption leaves the one that is there,
    and tags are added to those that are there.
    `upload` is the stored path of the copy, None if the picture itself is the upload. Returns None
    if the picture has been moved or deleted in the meantime.
    """
    query = update(images).where(
        images.c.id == known.id, images.c.path == known.stored_path, PRESENT
    )
    said = cast(annotation.metadata, JSONB) + _tags(annotation)
    caption = annotation.caption or None
    query = query.values(
        upload_copy=func.coalesce(upload, images.c.upload_copy),
        caption=func.coalesce(caption, images.c.caption),
        metadata=images.c.metadata + said,
        said_caption=func.coalesce(caption, images.c.said_caption),
        said_metadata=images.c.said_metadata + said,
    )
    row = session.execute(query.returning(*IMAGE_COLUMNS)).mappings().one_or_none()
    return Image.of(row) if row else None


def is_changed_by(known: Image, annotation: Annotation) -> bool:
    """Whether merging what was said changes the picture's caption or metadata.

    Which of its albums was the last does not count, or importing them again would change it.
    """
    sent = dict(annotation.metadata)
    tags, present = sent.get("tags"), known.metadata.get("tags")
    if isinstance(tags, list) and isinstance(present, list):  # as `_tags` does
        sent["tags"] = present + [tag for tag in tags if tag not in present]
    if "album" in sent:
        sent["album"] = known.metadata.get("album", sent["album"])
    has_caption = annotation.caption in {None, "", known.caption}
    return not has_caption or {**known.metadata, **sent} != known.metadata


def _tags(annotation: Annotation) -> ColumnElement[Any]:
    """The tags of both: the picture may be in another album, or have been tagged since."""
    sent = annotation.metadata.get("tags")
    if not isinstance(sent, list):
        return cast({}, JSONB)
    known = images.c.metadata["tags"]
    is_list = func.jsonb_typeof(known) == "array"
    old = case((is_list, known), else_=cast([], JSONB))
    fresh = cast(sent, JSONB).op("-", return_type=JSONB())(_texts(old))
    return func.jsonb_build_object("tags", old.op("||", return_type=JSONB())(fresh), type_=JSONB())


def _texts(tags: ColumnElement[Any]) -> ColumnElement[Any]:
    one = func.jsonb_array_elements_text(tags).column_valued("one")
    return func.array(select(one).scalar_subquery(), type_=ARRAY(Text))


def leave_changed(
    session: Session, collection_id: int, contents: Sequence[tuple[str, bytes]]
) -> None:
    """Of known paths that now have other content, leave their rows to the uploads of the old one.

    `contents` are paths and their new content hashes.
    """
    query = update(images).where(
        images.c.collection_id == collection_id,
        images.c.path.in_([path for path, _ in contents]),
        tuple_(images.c.path, images.c.content_hash).not_in(contents),
        PRESENT,
    )
    _fall_back(session, query)


def fall_back(session: Session, image_ids: Sequence[int]) -> set[int]:
    """Of pictures whose file is gone, point those that were uploaded too to their upload.

    Returns their ids.
    """
    return _fall_back(session, update(images).where(images.c.id.in_(image_ids), PRESENT))


def _fall_back(session: Session, query: Update) -> set[int]:
    other = images.alias()
    taken = exists().where(
        other.c.collection_id == images.c.collection_id, other.c.path == images.c.upload_copy
    )
    query = query.where(images.c.upload_copy.is_not(None), ~taken).values(
        path=images.c.upload_copy,
        origin=func.coalesce(images.c.origin, func.regexp_replace(images.c.path, "^.*/", "")),
        etag=func.encode(images.c.content_hash, "hex"),
        upload_copy=None,
        sidecar=None,
    )
    return set(session.execute(query.returning(images.c.id)).scalars())
