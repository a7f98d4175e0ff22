"""SQL that finds what an explanation is about: a picture, or the refusal of a file.

Every function takes a Session and leaves the transaction to its caller.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from app.catalog import upload_rows
from app.catalog.filters.field_names import UNSTORABLE
from app.catalog.filters.fields import MAX_BIGINT
from app.catalog.filters.filter_values import letter_forms
from app.database.job_tables import job_items, jobs
from app.database.tables import HELD, PRESENT, Collection, collections, images
from app.storage.disk import STORE_SCHEME

Target = int | str
"""A picture's id, its path, or the name it was uploaded under."""


@dataclass(frozen=True)
class FoundImage:
    """A picture that has a row; `removed` if it is a tombstone. `collection` is namespace/name.

    `name` is what people know it by: its path, or the name it was uploaded under.
    """

    id: int
    path: str
    name: str
    collection_id: int
    collection: str
    removed: bool


def find_image(session: Session, collection: Collection, target: Target) -> FoundImage | None:
    """Look up by id; else by path or upload name in this collection; else by path in others.

    Only the collection's own namespace is searched, so that others reveal nothing. A file that a
    job of this collection rejected is not looked for elsewhere.
    """
    own = collections.c.namespace == collection.namespace
    if isinstance(target, int):
        return _newest(session, own, images.c.id == target) if 0 < target <= MAX_BIGINT else None
    if UNSTORABLE.search(target):
        return None
    here = images.c.collection_id == collection.id
    forms = letter_forms(target)
    paths = [path for form in forms for path in upload_rows.possible_paths(session, form)]
    is_at_target = images.c.path.in_(paths)
    found = _newest(session, here, is_at_target)
    found = found or _newest(session, here, images.c.origin.in_(forms))
    if found is not None or find_refusal(session, collection.id, target):
        return found
    return _newest(session, own, is_at_target, PRESENT)


def _newest(session: Session, *where: ColumnElement[bool]) -> FoundImage | None:
    """The newest match, preferring pictures that are not tombstones; none that a gate holds."""
    removed = (~PRESENT).label("removed")
    full_name = collections.c.namespace.concat("/").concat(collections.c.name).label("collection")
    path = func.shown_path(images.c.path)
    uploaded_as = case((images.c.path.startswith(STORE_SCHEME), images.c.origin))
    known_as = func.coalesce(uploaded_as, path).label("name")
    found = (images.c.id, path.label("path"), known_as, images.c.collection_id, full_name, removed)
    query = select(*found)
    query = query.join(collections, collections.c.id == images.c.collection_id)
    query = query.where(*where, ~HELD)
    rows = session.execute(query.order_by(removed, images.c.id.desc()).limit(1)).mappings()
    return next((FoundImage(**row) for row in rows), None)


@dataclass(frozen=True)
class Refusal:
    """Why a job rejected a file."""

    job_id: int
    reason: str


def find_refusal(session: Session, collection_id: int, path: str) -> Refusal | None:
    """The refusal by the newest job that read this path; None if that job accepted it."""
    read = (
        select(job_items.c.id, job_items.c.job_id, job_items.c.reason)
        .join(jobs, jobs.c.id == job_items.c.job_id)
        .where(jobs.c.collection_id == collection_id, ~jobs.c.dry_run)
        .where(job_items.c.path.in_(letter_forms(path)), ~job_items.c.removal)
    )
    # + 0 keeps the planner from walking the primary key backwards through all items.
    newest = read.order_by((job_items.c.id + 0).desc()).limit(1)
    row = session.execute(newest.where(job_items.c.state == "failed")).first()
    if row is None:
        return None
    later = read.where(job_items.c.id > row.id, job_items.c.state.in_(("succeeded", "skipped")))
    accepted = session.execute(later.limit(1)).first() is not None
    return None if accepted else Refusal(row.job_id, row.reason or "")
