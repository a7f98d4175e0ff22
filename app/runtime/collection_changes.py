"""Changes of a collection's declared fields, language and pages, in the caller's transaction."""

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.collection_deletion import drop_field_indexes
from app.catalog.filters import fields
from app.database.tables import Collection, Pages
from app.index import embeddings, vector_indexes


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


def set_pages(session: Session, collection_id: int, pages: Pages) -> None:
    """Set which pages are indexed, after waiting for transactions that are adding pictures.

    Where it is the first alone, the vectors of the others go.
    """
    before = collections.lock(session, collection_id)
    if before.pages != pages:
        index = vector_indexes.active_index(session, collection_id)
        vector_indexes.claim(session, index)
        collections.set_pages(session, before, pages)
        if pages == "first":
            embeddings.drop_pages(session, index)
