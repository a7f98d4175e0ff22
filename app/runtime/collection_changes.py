"""Changes of a collection's declared fields and language, each within the caller's transaction."""

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.collection_deletion import drop_field_indexes
from app.catalog.filters import fields
from app.database.tables import Collection
from app.index import vector_indexes


def set_fields(session: Session, collection_id: int, declared: Mapping[str, str]) -> None:
    """Set the declared fields and build new indexes, which does not block searches."""
    before = collections.lock(session, collection_id)
    collections.set_fields(session, before, declared)
    if len(declared) > len(before.fields):
        collections.check_total_fields(session, declared)
    new = {name: kind for name, kind in declared.items() if before.fields.get(name) != kind}
    index_fields(session, before, new)


def drop_undeclared(session: Session, collection_id: int) -> None:
    """Drop the indexes of fields that are no longer declared."""
    now = collections.lock(session, collection_id)
    drop_field_indexes(session, collection_id, now.fields)


def index_fields(session: Session, collection: Collection, declared: Mapping[str, str]) -> None:
    """Build the indexes of declared fields."""
    for name, kind in declared.items():
        session.execute(text(fields.index_statement(collection.id, name, kind)))


def set_language(session: Session, collection_id: int, language: str) -> None:
    """Set the language, after waiting for transactions that are adding pictures."""
    before = collections.lock(session, collection_id)
    if before.language != language:
        vector_indexes.claim(session, vector_indexes.active_index(session, collection_id))
        collections.set_language(session, before, language)
