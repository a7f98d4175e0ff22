"""SQL on collections.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, cast, delete, select, text, update
from sqlalchemy.dialects.postgresql import REGCONFIG
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.errors import CollectionExists, CollectionNotFound, CollectionRejected
from app.tables import COLLECTION_COLUMNS, Collection, collections, images

DEFAULT = DEFAULT_NAMESPACE, DEFAULT_NAME = "default", "default"
DEFAULT_LANGUAGE = "english"


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
    row = session.execute(select(*COLLECTION_COLUMNS).where(*where)).mappings().one_or_none()
    return Collection(**row) if row else None


def listed(session: Session, namespace: str, after: str, limit: int) -> list[Collection]:
    """The namespace's collections by name, from the one after the name `after` on."""
    query = select(*COLLECTION_COLUMNS).where(collections.c.namespace == namespace)
    query = query.where(collections.c.name > after).order_by(collections.c.name).limit(limit)
    return [Collection(**row) for row in session.execute(query).mappings()]


def every(session: Session) -> list[Collection]:
    """All collections of all namespaces, the oldest first."""
    query = select(*COLLECTION_COLUMNS).order_by(collections.c.id)
    return [Collection(**row) for row in session.execute(query).mappings()]


def create(session: Session, new: NewCollection) -> Collection:
    """Write its row. Raises CollectionExists, CollectionRejected."""
    _check_language(session, new.language)
    values = {**vars(new), "fields": dict(new.fields)}
    query = upsert(collections).values(values).on_conflict_do_nothing()
    row = session.execute(query.returning(*COLLECTION_COLUMNS)).mappings().one_or_none()
    if row is None:
        raise CollectionExists(f"The collection {new.name} is there already.")
    return Collection(**row)


def change(
    session: Session,
    collection: Collection,
    language: str,
    fields: Mapping[str, str],
) -> Collection:
    """Give it another language, in which its words are read anew, or other declared fields.

    Raises CollectionRejected.
    """
    if language != collection.language:
        _check_language(session, language)
        read_anew = update(images).where(images.c.collection_id == collection.id)
        session.execute(read_anew.values(language=cast(language, REGCONFIG)))
    query = update(collections).where(collections.c.id == collection.id)
    query = query.values(language=language, fields=dict(fields))
    row = session.execute(query.returning(*COLLECTION_COLUMNS)).mappings().one()
    return Collection(**row)


def remove(session: Session, collection: Collection) -> None:
    """Delete its row, and with it its pictures' and its jobs'."""
    session.execute(delete(collections).where(collections.c.id == collection.id))


def _check_language(session: Session, language: str) -> None:
    known = set(session.execute(text("SELECT cfgname FROM pg_ts_config")).scalars())
    if language not in known:
        raise CollectionRejected(
            f"language: Postgres has no text search configuration {language!r}; it has "
            f"{', '.join(sorted(known))}."
        )
