"""A collection is looked up with its index in one round trip, as two queries would find them."""

import pytest
from sqlalchemy import text

from app.catalog import collections
from app.database.connections import Sessions
from app.errors import CollectionNotFound, IndexGone
from app.index import vector_indexes
from app.runtime.known_collections import KnownCollection, find_collection
from app.runtime.services import Services


@pytest.fixture
def sessions(services: Services) -> Sessions:
    return services.sessions


def test_both_are_as_their_tables_have_them(sessions: Sessions) -> None:
    with sessions.begin() as session:
        collection = collections.default(session)
        index = vector_indexes.active_index(session, collection.id)
    assert find_collection(sessions, "default", "default") == KnownCollection(collection, index)


def test_what_is_missing_is_said(sessions: Sessions) -> None:
    with pytest.raises(CollectionNotFound, match="no collection away in the namespace default: cr"):
        find_collection(sessions, "default", "away")
    with pytest.raises(CollectionNotFound, match=r"default: did you mean default\?$"):
        find_collection(sessions, "default", "defualt")
    with sessions.begin() as session:
        session.execute(text("UPDATE vector_indexes SET state = 'retired'"))
    with pytest.raises(IndexGone, match="no index now"):
        find_collection(sessions, "default", "default")
