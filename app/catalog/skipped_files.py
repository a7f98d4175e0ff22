"""SQL on files that a listing skips while they stay as they are.

Either a person deleted the picture here, and its file stayed in its folder or bucket, or the file
was refused. Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.skipped_tables import skipped_files


@dataclass(frozen=True)
class SkippedFile:
    """A file at `path` with this etag.

    If its picture was deleted, `content_hash` is that of the file (SHA-256). If it was refused,
    `reason` says why, with its `code`, and `rules` under which limits and decoders.
    """

    path: str
    etag: str
    content_hash: bytes | None = None
    reason: str | None = None
    code: str | None = None
    rules: str | None = None


COLUMNS = [skipped_files.c[name] for name in SkippedFile.__dataclass_fields__]


def between(
    session: Session, collection_id: int, prefix: str, after: str | None, upto: str
) -> dict[str, SkippedFile]:
    """Those whose path begins with `prefix`, is > `after` and <= `upto`, by path."""
    path = skipped_files.c.path
    query = select(*COLUMNS).where(
        skipped_files.c.collection_id == collection_id,
        path.startswith(prefix, autoescape=True),
        path <= upto,
    )
    if after is not None:
        query = query.where(path > after)
    return {row["path"]: SkippedFile(**row) for row in session.execute(query).mappings()}


def deleted(session: Session, collection_id: int, content_hash: bytes) -> list[SkippedFile]:
    """The deleted pictures' files with this content."""
    query = select(*COLUMNS).where(
        skipped_files.c.collection_id == collection_id,
        skipped_files.c.content_hash == content_hash,
    )
    rows = session.execute(query.order_by(skipped_files.c.path)).mappings()
    return [SkippedFile(**row) for row in rows]


def put(session: Session, collection_id: int, files: Sequence[SkippedFile]) -> None:
    """Record files, which replaces what was recorded of their paths."""
    ordered = sorted(files, key=lambda file: file.path)  # two transactions never deadlock
    rows = [{"collection_id": collection_id, **vars(file)} for file in ordered]
    if not rows:
        return
    query = upsert(skipped_files).values(rows)
    values = {name: query.excluded[name] for name in SkippedFile.__dataclass_fields__}
    session.execute(
        query.on_conflict_do_update(index_elements=["collection_id", "path"], set_=values)
    )


def move(session: Session, collection_id: int, skipped: SkippedFile, path: str, etag: str) -> None:
    """Record that a deleted picture's unchanged file is now at `path`, with this etag."""
    forget(session, collection_id, [path] if path != skipped.path else [])
    query = update(skipped_files).where(
        skipped_files.c.collection_id == collection_id, skipped_files.c.path == skipped.path
    )
    session.execute(query.values(path=path, etag=etag))


def forget_deleted(session: Session, collection_id: int, content_hashes: Sequence[bytes]) -> None:
    """Skip the files of deleted pictures with these contents no more."""
    if content_hashes:
        query = delete(skipped_files).where(
            skipped_files.c.collection_id == collection_id,
            skipped_files.c.content_hash.in_(content_hashes),
        )
        session.execute(query)


def forget_refused(session: Session, collection_id: int, code: str) -> None:
    """Read the files again that were refused for the reason with this code."""
    query = delete(skipped_files).where(
        skipped_files.c.collection_id == collection_id, skipped_files.c.code == code
    )
    session.execute(query)


def forget(session: Session, collection_id: int, paths: Sequence[str]) -> None:
    """Skip the files at `paths` no more."""
    if paths:
        query = delete(skipped_files).where(
            skipped_files.c.collection_id == collection_id, skipped_files.c.path.in_(paths)
        )
        session.execute(query)
