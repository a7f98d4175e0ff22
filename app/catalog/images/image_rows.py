"""SQL on images.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

from sqlalchemy import ColumnElement, Select, cast, exists, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.catalog import collections as collection_rows
from app.catalog import upload_copies
from app.catalog.collections import PRESENT as KNOWN_COLLECTION
from app.catalog.file_descriptions import FileDescription
from app.catalog.images.new_images import NewImage
from app.catalog.said_words import caption_over, metadata_over
from app.database.tables import (
    IMAGE_COLUMNS,
    PRESENT,
    Image,
    VectorIndex,
    collections,
    images,
)
from app.errors import ImageNotFound
from app.index import embeddings, regions
from app.index.embeddings import put_vectors
from app.index.missing_vectors import forget_changed
from app.index.vector_indexes import lock, require_active
from app.vectors import Vectors, check_vectors

MAX_COPIES = 50  # rows with the same content that are checked for a move
READ_COLUMNS = (
    *("content_hash", "etag", "bytes", "width", "height", "format"),
    *("perceptual_hash", "taken_at", "taken_local", "sidecar", "embedded", "frame_times"),
)


@dataclass(frozen=True)
class KnownFile:
    """What the catalog stores of a file to detect changes."""

    id: int
    path: str
    etag: str
    content_hash: bytes
    sidecar: Mapping[str, Any] | None
    embedded: Mapping[str, Any] | None


def count_images(session: Session, collection_id: int) -> int:
    """The number of pictures in the collection."""
    query = select(func.count()).where(images.c.collection_id == collection_id, PRESENT)
    return session.execute(query.select_from(images)).scalar_one()


@dataclass(frozen=True)
class Totals:
    """How many pictures there are, and how many collections have any."""

    pictures: int
    collections: int


def count_all(session: Session) -> Totals:
    """The totals of all collections that are not deleted."""
    collection = images.c.collection_id
    query = select(func.count(), func.count(collection.distinct())).select_from(images)
    return Totals(*session.execute(query.join(collections).where(PRESENT, KNOWN_COLLECTION)).one())


def _visible(*where: ColumnElement[bool]) -> Select[Any]:
    """Pictures without a tombstone, in collections without one."""
    in_collection = exists().where(collections.c.id == images.c.collection_id, KNOWN_COLLECTION)
    return select(*IMAGE_COLUMNS).where(*where, PRESENT, in_collection)


def get_image(session: Session, image_id: int, *, for_update: bool = False) -> Image:
    """The picture with that id. Raises ImageNotFound."""
    query = _visible(images.c.id == image_id)
    query = query.with_for_update() if for_update else query
    row = session.execute(query).mappings().one_or_none()
    if row is None:
        raise ImageNotFound(f"There is no picture with id {image_id}.")
    return Image.of(row)


def get_images(session: Session, image_ids: Sequence[int]) -> dict[int, Image]:
    """The pictures that exist, by id."""
    query = _visible(images.c.id.in_(image_ids))
    return {row["id"]: Image.of(row) for row in session.execute(query).mappings()}


def contents(
    session: Session, collection_id: int, limit: int
) -> dict[int, tuple[bytes, Sequence[float]]]:
    """Content hashes by id of some of a collection's pictures, tombstones included.

    With the times of the frames of a video.
    """
    query = select(images.c.id, images.c.content_hash, images.c.frame_times)
    query = query.where(images.c.collection_id == collection_id).limit(limit)
    return {id_: (content_hash, times or ()) for id_, content_hash, times in session.execute(query)}


def find_by_hash(session: Session, collection_id: int, content_hash: bytes) -> Image | None:
    """The first picture with this content, or None."""
    query = (
        select(*IMAGE_COLUMNS)
        .where(
            images.c.collection_id == collection_id,
            images.c.content_hash == content_hash,
            PRESENT,
        )
        .order_by(images.c.id)
        .limit(1)
    )
    row = session.execute(query).mappings().one_or_none()
    return Image.of(row) if row else None


def has_content(session: Session, collection_id: int, content_hash: bytes) -> bool:
    """Whether a picture has this content, be it one that is deleted and can be restored."""
    query = exists().where(
        images.c.collection_id == collection_id, images.c.content_hash == content_hash
    )
    return session.execute(select(query)).scalar_one()


def files_between(
    session: Session,
    collection_id: int,
    prefix: str,
    between: tuple[str | None, str | None],
    limit: int | None = None,
) -> dict[str, KnownFile]:
    """The first `limit` files, by path, whose path begins with `prefix` and lies in `between`.

    `between` is (exclusive lower, inclusive upper) bound.
    """
    after, up_to = between
    path = images.c.path
    conditions = [path.startswith(prefix, autoescape=True)]
    if after is not None:
        conditions.append(path > after)
    if up_to is not None:
        conditions.append(path <= up_to)
    return _by_path(_known(session, collection_id, *conditions, limit=limit))


def files_at(session: Session, collection_id: int, paths: Sequence[str]) -> dict[str, KnownFile]:
    """The files at `paths`, by path."""
    return _by_path(_known(session, collection_id, images.c.path.in_(paths)))


def _by_path(known: list[KnownFile]) -> dict[str, KnownFile]:
    return {one.path: one for one in known}


def files_with_content(
    session: Session, collection_id: int, content_hash: bytes
) -> list[KnownFile]:
    """Up to MAX_COPIES files with this content."""
    same = images.c.content_hash == content_hash
    return _known(session, collection_id, same, limit=MAX_COPIES)


def _known(
    session: Session,
    collection_id: int,
    *conditions: ColumnElement[bool],
    limit: int | None = None,
) -> list[KnownFile]:
    columns = [images.c[name] for name in KnownFile.__dataclass_fields__]
    query = select(*columns).where(images.c.collection_id == collection_id, PRESENT, *conditions)
    query = query.order_by(images.c.path).limit(limit)
    return [KnownFile(**row) for row in session.execute(query).mappings()]


def add_images(
    session: Session, index: VectorIndex, new: Sequence[NewImage], vectors: Vectors
) -> list[Image]:
    """Insert pictures with their vectors, float32 (len(new), dimensions); returns their rows.

    A known path keeps its id, and what people said of it, into which what they say now is merged;
    what its file and sidecars said before goes. A row whose bytes were uploaded too stays with that
    upload, and the new content gets a row of its own. Raises IndexGone if the index is no longer
    active.
    """
    if not new:
        return []
    check_vectors(vectors, index.space)
    require_active(session, index)
    contents = [(image.path, image.content_hash) for image in new]
    upload_copies.leave_changed(session, index.collection_id, contents)
    query = upsert(images).values(language=_language(index.collection_id))
    caption = func.coalesce(query.excluded.said_caption, images.c.said_caption)
    metadata = images.c.said_metadata + query.excluded.said_metadata
    changed = {
        **{name: query.excluded[name] for name in READ_COLUMNS},
        "caption": caption_over(caption, query.excluded.caption),
        "metadata": metadata_over(metadata, query.excluded.metadata),
        "said_caption": caption,
        "said_metadata": metadata,
        "removed_at": None,
    }
    query = query.on_conflict_do_update(index_elements=["collection_id", "path"], set_=changed)
    rows = [{"collection_id": index.collection_id, **image.values()} for image in new]
    returned = session.execute(query.returning(*IMAGE_COLUMNS), rows).mappings()
    stored = {row["stored_path"]: Image.of(row) for row in returned}  # in no particular order
    ordered = [stored[image.path] for image in new]
    ids = [image.id for image in ordered]
    forget_changed(session, index, ids)
    put_vectors(session, index, ids, vectors)
    if index.has_parts:
        regions.drop(session, index, ids)  # of what the files showed before
    return ordered


def put_pages(
    session: Session,
    index: VectorIndex,
    added: Sequence[Image],
    pages: Sequence[Mapping[int, Vectors]],
) -> None:
    """Replace the vectors of the further pages of pictures that were just added.

    None are written if the collection has gone back to first pages since they were read.
    """
    if not collection_rows.indexes_all_pages(session, index.collection_id):
        return
    found = {image.id: ours for image, ours in zip(added, pages, strict=True)}
    embeddings.put_pages(session, index, found)


def put_frame_times(session: Session, image_id: int, times: Sequence[float] | None) -> None:
    """Set when the pages of a video are shown, in seconds; None for any other file."""
    value = None if times is None else list(times)
    session.execute(update(images).where(images.c.id == image_id).values(frame_times=value))


def _language(collection_id: int) -> ColumnElement[Any]:
    """The text search configuration of the collection."""
    language = select(collections.c.language).where(collections.c.id == collection_id)
    return language.scalar_subquery()


def move_image(
    session: Session,
    known: KnownFile | Image,
    path: str,
    etag: str,
    words: FileDescription | None = None,
    zone: tzinfo = UTC,
) -> bool:
    """Record that a picture's unchanged content is now at `path`.

    `words` are what its file and sidecars say now: they are merged, and what they said before goes.
    None leaves all of that as it is. Returns False if it has been moved or deleted in the meantime.
    """
    at = known.stored_path if isinstance(known, Image) else known.path
    query = (
        update(images)
        .where(images.c.id == known.id, images.c.path == at, PRESENT)
        .values(path=path, etag=etag, upload_copy=func.nullif(images.c.upload_copy, path))
    )
    if words is not None:
        query = query.values(
            caption=caption_over(images.c.said_caption, words.merged.caption),
            metadata=metadata_over(images.c.said_metadata, cast(words.merged.metadata, JSONB)),
            sidecar=words.sidecar,
            embedded=words.embedded,
            **words.times(zone),
        )
    return session.execute(query.returning(images.c.id)).first() is not None


def lock_content(session: Session, *content_hashes: bytes) -> None:
    """Lock contents against insertion and deletion until the transaction ends.

    Locks are taken in a fixed order to avoid deadlocks.
    """
    lock(session, *(f"content {one.hex()}" for one in sorted(set(content_hashes))))
