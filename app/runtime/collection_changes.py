"""Changes of a collection's declared fields, language, pages and name.

The functions that take a Session leave the transaction to their caller.
"""

import logging
from collections.abc import Mapping
from functools import partial

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.collection_deletion import drop_field_indexes
from app.catalog.filters import field_names, fields
from app.database.connections import Sessions
from app.database.locks import retry_on_lock
from app.database.tables import Collection, Pages
from app.index import embeddings, generations, vector_indexes

log = logging.getLogger(__name__)


def change_fields(session: Session, collection_id: int, changes: Mapping[str, str | None]) -> None:
    """Declare fields, or with None no longer; builds new indexes, which does not block searches.

    Raises CollectionRejected unless a collection can declare all that it has then.
    """
    before = collections.lock(session, collection_id)
    merged = {**before.fields, **changes}
    declared = {name: kind for name, kind in merged.items() if kind is not None}
    field_names.check_declared(declared)
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
            for generation in generations.of_collection(session, collection_id):
                embeddings.drop_pages(session, generation.index)


def change(
    sessions: Sessions,
    collection_id: int,
    language: str | None,
    field_changes: Mapping[str, str | None] | None,
    pages: Pages | None,
) -> None:
    """Change its declared fields and their indexes, language, pages; None leaves them.

    Of the fields, those that are named change, to None to be removed. Raises CollectionRejected,
    and then nothing has changed. With any other error (CollectionNotFound, IndexGone, an
    OperationalError after waiting for a lock), the first of the three may have changed: the same
    call may be repeated.
    """
    if language is not None:
        with sessions.begin() as session:
            collections.check_language(session, language)
    # First what may be refused. The others wait for those who add pictures, and would have these
    # wait for the indexes meanwhile, if it were one transaction.
    if field_changes is not None:
        retry_on_lock(
            sessions, partial(change_fields, collection_id=collection_id, changes=field_changes)
        )
        _drop_undeclared(sessions, collection_id)
    if language is not None:
        retry_on_lock(
            sessions, partial(set_language, collection_id=collection_id, language=language)
        )
    if pages is not None:
        retry_on_lock(sessions, partial(set_pages, collection_id=collection_id, pages=pages))


def rename(sessions: Sessions, collection_id: int, name: str, *, dry_run: bool = False) -> None:
    """Change the name; a dry run only looks whether it may be changed.

    With other changes, the dry run comes before them and this last: whoever repeats a request,
    since one of them failed, still finds the collection. Raises CollectionRejected,
    CollectionNotFound, CollectionExists.
    """
    write = collections.check_rename if dry_run else collections.rename
    retry_on_lock(
        sessions, lambda session: write(session, collections.lock(session, collection_id), name)
    )


def _drop_undeclared(sessions: Sessions, collection_id: int) -> None:
    """Drop the indexes of fields no longer declared; if that fails, the next change retries."""
    try:
        retry_on_lock(sessions, partial(drop_undeclared, collection_id=collection_id))
    except OperationalError as error:
        log.warning("old indexes of collection %s stay: %s", collection_id, error.orig)
