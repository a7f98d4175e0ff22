"""SQL on collections.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.tables import COLLECTION_COLUMNS, Collection, collections, images, job_items, jobs
from app.errors import CollectionExists, CollectionNotFound, CollectionRejected

DEFAULT = DEFAULT_NAMESPACE, DEFAULT_NAME = "default", "default"
DEFAULT_LANGUAGE = "english"
BURIED = ""  # the namespace of those that are being deleted: no request can name it
MAX_FIELDS_IN_ALL = 500  # declared by all collections: each has an index on the table of images
PRESENT = collections.c.namespace != BURIED


@dataclass(frozen=True)
class NewCollection:
    """A collection to be; `fields` declares metadata, by name and type."""

    namespace: str
    name: str
    language: str = DEFAULT_LANGUAGE
    fields: Mapping[str, str] = field(default_factory=dict)


def default(session: Session) -> Collection:
    """The collection that the flat endpoints use."""
    return get(session, DEFAULT_NAMESPACE, DEFAULT_NAME)


def get(session: Session, namespace: str, name: str) -> Collection:
    """One collection. Raises CollectionNotFound."""
    found = _one(session, collections.c.namespace == namespace, collections.c.name == name)
    if found is None:
        raise CollectionNotFound(f"There is no collection {name} in the namespace {namespace}.")
    return found


def get_by_id(session: Session, collection_id: int) -> Collection:
    """One collection. Raises CollectionNotFound."""
    found = _one(session, collections.c.id == collection_id)
    if found is None:
        raise CollectionNotFound("This collection was deleted.")
    return found


def _one(session: Session, *where: ColumnElement[bool]) -> Collection | None:
    query = select(*COLLECTION_COLUMNS).where(PRESENT, *where)
    row = session.execute(query).mappings().one_or_none()
    return Collection(**row) if row else None


def listed(session: Session, namespace: str, after: str, limit: int) -> list[Collection]:
    """The namespace's collections by name, from the one after the name `after` on."""
    query = select(*COLLECTION_COLUMNS).where(collections.c.namespace == namespace)
    query = query.where(PRESENT, collections.c.name > after)
    query = query.order_by(collections.c.name).limit(limit)
    return [Collection(**row) for row in session.execute(query).mappings()]


def every(session: Session) -> list[Collection]:
    """All collections of all namespaces, the oldest first."""
    query = select(*COLLECTION_COLUMNS).where(PRESENT).order_by(collections.c.id)
    return [Collection(**row) for row in session.execute(query).mappings()]


def create(session: Session, new: NewCollection) -> Collection:
    """Write its row. Raises CollectionExists, CollectionRejected."""
    check_language(session, new.language)
    values = {**vars(new), "fields": dict(new.fields)}
    query = upsert(collections).values(values).on_conflict_do_nothing()
    row = session.execute(query.returning(*COLLECTION_COLUMNS)).mappings().one_or_none()
    if row is None:
        raise CollectionExists(
            f"The collection {new.name} is there already in the namespace {new.namespace}: "
            "choose another name, or delete that one first."
        )
    return Collection(**row)


def lock(session: Session, collection_id: int) -> Collection:
    """As it is now and stays until the transaction ends. Raises CollectionNotFound."""
    query = select(*COLLECTION_COLUMNS).where(PRESENT, collections.c.id == collection_id)
    row = session.execute(_locking(query)).mappings().one_or_none()
    if row is None:
        raise CollectionNotFound("This collection was deleted.")
    return Collection(**row)


def set_fields(session: Session, collection: Collection, fields: Mapping[str, str]) -> None:
    """Note what it declares."""
    query = update(collections).where(collections.c.id == collection.id)
    session.execute(query.values(fields=dict(fields)))


def check_fields_in_all(session: Session, declared: Mapping[str, str]) -> None:
    """Raise CollectionRejected where all collections together declare too many fields.

    `declared` is what a collection has just declared. Requests at once may go a little beyond.
    """
    keys = select(func.jsonb_object_keys(collections.c.fields)).subquery()
    declared_in_all = session.execute(select(func.count()).select_from(keys)).scalar_one()
    if declared and declared_in_all > MAX_FIELDS_IN_ALL:
        raise CollectionRejected(
            f"fields: with these {len(declared)} all collections together would declare "
            f"{declared_in_all}; {MAX_FIELDS_IN_ALL} are allowed, since each has an index that "
            "every search plans with. metadata.<key> filters by a key that is not declared."
        )


def set_language(session: Session, collection: Collection, language: str) -> None:
    """Give it another language, in which its words are read anew."""
    query = update(collections).where(collections.c.id == collection.id)
    session.execute(query.values(language=language))
    read_anew = update(images).where(images.c.collection_id == collection.id)
    session.execute(read_anew.values(language=language))


def mark_deleted(session: Session, collection: Collection) -> None:
    """From now on nobody finds it, and its name is free. Raises CollectionNotFound."""
    lock(session, collection.id)
    query = update(collections).where(collections.c.id == collection.id)
    session.execute(query.values(namespace=BURIED, name=str(collection.id)))


def marked_deleted(session: Session, collection_id: int | None = None) -> list[Collection]:
    """Those that are being deleted, or this one of them, locked; none that others are at."""
    query = select(*COLLECTION_COLUMNS).where(~PRESENT).order_by(collections.c.id)
    if collection_id is not None:
        query = query.where(collections.c.id == collection_id)
    rows = session.execute(_locking(query, skip_locked=True)).mappings()
    return [Collection(**row) for row in rows]


def _locking(query: Select[Any], *, skip_locked: bool = False) -> Select[Any]:
    """Not against new pictures and jobs: they only refer to the row."""
    return query.with_for_update(key_share=True, skip_locked=skip_locked)


def end_jobs(session: Session, collection: Collection) -> None:
    """From now on nothing more is listed for its jobs; whoever is just writing is waited for."""
    query = update(jobs).where(jobs.c.collection_id == collection.id)
    session.execute(query.values(state="cancelled", listed=True, finished_at=func.now()))


def remove_jobs(session: Session, collection: Collection) -> list[str]:
    """Delete its jobs; returns the names of the bytes that waited for a worker.

    Their files first, as everywhere: so workers that are writing are waited for.
    """
    ours = jobs.c.collection_id == collection.id
    query = delete(job_items).where(job_items.c.job_id.in_(select(jobs.c.id).where(ours)))
    of_items = session.execute(query.returning(job_items.c.staged)).scalars().all()
    of_jobs = delete(jobs).where(ours).returning(jobs.c.source["staged"].astext)
    return [*filter(None, of_items), *filter(None, session.execute(of_jobs).scalars())]


def keep_out(session: Session, collection: Collection) -> None:
    """Wait for those who write jobs and pictures of it, and refuse others."""
    query = select(collections.c.id).where(collections.c.id == collection.id)
    session.execute(query.with_for_update())


def remove(session: Session, collection: Collection) -> None:
    """Delete its row, and with it its pictures'."""
    session.execute(delete(collections).where(collections.c.id == collection.id))


def check_language(session: Session, language: str) -> None:
    """Raise CollectionRejected where Postgres cannot read words in it."""
    known = set(session.execute(text("SELECT cfgname FROM pg_ts_config")).scalars())
    if language not in known:
        raise CollectionRejected(
            f"language: Postgres has no text search configuration {language!r}; it has "
            f"{', '.join(sorted(known))}."
        )
