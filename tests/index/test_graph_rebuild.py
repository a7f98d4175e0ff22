"""Graphs built in shuffled order, while others search and write (issue 21, lines 1, 2 and 4)."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog import collections
from app.database import connections, locks, migrating
from app.database.query_plans import explain
from app.database.tables import VectorIndex
from app.errors import IndexGone
from app.index import embeddings, generations, graph_rebuild, vector_indexes
from app.index.hnsw_search import find_nearest, nearest_query
from app.vectors import Vectors, VectorSpace
from tests.fixtures.generated_vectors import burst_vectors, copy_vectors, insert_images, unlike

pytestmark = pytest.mark.usefixtures("search_by_graph")

DIMENSIONS = 128
BEFORE = 100  # unlike pictures that were stored before the burst
BURST = 2_000  # pictures of one scene
SPARE = 10  # pictures that have no vector at first
COUNT = BEFORE + BURST


@pytest.fixture(scope="module")
def sessions(database_url: str) -> Iterator[connections.Sessions]:
    engine = connections.open_engine(database_url)
    migrating.migrate(engine)
    sessions = connections.open_sessions(engine)
    with sessions.begin() as session:
        collection_id = collections.default(session).id
        insert_images(session, collection_id, ["{}"] * (COUNT + SPARE))
    yield sessions
    engine.dispose()


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return burst_vectors(BEFORE, BURST, DIMENSIONS)


@pytest.fixture
def index(sessions: connections.Sessions, vectors: Vectors) -> VectorIndex:
    """A new index whose vectors were written as they came: first the unlike, then the burst."""
    with sessions.begin() as session:
        collection_id = collections.default(session).id
        generations.drop_all(session, collection_id)
        space = VectorSpace("generated", "burst", "0" * 64, DIMENSIONS)
        made = vector_indexes.create_index(session, collection_id, space)
        copy_vectors(session, made, vectors)
    return made


def lost(session: Session, index: VectorIndex, vectors: Vectors) -> int:
    """How many of those that were stored before the burst their own vector does not find."""
    found = [[hit.image.id for hit in find_nearest(session, index, one, 10)] for one in vectors]
    return sum(place not in ids for place, ids in enumerate(found, 1))


def test_in_shuffled_order_a_burst_hides_nothing(
    sessions: connections.Sessions, index: VectorIndex, vectors: Vectors
) -> None:
    with sessions.begin() as session:
        vector_indexes.build_hnsw(session, index)
        assert lost(session, index, vectors[:BEFORE]) > 5  # in the order in which they came
    assert graph_rebuild.rebuild(sessions, index)
    with sessions.begin() as session:
        assert lost(session, index, vectors[:BEFORE]) == 0
        plan = "\n".join(session.execute(explain(nearest_query(index, vectors[0], 10))).scalars())
        assert f"Index Scan using {vector_indexes.hnsw_name(index)}" in plan
        assert vector_indexes.count_vectors(session, index) == COUNT


def test_what_is_left_is_what_a_new_index_has(
    sessions: connections.Sessions, index: VectorIndex
) -> None:
    """Names, indexes and constraints, so that it can be rebuilt again, and nothing beside it."""
    with sessions.begin() as session:
        vector_indexes.build_hnsw(session, index)
        before = shape(session, index)
    for _ in range(2):
        assert graph_rebuild.rebuild(sessions, index)
        with sessions.begin() as session:
            assert shape(session, index) == before
    with sessions.begin() as session:  # pictures that are deleted take their vectors along
        session.execute(text("DELETE FROM images WHERE id = 1"))
        assert vector_indexes.count_vectors(session, index) == COUNT - 1
        session.rollback()


def shape(session: Session, index: VectorIndex) -> list[str]:
    """All that belongs to the partition, by name and definition."""
    query = text(
        "SELECT relname FROM pg_class WHERE starts_with(relname, :name) "
        "UNION ALL SELECT indexdef FROM pg_indexes WHERE tablename = :name "
        "UNION ALL SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = to_regclass(:name)"
    )
    return sorted(session.execute(query, {"name": index.partition}).scalars())


def test_what_is_written_meanwhile_is_there_afterwards(
    sessions: connections.Sessions,
    index: VectorIndex,
    vectors: Vectors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = unlike(SPARE, DIMENSIONS, np.random.default_rng(2))
    build = vector_indexes.create_hnsw

    def build_and_write(session: Session, index: VectorIndex, table: str) -> None:
        build(session, index, table)
        with sessions.begin() as other:  # neither waits for the build nor is lost
            other.execute(text("SET LOCAL lock_timeout = '2s'"))
            embeddings.put_vectors(other, index, [*range(COUNT + 1, COUNT + SPARE + 1)], new)
            embeddings.put_vectors(other, index, [5], new[:1])  # another vector
            other.execute(text(f"DELETE FROM {index.partition} WHERE image_id = 7"))
            assert len(find_nearest(other, index, vectors[0], 3)) == 3

    monkeypatch.setattr(vector_indexes, "create_hnsw", build_and_write)
    assert graph_rebuild.rebuild(sessions, index)
    with sessions.begin() as session:
        assert vector_indexes.count_vectors(session, index) == COUNT + SPARE - 1
        found = embeddings.get_vectors(session, index, [5, 7, COUNT + 1])
        assert set(found) == {5, COUNT + 1}
        assert found[5] == pytest.approx(new[0], abs=1e-3)


def test_two_do_not_rebuild_at_once(sessions: connections.Sessions, index: VectorIndex) -> None:
    with locks.alone(sessions, graph_rebuild._copy_name(index)) as is_alone:
        assert is_alone
        assert not graph_rebuild.rebuild(sessions, index)


def test_a_killed_rebuild_is_no_obstacle(
    sessions: connections.Sessions, index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(graph_rebuild, "_exchange", killed)
        with pytest.raises(KeyboardInterrupt):
            graph_rebuild.rebuild(sessions, index)
    assert graph_rebuild.rebuild(sessions, index)


def test_a_deleted_index_is_named(sessions: connections.Sessions, index: VectorIndex) -> None:
    with sessions.begin() as session:
        vector_indexes.drop_index(session, index)
    with pytest.raises(IndexGone):
        graph_rebuild.rebuild(sessions, index)


def test_searches_go_on_while_it_is_exchanged(
    sessions: connections.Sessions, index: VectorIndex, vectors: Vectors
) -> None:
    with sessions.begin() as session:
        vector_indexes.build_hnsw(session, index)
    stop, failed, answered = threading.Event(), list[Exception](), list[int]()

    def search() -> None:
        try:
            while not stop.is_set():
                with sessions.begin() as session:
                    answered.append(len(find_nearest(session, index, vectors[0], 10)))
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
            failed.append(error)

    searching = threading.Thread(target=search)
    searching.start()
    try:
        assert graph_rebuild.rebuild(sessions, index)
    finally:
        stop.set()
        searching.join()
    assert not failed
    assert set(answered) == {10}
