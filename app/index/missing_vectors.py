"""SQL on what a generation lacks: the pictures without a vector in it, and copying from others.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Select,
    cast,
    delete,
    exists,
    func,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.job_tables import job_items
from app.database.tables import (
    INDEX_COLUMNS,
    KEPT,
    PRESENT,
    Regions,
    VectorIndex,
    embeddings,
    images,
    vector_indexes,
)
from app.index import regions
from app.index.categories.category_copies import follow_vectors
from app.index.embeddings import get_pages, get_vectors, put_pages, put_vectors
from app.index.hnsw_search import any_of
from app.index.shuffling import shuffled

WHOLE = embeddings.c.region == 0


@dataclass(frozen=True)
class MissingPicture:
    """A picture that a generation has no vector of, and where its original is.

    `path` is what people are shown: of an upload, the name that it was submitted under.
    """

    id: int
    path: str
    stored_path: str
    upload_copy: str | None
    content_hash: bytes
    etag: str
    bytes: int
    frame_times: list[float] | None


def missing(session: Session, index: VectorIndex, after: int, limit: int) -> list[MissingPicture]:
    """Pictures of the collection without a vector in the index, by id, from above `after` on.

    Without those whose original its job has found unreadable, until they change.
    """
    query = _selected().where(_is_missing(index), images.c.id > after)
    return _read(session, query.order_by(images.c.id).limit(limit))


def pictures(session: Session, image_ids: Sequence[int]) -> list[MissingPicture]:
    """The same of these pictures, ascending by id, whether they have a vector or not."""
    query = _selected().where(images.c.id == any_of(image_ids), PRESENT)
    return _read(session, query.order_by(images.c.id))


def _selected() -> Select[Any]:
    names = [name for name in MissingPicture.__dataclass_fields__ if name != "stored_path"]
    shown = func.coalesce(images.c.origin, func.shown_path(images.c.path)).label("path")
    columns = [shown if name == "path" else images.c[name] for name in names]
    return select(*columns, images.c.path.label("stored_path"))


def _read(session: Session, query: Select[Any]) -> list[MissingPicture]:
    return [MissingPicture(**row) for row in session.execute(query).mappings()]


@dataclass(frozen=True)
class Wanted:
    """What another generation is to have: vectors of the model with this fingerprint.

    `regions` is None where those of the collection do, which can follow later.
    """

    fingerprint: str
    regions: Regions | None


def never_seen(
    session: Session, index: VectorIndex, wanted: Wanted, after: int, limit: int
) -> list[MissingPicture]:
    """Pictures that no generation has what is wanted of, by id, from above `after` on."""
    query = _selected().where(_is_never_seen(index, wanted), images.c.id > after)
    return _read(session, query.order_by(images.c.id).limit(limit))


def sample_never_seen(
    session: Session, index: VectorIndex, wanted: Wanted, size: int
) -> list[MissingPicture]:
    """Some of them, chosen by a hash of their ids."""
    query = _selected().where(_is_never_seen(index, wanted))
    return _read(session, query.order_by(shuffled(images.c.id)).limit(size))


def count_never_seen(session: Session, index: VectorIndex, wanted: Wanted) -> int:
    """How many of them there are."""
    query = select(func.count()).select_from(images).where(_is_never_seen(index, wanted))
    return session.execute(query).scalar_one()


def _is_never_seen(index: VectorIndex, wanted: Wanted) -> ColumnElement[bool]:
    of_model = select(vector_indexes.c.id).where(
        vector_indexes.c.collection_id == index.collection_id,
        vector_indexes.c.fingerprint == wanted.fingerprint,
        has_regions_of(wanted.regions),
    )
    seen = exists().where(
        embeddings.c.index_id.in_(of_model), embeddings.c.image_id == images.c.id, WHOLE
    )
    return (images.c.collection_id == index.collection_id) & KEPT & ~seen


def count_missing(session: Session, index: VectorIndex) -> int:
    """How many of them there are."""
    query = select(func.count()).select_from(images).where(_is_missing(index))
    return session.execute(query).scalar_one()


def _is_missing(index: VectorIndex) -> ColumnElement[bool]:
    job_id = select(vector_indexes.c.job_id).where(vector_indexes.c.id == index.id)
    there = exists().where(
        embeddings.c.index_id == index.id, embeddings.c.image_id == images.c.id, WHOLE
    )
    unreadable = exists().where(
        job_items.c.job_id == job_id.scalar_subquery(),
        job_items.c.state == "failed",
        job_items.c.image_id == images.c.id,
        job_items.c.etag == images.c.etag,
    )
    here = images.c.collection_id == index.collection_id
    return here & KEPT & ~there & ~unreadable


def lock_unchanged(
    session: Session, index: VectorIndex, pictures: Sequence[MissingPicture]
) -> list[int]:
    """The ids of those that still have this content, kept so until the transaction ends.

    Pictures that another transaction is changing are left out: the next look finds them.
    """
    known = [(picture.id, picture.content_hash) for picture in pictures]
    query = select(images.c.id).where(
        tuple_(images.c.id, images.c.content_hash).in_(known),
        images.c.collection_id == index.collection_id,
        KEPT,
    )
    query = query.order_by(images.c.id).with_for_update(read=True, skip_locked=True)
    return list(session.execute(query).scalars())


def has_regions_of(kind: Regions | None) -> ColumnElement[bool]:
    """Whether an index has these regions, and so need not be embedded for them; None: any do."""
    if kind is None or kind == "off":
        return true()
    return literal(kind) == regions.KIND


def siblings(
    session: Session, index: VectorIndex, kind: Regions | None = None
) -> list[VectorIndex]:
    """The other generations of the collection with vectors of the same model.

    With `kind`, those alone that have such regions, if these are any.
    """
    query = select(*INDEX_COLUMNS).where(
        vector_indexes.c.collection_id == index.collection_id,
        vector_indexes.c.fingerprint == index.fingerprint,
        vector_indexes.c.id != index.id,
        has_regions_of(kind),
    )
    return [VectorIndex(**row) for row in session.execute(query).mappings()]


def copy_vectors(
    session: Session, source: VectorIndex, target: VectorIndex, image_ids: Sequence[int]
) -> None:
    """Copy the vectors of pictures that the caller has locked, from where there are any.

    Those of regions only if both generations have the same ones. In Python where full precision
    becomes half, since that is more than a cast (`unit_halves`).
    """
    with_regions = regions.kind(session, source) == regions.kind(session, target)
    if source.storage == "vector" and target.storage != "vector":
        _copy_rounded(session, source, target, image_ids, with_regions=with_regions)
        return
    value = cast(source.column, target.column.type)
    names = ["index_id", "image_id", "region", "box", target.column.name]
    query = select(
        literal(target.id), embeddings.c.image_id, embeddings.c.region, embeddings.c.box, value
    ).where(embeddings.c.index_id == source.id, embeddings.c.image_id == any_of(image_ids))
    if not with_regions:
        query = query.where(~regions.REGION_ROW)
    copied = upsert(embeddings).from_select(names, query)
    session.execute(copied.on_conflict_do_nothing())
    follow_vectors(session, target, image_ids)


def _copy_rounded(
    session: Session,
    source: VectorIndex,
    target: VectorIndex,
    image_ids: Sequence[int],
    *,
    with_regions: bool,
) -> None:
    first = get_vectors(session, source, image_ids)
    if first:
        put_vectors(session, target, list(first), np.stack(list(first.values())))
    pages = get_pages(session, source, image_ids)
    put_pages(session, target, pages)
    if with_regions:
        regions.copy(session, source, target, image_ids)


def forget_changed(session: Session, index: VectorIndex, image_ids: Sequence[int]) -> None:
    """Delete the vectors of pictures from all generations of the collection but this one.

    Of those whose content has changed, they get new ones as they get those of new pictures.
    """
    query = select(vector_indexes.c.id).where(
        vector_indexes.c.collection_id == index.collection_id, vector_indexes.c.id != index.id
    )
    others = list(session.execute(query).scalars())
    if others:
        stale = delete(embeddings).where(
            embeddings.c.index_id.in_(others), embeddings.c.image_id == any_of(image_ids)
        )
        session.execute(stale)


def covered(session: Session, index: VectorIndex, image_ids: Sequence[int]) -> set[int]:
    """Which of the pictures have a vector in the index."""
    query = select(embeddings.c.image_id).where(
        embeddings.c.index_id == index.id, embeddings.c.image_id == any_of(image_ids), WHOLE
    )
    return set(session.execute(query).scalars())
