"""SQL on images.

Every function takes a Session and leaves the transaction to its caller.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, cast, exists, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.catalog.collections import PRESENT as KNOWN_COLLECTION
from app.database.tables import (
    IMAGE_COLUMNS,
    PRESENT,
    Image,
    VectorIndex,
    collections,
    embeddings,
    images,
)
from app.errors import ImageNotFound
from app.index.embeddings import put_vectors
from app.index.vector_indexes import lock, require_active
from app.pictures.decoding import Picture
from app.pictures.exif import Exif
from app.pictures.perceptual_hash import perceptual_hash
from app.sources.sidecars import Annotation
from app.vectors import Vectors, check_vectors

NO_ANNOTATION = Annotation()
MAX_COPIES = 50  # of one content that are looked at to tell whether one was moved
CONTENT_COLUMNS = (
    *("content_hash", "etag", "bytes", "width", "height", "format"),
    *("perceptual_hash", "taken_at"),
)


@dataclass(frozen=True)
class NewImage:
    """What is known of a picture before it has a row."""

    path: str
    content_hash: bytes
    etag: str
    bytes: int
    width: int
    height: int
    format: str
    perceptual_hash: int | None = None
    taken_at: datetime | None = None
    caption: str | None = None
    metadata: Mapping[str, Any] | None = None
    origin: str | None = None

    def values(self) -> dict[str, Any]:
        """The columns of its row, but for the collection."""
        return {**vars(self), "metadata": dict(self.metadata or {})}


def new_image(
    path: str,
    etag: str,
    data: bytes,
    picture: Picture,
    annotation: Annotation = NO_ANNOTATION,
    *,
    keep_gps: bool = False,
) -> NewImage:
    """The facts of the file `data` that was decoded to `picture`; what people say wins over EXIF.

    `keep_gps` keeps where it was taken.
    """
    return NewImage(
        path=path,
        content_hash=hashlib.sha256(data).digest(),
        etag=etag,
        bytes=len(data),
        width=picture.width,
        height=picture.height,
        format=picture.format,
        perceptual_hash=perceptual_hash(picture.image),
        taken_at=picture.exif.taken_at,
        caption=annotation.caption,
        metadata={**_exif_metadata(picture.exif, keep_gps), **annotation.metadata},
    )


def _exif_metadata(exif: Exif, keep_gps: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if exif.camera:
        found["camera"] = exif.camera
    if keep_gps and exif.gps:
        found["gps"] = dict(zip(("latitude", "longitude"), exif.gps, strict=True))
    return found


@dataclass(frozen=True)
class KnownFile:
    """What the catalog remembers of a file, to tell whether it has changed."""

    id: int
    path: str
    etag: str
    content_hash: bytes


def count_images(session: Session, collection_id: int) -> int:
    """How many pictures the collection holds."""
    query = select(func.count()).where(images.c.collection_id == collection_id, PRESENT)
    return session.execute(query.select_from(images)).scalar_one()


def count_covered(session: Session, found: Sequence[VectorIndex]) -> list[tuple[int, int]]:
    """Of each index: how many pictures its collection has, and of how many it has a vector."""
    pictures = select(images.c.collection_id, func.count()).group_by(images.c.collection_id)
    pictures = pictures.where(images.c.collection_id.in_([one.collection_id for one in found]))
    vectors = select(embeddings.c.index_id, func.count()).group_by(embeddings.c.index_id)
    vectors = vectors.where(embeddings.c.index_id.in_([one.id for one in found]))
    there = dict(session.execute(pictures.where(PRESENT)).tuples().all())
    covered = dict(session.execute(vectors.where(embeddings.c.region == 0)).tuples().all())
    counted = [(there.get(one.collection_id, 0), covered.get(one.id, 0)) for one in found]
    # A tombstone's vector covers no picture.
    return [(pictures, min(vectors, pictures)) for pictures, vectors in counted]


def _shown(*where: ColumnElement[bool]) -> Select[Any]:
    """Pictures without a tombstone, their collections without one too."""
    theirs = exists().where(collections.c.id == images.c.collection_id, KNOWN_COLLECTION)
    return select(*IMAGE_COLUMNS).where(*where, PRESENT, theirs)


def get_image(session: Session, image_id: int, *, for_update: bool = False) -> Image:
    """One picture. Raises ImageNotFound."""
    query = _shown(images.c.id == image_id)
    query = query.with_for_update() if for_update else query
    row = session.execute(query).mappings().one_or_none()
    if row is None:
        raise ImageNotFound(f"There is no picture with id {image_id}.")
    return Image.of(row)


def get_images(session: Session, image_ids: Sequence[int]) -> dict[int, Image]:
    """Those of the pictures that are there, by id."""
    query = _shown(images.c.id.in_(image_ids))
    return {row["id"]: Image.of(row) for row in session.execute(query).mappings()}


def contents(session: Session, collection_id: int, limit: int) -> dict[int, bytes]:
    """The content hashes, by id, of some of a collection's pictures, tombstones or not."""
    query = select(images.c.id, images.c.content_hash)
    query = query.where(images.c.collection_id == collection_id).limit(limit)
    return {row.id: row.content_hash for row in session.execute(query)}


def annotate(session: Session, image: Image, annotation: Annotation) -> Image:
    """Replace its metadata, and its caption unless that is None; "" takes it away."""
    caption = image.caption if annotation.caption is None else annotation.caption or None
    query = update(images).where(images.c.id == image.id)
    query = query.values(caption=caption, metadata=annotation.metadata)
    return Image.of(session.execute(query.returning(*IMAGE_COLUMNS)).mappings().one())


def find_by_hash(session: Session, collection_id: int, content_hash: bytes) -> Image | None:
    """The first picture with these bytes, or None."""
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


def known_between(
    session: Session,
    collection_id: int,
    prefix: str,
    between: tuple[str | None, str | None],
    limit: int | None = None,
) -> dict[str, KnownFile]:
    """Pictures whose path begins with `prefix`, is > the first of `between` and <= the second.

    By path; the first `limit` of them.
    """
    after, upto = between
    path = images.c.path
    conditions = [path.startswith(prefix, autoescape=True)]
    if after is not None:
        conditions.append(path > after)
    if upto is not None:
        conditions.append(path <= upto)
    return _by_path(_known(session, collection_id, *conditions, limit=limit))


def known_at(session: Session, collection_id: int, paths: Sequence[str]) -> dict[str, KnownFile]:
    """The pictures at `paths`, by path."""
    return _by_path(_known(session, collection_id, images.c.path.in_(paths)))


def _by_path(known: list[KnownFile]) -> dict[str, KnownFile]:
    return {one.path: one for one in known}


def files_with_content(
    session: Session, collection_id: int, content_hash: bytes
) -> list[KnownFile]:
    """Pictures with these bytes, MAX_COPIES at most."""
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
    """Insert pictures with their vectors, float32 (len(new), dimensions); return their rows.

    A path that is known keeps its id, gets the new content and vector, and keeps its caption and
    metadata but for what comes anew.
    Raises IndexGone where the index is no longer the active one.
    """
    if not new:
        return []
    check_vectors(vectors, index.space)
    require_active(session, index)
    query = upsert(images).values(language=_language(index.collection_id))
    changed = {
        **{name: query.excluded[name] for name in CONTENT_COLUMNS},
        "caption": func.coalesce(query.excluded.caption, images.c.caption),
        "metadata": images.c.metadata + query.excluded.metadata,
        "removed_at": None,
    }
    query = query.on_conflict_do_update(index_elements=["collection_id", "path"], set_=changed)
    rows = [{"collection_id": index.collection_id, **image.values()} for image in new]
    returned = session.execute(query.returning(*IMAGE_COLUMNS), rows).mappings()
    stored = {row["stored_path"]: Image.of(row) for row in returned}  # in any order
    ordered = [stored[image.path] for image in new]
    put_vectors(session, index, [image.id for image in ordered], vectors)
    return ordered


def _language(collection_id: int) -> ColumnElement[Any]:
    """The text search configuration of a collection's words."""
    language = select(collections.c.language).where(collections.c.id == collection_id)
    return language.scalar_subquery()


def place_image(
    session: Session,
    known: KnownFile | Image,
    path: str,
    etag: str,
    annotation: Annotation = NO_ANNOTATION,
) -> bool:
    """Note that a picture's unchanged content now lies at `path`, and what is said of it anew.

    False where somebody else has moved or deleted it since it was known.
    """
    at = known.stored_path if isinstance(known, Image) else known.path
    query = (
        update(images)
        .where(images.c.id == known.id, images.c.path == at, PRESENT)
        .values(
            path=path,
            etag=etag,
            caption=func.coalesce(annotation.caption, images.c.caption),
            metadata=images.c.metadata + cast(annotation.metadata, JSONB),
        )
    )
    return session.execute(query.returning(images.c.id)).first() is not None


def lock_content(session: Session, *content_hashes: bytes) -> None:
    """Until the transaction ends, nobody else adds or deletes a picture with these bytes.

    Of several contents in one order: two that lock the same ones never wait in a circle.
    """
    lock(session, *(f"content {one.hex()}" for one in sorted(set(content_hashes))))
