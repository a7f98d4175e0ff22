"""SQL on collections.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.database.job_tables import job_items, jobs
from app.database.tables import COLLECTION_COLUMNS, Collection, Pages, collections, images
from app.errors import CollectionExists, CollectionNotFound, CollectionRejected
from app.nearest_name import nearest_name

DEFAULT = DEFAULT_NAMESPACE, DEFAULT_NAME = "default", "default"
DEFAULT_LANGUAGE = "english"
DELETED_NAMESPACE = ""  # of collections that are being deleted; no request can name it
MAX_COMPARED = 1_000  # names, with one that is not there
MAX_TOTAL_FIELDS = 500  # of all collections together: each has an index on `images`
PRESENT = collections.c.namespace != DELETED_NAMESPACE


@dataclass(frozen=True)
class NewCollection:
    """A collection to be created; `fields` declares metadata keys and their types.

    `pages` is as in `Collection`.
    """

    namespace: str
    name: str
    language: str = DEFAULT_LANGUAGE
    fields: Mapping[str, str] = field(default_factory=dict)
    pages: Pages = "first"


def default(session: Session) -> Collection:
    """The collection of the flat endpoints."""
    return get(session, DEFAULT_NAMESPACE, DEFAULT_NAME)


def get(session: Session, namespace: str, name: str) -> Collection:
    """The collection of that name. Raises CollectionNotFound."""
    found = _one(session, collections.c.namespace == namespace, collections.c.name == name)
    if found is None:
        raise no_such_collection(session, namespace, name)
    return found


def no_such_collection(session: Session, namespace: str, name: str) -> CollectionNotFound:
    """The error where there is no collection of that name: it tells the nearest one."""
    query = select(collections.c.name).where(PRESENT, collections.c.namespace == namespace)
    names = session.execute(query.order_by(collections.c.id).limit(MAX_COMPARED)).scalars()
    near = nearest_name(name, names)
    advice = (
        f"did you mean {near}?"
        if near
        else "create it first, by POST /api/v1/collections, or name one that is there."
    )
    return CollectionNotFound(
        f"There is no collection {name} in the namespace {namespace}: {advice}"
    )


def get_by_id(session: Session, collection_id: int) -> Collection:
    """The collection with that id. Raises CollectionNotFound."""
    found = _one(session, collections.c.id == collection_id)
    if found is None:
        raise CollectionNotFound("This collection was deleted.")
    return found


def _one(session: Session, *where: ColumnElement[bool]) -> Collection | None:
    query = select(*COLLECTION_COLUMNS).where(PRESENT, *where)
    row = session.execute(query).mappings().one_or_none()
    return Collection(**row) if row else None


def list_collections(session: Session, namespace: str, after: str, limit: int) -> list[Collection]:
    """The namespace's collections by name, starting after the name `after`."""
    query = select(*COLLECTION_COLUMNS).where(collections.c.namespace == namespace)
    query = query.where(PRESENT, collections.c.name > after)
    query = query.order_by(collections.c.name).limit(limit)
    return [Collection(**row) for row in session.execute(query).mappings()]


def all_collections(session: Session) -> list[Collection]:
    """All collections of all namespaces, oldest first."""
    query = select(*COLLECTION_COLUMNS).where(PRESENT).order_by(collections.c.id)
    return [Collection(**row) for row in session.execute(query).mappings()]


def create(session: Session, new: NewCollection) -> Collection:
    """Insert its row. Raises CollectionExists, CollectionRejected."""
    check_language(session, new.language)
    values = {**vars(new), "fields": dict(new.fields)}
    query = upsert(collections).values(values).on_conflict_do_nothing()
    row = session.execute(query.returning(*COLLECTION_COLUMNS)).mappings().one_or_none()
    if row is None:
        raise CollectionExists(
            f"The collection {new.name} already exists in the namespace {new.namespace}: "
            "choose another name, or delete that one first."
        )
    return Collection(**row)


def lock(session: Session, collection_id: int) -> Collection:
    """Read and lock it until the transaction ends. Raises CollectionNotFound."""
    query = select(*COLLECTION_COLUMNS).where(PRESENT, collections.c.id == collection_id)
    row = session.execute(_for_update(query)).mappings().one_or_none()
    if row is None:
        raise CollectionNotFound("This collection was deleted.")
    return Collection(**row)


def set_fields(session: Session, collection: Collection, fields: Mapping[str, str]) -> None:
    """Replace its declared fields."""
    query = update(collections).where(collections.c.id == collection.id)
    session.execute(query.values(fields=dict(fields)))


def check_total_fields(session: Session, declared: Mapping[str, str]) -> None:
    """Raise CollectionRejected if all collections together declare too many fields.

    `declared` has just been declared. Concurrent requests may slightly exceed the limit.
    """
    keys = select(func.jsonb_object_keys(collections.c.fields)).subquery()
    declared_in_all = session.execute(select(func.count()).select_from(keys)).scalar_one()
    if declared and declared_in_all > MAX_TOTAL_FIELDS:
        raise CollectionRejected(
            f"fields: with these {len(declared)} all collections together would declare "
            f"{declared_in_all}; {MAX_TOTAL_FIELDS} are allowed, since Postgres considers the "
            "index of each in every search. metadata.<key> filters by a key that is not declared."
        )


def check_rename(session: Session, collection: Collection, name: str) -> None:
    """Raise CollectionRejected for the default one, CollectionExists if another has the name."""
    if (collection.namespace, collection.name) == DEFAULT:
        raise CollectionRejected(
            "The default collection cannot be renamed: the flat endpoints use it."
        )
    same = collections.c.namespace == collection.namespace, collections.c.name == name
    if _one(session, *same, collections.c.id != collection.id) is not None:
        raise _name_taken(name)


def rename(session: Session, collection: Collection, name: str) -> None:
    """Change its name. Raises as `check_rename`."""
    check_rename(session, collection, name)
    query = update(collections).where(collections.c.id == collection.id)
    try:
        with session.begin_nested():
            session.execute(query.values(name=name))
    except IntegrityError as error:  # another has taken it since
        raise _name_taken(name) from error


def _name_taken(name: str) -> CollectionExists:
    return CollectionExists(f"There is a collection {name} already: choose another name.")


def set_language(session: Session, collection: Collection, language: str) -> None:
    """Change its language; the words of its pictures are parsed again."""
    query = update(collections).where(collections.c.id == collection.id)
    session.execute(query.values(language=language))
    reparse = update(images).where(images.c.collection_id == collection.id)
    session.execute(reparse.values(language=language))


def set_pages(session: Session, collection: Collection, pages: Pages) -> None:
    """Replace which pages of its pictures are indexed."""
    query = update(collections).where(collections.c.id == collection.id)
    session.execute(query.values(pages=pages))


def set_sentence_model(session: Session, collection: Collection, name: str | None) -> None:
    """Replace the model that embeds its captions."""
    query = update(collections).where(collections.c.id == collection.id)
    session.execute(query.values(sentence_model=name))


def indexes_all_pages(session: Session, collection_id: int) -> bool:
    """Whether all pages of its pictures are indexed."""
    query = select(collections.c.pages).where(collections.c.id == collection_id)
    return session.execute(query).scalar_one_or_none() == "all"


def mark_deleted(session: Session, collection: Collection) -> None:
    """Hide it and free its name. Raises CollectionNotFound."""
    lock(session, collection.id)
    query = update(collections).where(collections.c.id == collection.id)
    session.execute(query.values(namespace=DELETED_NAMESPACE, name=str(collection.id)))


def marked_deleted(session: Session, collection_id: int | None = None) -> list[Collection]:
    """Collections being deleted, or one of them, locked; those locked by others are skipped."""
    query = select(*COLLECTION_COLUMNS).where(~PRESENT).order_by(collections.c.id)
    if collection_id is not None:
        query = query.where(collections.c.id == collection_id)
    rows = session.execute(_for_update(query, skip_locked=True)).mappings()
    return [Collection(**row) for row in rows]


def _for_update(query: Select[Any], *, skip_locked: bool = False) -> Select[Any]:
    """FOR NO KEY UPDATE: new pictures and jobs, which only reference the row, are not blocked."""
    return query.with_for_update(key_share=True, skip_locked=skip_locked)


def cancel_jobs(session: Session, collection: Collection) -> None:
    """Cancel its jobs, so that nothing more is listed; waits for workers that are writing."""
    query = update(jobs).where(jobs.c.collection_id == collection.id)
    session.execute(query.values(state="cancelled", listed=True, finished_at=func.now()))


def remove_jobs(session: Session, collection: Collection) -> list[str]:
    """Delete its jobs; returns the names of their staged files.

    Items are deleted first, as everywhere, which waits for workers that are writing.
    """
    ours = jobs.c.collection_id == collection.id
    query = delete(job_items).where(job_items.c.job_id.in_(select(jobs.c.id).where(ours)))
    of_items = session.execute(query.returning(job_items.c.staged)).scalars().all()
    of_jobs = delete(jobs).where(ours).returning(jobs.c.source["staged"].astext)
    return [*filter(None, of_items), *filter(None, session.execute(of_jobs).scalars())]


def lock_exclusively(session: Session, collection: Collection) -> None:
    """Wait for transactions that insert its jobs and pictures, and block new ones."""
    query = select(collections.c.id).where(collections.c.id == collection.id)
    session.execute(query.with_for_update())


def remove(session: Session, collection: Collection) -> None:
    """Delete its row, and by cascade its pictures."""
    session.execute(delete(collections).where(collections.c.id == collection.id))


def check_language(session: Session, language: str) -> None:
    """Raise CollectionRejected unless Postgres has a text search configuration of that name."""
    known = set(session.execute(text("SELECT cfgname FROM pg_ts_config")).scalars())
    if language not in known:
        raise CollectionRejected(
            f"language: Postgres has no text search configuration {language!r}; it has "
            f"{', '.join(sorted(known))}."
        )
