"""Moves pictures into another collection, with their vectors and what was said of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import RowMapping, Text, delete, exists, literal, select, update
from sqlalchemy.orm import Session

from app.catalog import collections, skipped_files
from app.catalog.collection_deletion import uploads_disk
from app.catalog.images import image_deletion
from app.catalog.images.image_removal import remove_files
from app.catalog.images.image_rows import lock_content
from app.catalog.standing import new_image_rows
from app.database.annotation_tables import image_annotations
from app.database.connections import Sessions
from app.database.tables import (
    IMAGE_COLUMNS,
    PRESENT,
    REGION_ANNOTATORS,
    Collection,
    Image,
    VectorIndex,
    embeddings,
    images,
)
from app.errors import CollectionRejected
from app.index import regions
from app.index.categories import category_copies
from app.index.embeddings import drop_pages
from app.index.missing_vectors import forget_changed
from app.index.vector_indexes import require_active
from app.storage.disk import Disk, Stores

MoveStatus = Literal["moved", "not_found", "duplicate", "elsewhere"]
"""`duplicate`: the other collection has these bytes, this path or this external id; `elsewhere`:
the upload lies in the store of another machine."""

Place = tuple[Collection, VectorIndex]


@dataclass(frozen=True)
class _Copy:
    """The file of an upload in the other collection's folder, and the hash of its bytes."""

    stored_path: str
    location: Path
    content_hash: bytes


Copies = dict[str, _Copy]
"""Those of uploads by their stored paths; none of one whose file is not in this process's store."""


@dataclass(frozen=True)
class Moved:
    """What became of one picture."""

    id: int
    status: MoveStatus


def move_many(
    sessions: Sessions, stores: Stores, source: Place, target: Place, image_ids: Sequence[int]
) -> list[Moved]:
    """Move pictures in one transaction; one outcome per id, in their order.

    Uploaded files are copied into the other collection's folder before, and deleted after it; so
    are copies that are not needed. A file in a folder or bucket stays, and no listing of the
    collection it left indexes it again. Raises CollectionRejected where the vectors of the two
    cannot be compared, IndexGone and StorageUnwritable.
    """
    _check_models(source[1], target[1])
    ids = list(dict.fromkeys(image_ids))
    copies: Copies = {}
    try:
        _copy(sessions, stores, (source[0], target[0]), ids, copies)
        with sessions.begin() as session:
            require_active(session, target[1])
            found = _rows(session, source[0].id, ids)
            lock_content(session, *(row["content_hash"] for row in found))
            _copy_again(stores, target[0], found, copies)
            status, left = _move(session, copies, source, target, found)
    finally:
        _remove_unneeded(sessions, stores, target[0], copies)
    remove_files(sessions, stores, left)
    return [Moved(image_id, status.get(image_id, "not_found")) for image_id in ids]


def _check_models(source: VectorIndex, target: VectorIndex) -> None:
    if source.collection_id == target.collection_id:
        raise CollectionRejected("The pictures are in this collection already: name another one.")
    same = (source.fingerprint, source.column.name) == (target.fingerprint, target.column.name)
    if not same:
        raise CollectionRejected(
            f"The collections have different models ({source.space.name}, {target.space.name}) or "
            "kinds of storage, so vectors cannot be moved: add the files to the other collection."
        )


def _copy(
    sessions: Sessions,
    stores: Stores,
    between: tuple[Collection, Collection],
    ids: Sequence[int],
    copies: Copies,
) -> None:
    """Copy the files of uploads, and note each in `copies` as soon as it is there."""
    source, target = between
    disk = uploads_disk(stores.uploads, target)
    with sessions.begin() as session:
        found = _rows(session, source.id, ids)
    for path, content_hash in sorted(_uploads(found).items()):
        copied = _copied(stores, disk, path)
        if copied is not None:
            copies[path] = _Copy(stores.uploads.stored_path(copied), copied, content_hash)


def _copy_again(
    stores: Stores, target: Collection, found: Sequence[RowMapping], copies: Copies
) -> None:
    """Copy what was deleted before we had the lock of its content, while no row named it.

    Another move or a deletion of the same bytes takes the copy for its own. What cannot be copied
    any more is left out of `copies`.
    """
    disk = uploads_disk(stores.uploads, target)
    for path in _uploads(found).keys() & copies.keys():
        if not copies[path].location.exists() and _copied(stores, disk, path) is None:
            del copies[path]


def _uploads(found: Sequence[RowMapping]) -> dict[str, bytes]:
    """The hashes of uploaded files by their stored paths."""
    return {
        path: row["content_hash"]
        for row in found
        for path in (row["stored_path"], row["upload_copy"])
        if path and image_deletion.is_upload(path)
    }


def _copied(stores: Stores, disk: Disk, path: str) -> Path | None:
    """The copy of an upload on `disk`; None where the file is gone, or in another store."""
    location = stores.uploads.location(path)
    if location is None:
        return None
    try:
        file = location.open("rb")
    except FileNotFoundError:
        return None
    with file:
        return disk.copy(location.name, file)


def _remove_unneeded(
    sessions: Sessions, stores: Stores, target: Collection, copies: Copies
) -> None:
    """Delete the copies that are no picture's file: theirs has not moved.

    The lock keeps out a concurrent upload of the same bytes, which would reuse the file.
    """
    contents = [one.content_hash for one in copies.values()]
    with sessions.begin() as session:
        lock_content(session, *contents)
        query = select(images.c.path, images.c.upload_copy).where(
            images.c.collection_id == target.id, images.c.content_hash.in_(contents)
        )
        needed = {path for row in session.execute(query) for path in row}
        for one in copies.values():
            if one.stored_path not in needed:
                stores.uploads.delete(one.location)


def _rows(session: Session, collection_id: int, ids: Sequence[int]) -> Sequence[RowMapping]:
    query = select(*IMAGE_COLUMNS, images.c.etag).where(
        images.c.id.in_(ids), images.c.collection_id == collection_id, PRESENT
    )
    return session.execute(query.order_by(images.c.id).with_for_update()).mappings().all()


def _move(
    session: Session,
    copies: Copies,
    source: Place,
    target: Place,
    found: Sequence[RowMapping],
) -> tuple[dict[int, MoveStatus], list[Image]]:
    """The status of each picture that was found, and the former rows of those that moved."""
    status: dict[int, MoveStatus] = {}
    gone = []
    for row in found:
        status[row["id"]] = _move_one(session, copies, row, target)
        if status[row["id"]] == "moved":
            gone.append(row)
    moved = [row["id"] for row in gone]
    _forget_regions(session, source[1], moved)
    vectors = update(embeddings).where(
        embeddings.c.index_id == source[1].id, embeddings.c.image_id.in_(moved)
    )
    session.execute(vectors.values(index_id=target[1].id))
    if not collections.indexes_all_pages(session, target[0].id):
        drop_pages(session, target[1], moved)
    category_copies.leave(session, source[1], moved)
    category_copies.follow_vectors(session, target[1], moved)
    forget_changed(session, source[1], moved)
    image_deletion.skip_files(session, gone)
    skipped_files.forget(session, target[0].id, [row["stored_path"] for row in gone])
    new_image_rows.note(session, moved)
    return status, [Image.of(row) for row in gone]


def _forget_regions(session: Session, index: VectorIndex, image_ids: Sequence[int]) -> None:
    """Regions do not move: the other collection may have none, or others."""
    regions.drop(session, index, image_ids)
    looked_at = delete(image_annotations).where(
        image_annotations.c.image_id.in_(image_ids),
        image_annotations.c.annotator.in_(REGION_ANNOTATORS),
    )
    session.execute(looked_at)


def _new_path(copies: Copies, path: str | None) -> str | None:
    """Where the file lies afterwards; None for that of an upload which could not be copied."""
    if path is None or not image_deletion.is_upload(path):
        return path
    return copies[path].stored_path if path in copies else None


def _move_one(session: Session, copies: Copies, row: RowMapping, target: Place) -> MoveStatus:
    collection = target[0]
    new: dict[str, Any] = {
        "path": _new_path(copies, row["stored_path"]),
        "upload_copy": _new_path(copies, row["upload_copy"]),
    }
    if new["path"] is None:
        return "elsewhere"
    there = exists().where(
        images.c.collection_id == collection.id,
        (images.c.path == new["path"])
        | (images.c.content_hash == row["content_hash"])
        | (images.c.external_id == literal(row["external_id"], Text())),  # null: equals none
    )
    if session.execute(select(there)).scalar_one():
        return "duplicate"
    moved = update(images).where(images.c.id == row["id"])
    session.execute(moved.values(collection_id=collection.id, language=collection.language, **new))
    return "moved"
