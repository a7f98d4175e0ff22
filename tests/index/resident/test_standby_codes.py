"""Codes that a process holds serve searches in the primary and in its standby."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from app.database import connections
from app.database.read_routing import reading_from
from app.database.tables import VectorIndex
from app.index.embeddings import put_vectors
from app.vectors import Vectors
from tests.conftest import administrator
from tests.fixtures.generated_vectors import clip_like
from tests.fixtures.hot_standby import Pair, primary_and_standby
from tests.fixtures.resident_processes import (
    COUNT,
    DIMENSIONS,
    VECTORS,
    Process,
    exact,
    holding,
)

STEPS = 8


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with primary_and_standby() as servers:
        yield servers


@pytest.fixture(scope="module")
def database_url(pair: Pair) -> str:
    return pair.url


@pytest.fixture
def standby(pair: Pair, index: VectorIndex) -> Iterator[Engine]:
    caught_up(pair)
    engine = connections.open_engine(pair.standby_url)
    yield engine
    engine.dispose()


@pytest.fixture
def routed(pair: Pair, index: VectorIndex) -> Iterator[Process]:
    """A process whose searches may be sent to the standby."""
    engine = connections.open_engine(pair.url)
    sessions = connections.open_sessions(engine, routed=True)
    with ThreadPoolExecutor(1) as threads:
        yield Process(sessions, holding(sessions, threads), threads)
    engine.dispose()


def caught_up(pair: Pair) -> None:
    with administrator(pair.url) as primary, administrator(pair.standby_url) as standby:
        written = primary.execute(text("SELECT pg_current_wal_flush_lsn()")).scalar_one()
        has_replayed = text("SELECT pg_last_wal_replay_lsn() >= CAST(:written AS pg_lsn)")
        while not standby.execute(has_replayed, {"written": written}).scalar_one():
            pass


@pytest.mark.parametrize("is_loaded_from_standby", [False, True])
def test_what_is_committed_out_of_order_is_seen_in_both(
    pair: Pair,
    index: VectorIndex,
    routed: Process,
    standby: Engine,
    is_loaded_from_standby: bool,
) -> None:
    """A standby's snapshot names no open transactions: their vectors are looked for again."""
    with reading_from(standby if is_loaded_from_standby else None):
        resident = routed.loaded(index)
    assert resident is not None
    for step in range(STEPS):
        late, early = clip_like(2, DIMENSIONS, 500 + step)
        new = COUNT + 2 * step + 1
        with routed.sessions.begin() as oldest, routed.sessions.begin() as writing:
            oldest.execute(text("SELECT pg_current_xact_id()"))
            put_vectors(writing, index, [new], late[None])
            with routed.sessions.begin() as session:
                put_vectors(session, index, [new + 1], early[None])
            caught_up(pair)
            check_both(routed, index, standby, early, VECTORS[step])
            writing.commit()
            caught_up(pair)
            check_both(routed, index, standby, late, early)
    assert routed.loaded(index) is resident
    assert len(resident) <= COUNT + 2 * STEPS + 1  # hardly any was read twice


def test_a_standby_behind_the_codes_answers_what_it_holds(
    pair: Pair, index: VectorIndex, routed: Process, standby: Engine
) -> None:
    fresh = clip_like(5, DIMENSIONS, 900)
    assert routed.loaded(index) is not None
    with administrator(pair.standby_url) as connection:
        connection.execute(text("SELECT pg_wal_replay_pause()"))
        with reading_from(standby):
            before = routed.nearest(index, fresh[0])
        with routed.sessions.begin() as session:
            put_vectors(session, index, list(range(COUNT + 1, COUNT + 6)), fresh)
        assert routed.nearest(index, fresh[0])[0] == COUNT + 1
        with reading_from(standby):
            assert routed.nearest(index, fresh[0]) == before
        connection.execute(text("SELECT pg_wal_replay_resume()"))
    caught_up(pair)
    check_both(routed, index, standby, *fresh)


def check_both(process: Process, index: VectorIndex, standby: Engine, *queries: Vectors) -> None:
    """Codes answer as SQL does, whichever database is asked first."""
    for vector in queries:
        for database in (standby, None, standby):
            with reading_from(database):
                assert process.nearest(index, vector) == exact(index, process, vector)
