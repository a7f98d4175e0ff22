"""SQL on images and embeddings.

Every function takes a Session and leaves the transaction to its caller.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, cast, delete, exists, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.annotations import Annotation
from app.errors import ImageNotFound
from app.exif import Exif
from app.indexes import lock, require_active
from app.perceptual import perceptual_hash
from app.pictures import Picture
from app.tables import (
    IMAGE_COLUMNS,
    PRESENT,
    Image,
    VectorIndex,
    embeddings,
    images,
)
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


Place = TypeVar("Place", KnownFile, Image)
"""A picture's id and where it is known to lie."""


def count_images(session: Session, collection_id: int) -> int:
    """How many pictures the collection holds."""
    query = select(func.count()).where(images.c.collection_id == collection_id, PRESENT)
    return session.execute(query.select_from(images)).scalar_one()


def get_image(session: Session, image_id: int) -> Image:
    """One picture. Raises ImageNotFound."""
    query = select(*IMAGE_COLUMNS).where(images.c.id == image_id, PRESENT)
    row = session.execute(query).mappings().one_or_none()
    if row is None:
        raise ImageNotFound(f"There is no picture with id {image_id}.")
    return Image.of(row)


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
    query = upsert(images)
    changed = {
        **{name: query.excluded[name] for name in CONTENT_COLUMNS},
        "caption": func.coalesce(query.excluded.caption, images.c.caption),
        "metadata": images.c.metadata + query.excluded.metadata,
        "removed_at": None,
    }
    query = query.on_conflict_do_update(index_elements=["collection_id", "path"], set_=changed)
    rows = [{"collection_id": index.collection_id, **image.values()} for image in new]
    returned = session.execute(query.returning(*IMAGE_COLUMNS), rows).mappings()
    stored = {row["path"]: Image.of(row) for row in returned}  # in any order
    ordered = [stored[image.path] for image in new]
    put_vectors(session, index, [image.id for image in ordered], vectors)
    return ordered


def put_vectors(
    session: Session, index: VectorIndex, image_ids: list[int], vectors: Vectors
) -> None:
    """Write the vectors of whole pictures, float32 (len(image_ids), dimensions)."""
    rows = [
        {"index_id": index.id, "image_id": image_id, "embedding": vector}
        for image_id, vector in zip(image_ids, vectors, strict=True)
    ]
    query = upsert(embeddings)
    query = query.on_conflict_do_update(
        index_elements=["index_id", "image_id", "region"],
        set_={"embedding": query.excluded.embedding},
    )
    session.execute(query, rows)


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
    query = (
        update(images)
        .where(images.c.id == known.id, images.c.path == known.path, PRESENT)
        .values(
            path=path,
            etag=etag,
            caption=func.coalesce(annotation.caption, images.c.caption),
            metadata=images.c.metadata + cast(annotation.metadata, JSONB),
        )
    )
    return session.execute(query.returning(images.c.id)).first() is not None


def without_vector(session: Session, index: VectorIndex) -> list[Image]:
    """The pictures of the index's collection that it has no vector of."""
    there = exists().where(embeddings.c.index_id == index.id, embeddings.c.image_id == images.c.id)
    query = select(*IMAGE_COLUMNS).where(
        images.c.collection_id == index.collection_id, PRESENT, ~there
    )
    return [Image.of(row) for row in session.execute(query.order_by(images.c.id)).mappings()]


def bury_images(session: Session, known: Sequence[Place]) -> list[Place]:
    """Set tombstones: the pictures are in no answer from now on, whatever their deletion takes.

    Returns those that were still where they are known to be: others were moved meanwhile.
    """
    places = [(one.id, one.path) for one in known]
    query = update(images).where(tuple_(images.c.id, images.c.path).in_(places), PRESENT)
    query = query.values(removed_at=func.now()).returning(images.c.id)
    buried = set(session.execute(query).scalars())
    return [one for one in known if one.id in buried]


def delete_buried(session: Session, limit: int) -> list[bytes]:
    """Delete up to `limit` pictures that have a tombstone; returns their content hashes."""
    chosen = select(images.c.id).where(~PRESENT).order_by(images.c.id).limit(limit)
    query = delete(images).where(images.c.id.in_(chosen.with_for_update(skip_locked=True)))
    return list(session.execute(query.returning(images.c.content_hash)).scalars())


def delete_images(session: Session, image_ids: Sequence[int]) -> None:
    """Delete pictures and, by their foreign keys, their vectors."""
    session.execute(delete(images).where(images.c.id.in_(image_ids)))


def lock_content(session: Session, content_hash: bytes) -> None:
    """Until the transaction ends, nobody else adds or deletes a picture with these bytes."""
    lock(session, f"content {content_hash.hex()}")
