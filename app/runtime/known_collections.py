"""Looks up a collection with its active index, as each search does first: in one round trip."""

from dataclasses import dataclass

from sqlalchemy import bindparam, select

from app.catalog.collections import PRESENT, no_such_collection
from app.database.connections import Sessions
from app.database.pipelines import Statement, fetch_together
from app.database.read_routing import engine_of
from app.database.tables import (
    COLLECTION_COLUMNS,
    INDEX_COLUMNS,
    Collection,
    VectorIndex,
    collections,
    vector_indexes,
)
from app.index.vector_indexes import no_index

_OF_THAT_NAME = (
    PRESENT,
    collections.c.namespace == bindparam("namespace"),
    collections.c.name == bindparam("name"),
)
COLLECTION = select(*COLLECTION_COLUMNS).where(*_OF_THAT_NAME)
ACTIVE_INDEX = (
    select(*INDEX_COLUMNS)
    .join(collections, collections.c.id == vector_indexes.c.collection_id)
    .where(*_OF_THAT_NAME, vector_indexes.c.state == "active")
)


@dataclass(frozen=True)
class KnownCollection:
    """A collection and its active index, as read from the database."""

    collection: Collection
    index: VectorIndex


def find_collection(sessions: Sessions, namespace: str, name: str) -> KnownCollection:
    """A collection by its name. Raises CollectionNotFound, IndexGone."""
    values = {"namespace": namespace, "name": name}
    found, indexes = fetch_together(
        engine_of(sessions), [Statement(COLLECTION, values), Statement(ACTIVE_INDEX, values)]
    )
    if not found:
        with sessions.begin() as session:
            raise no_such_collection(session, namespace, name)
    if not indexes:
        raise no_index()
    return KnownCollection(Collection(**found[0]), VectorIndex(**indexes[0]))
