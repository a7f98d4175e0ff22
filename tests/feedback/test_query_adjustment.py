"""Judgements move queries only where a trial said so, and only near ones."""

from collections.abc import Iterator
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import text

from app.catalog import collections
from app.database import connections
from app.database.tables import VectorIndex
from app.feedback import query_adjustment, rated_queries, ratings
from app.feedback.query_adjustment import QueryAdjustment, parse_state
from app.feedback.ratings import JudgedSearch, Judgement
from app.feedback.rocchio import RocchioWeights
from app.index import embeddings, generations, vector_indexes
from app.vectors import Vectors, VectorSpace, unit_rows
from tests.fixtures.folder_jobs import statements
from tests.fixtures.generated_vectors import insert_images

WEIGHTS = RocchioWeights(liked=0.5, disliked=0.25, cap=0.5, similarity=0.85, half_life_days=180)
DIMENSIONS = 8
PICTURES = 6


def vectors(count: int, seed: int) -> Vectors:
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSIONS))
    return unit_rows(rows.astype(np.float32))


QUERY, OTHER = vectors(2, 1)


@pytest.fixture
def index(sessions: connections.Sessions, monkeypatch: pytest.MonkeyPatch) -> Iterator[VectorIndex]:
    """Of PICTURES pictures, the first of which is liked under QUERY; states are read each time."""
    monkeypatch.setattr(query_adjustment, "STATE_CACHE_SECONDS", -1.0)
    space = VectorSpace("tiny", "made-up", "f" * 64, DIMENSIONS)
    with sessions.begin() as session:
        index = vector_indexes.open_index(session, collections.default(session).id, space)
        insert_images(session, index.collection_id, ["{}"] * PICTURES)
        ids = list(session.execute(text("SELECT id FROM images ORDER BY id")).scalars())
        embeddings.put_vectors(session, index, ids, vectors(PICTURES, 2))
        asked = JudgedSearch(b"a tree", "a tree", QUERY)
        for rating in (9, 10, 10):
            ratings.store_judgement(session, index, asked, Judgement(uuid4(), ids[0], rating, None))
    yield index
    with sessions.begin() as session:
        session.execute(text("DELETE FROM images"))
        generations.drop_all(session, index.collection_id)


def switch(sessions: connections.Sessions, index: VectorIndex, state: str) -> None:
    with sessions.begin() as session:
        rated_queries.save_evaluation(session, index, {"state": state})


def test_the_state_is_that_of_the_kept_verdict(
    sessions: connections.Sessions, index: VectorIndex
) -> None:
    learnt = QueryAdjustment(sessions, index, WEIGHTS)
    assert learnt.state() == "not_enough_data"
    for state in ("on", "off", "not_enough_data", "on"):
        switch(sessions, index, state)
        assert learnt.state() == state
    assert parse_state("of a later version") == "not_enough_data"
    assert parse_state(None) == "not_enough_data"


def test_the_state_is_believed_for_a_while(
    sessions: connections.Sessions, index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_adjustment, "STATE_CACHE_SECONDS", 60.0)
    learnt = QueryAdjustment(sessions, index, WEIGHTS)
    assert learnt.state() == "not_enough_data"
    switch(sessions, index, "on")
    with statements(sessions) as asked:
        assert learnt.state() == "not_enough_data"
    assert asked == []
    assert QueryAdjustment(sessions, index, WEIGHTS).state() == "on"


@pytest.mark.parametrize("state", ["off", "not_enough_data"])
def test_without_proof_nothing_moves_and_nothing_is_read(
    sessions: connections.Sessions, index: VectorIndex, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_adjustment, "STATE_CACHE_SECONDS", 60.0)
    switch(sessions, index, state)
    learnt = QueryAdjustment(sessions, index, WEIGHTS)
    learnt.state()
    with statements(sessions) as asked:
        moved = learnt.adjust(QUERY)
    assert moved.vector is QUERY
    assert list(moved.pulls) == []
    assert asked == []


def test_with_proof_a_near_query_moves_to_what_was_liked(
    sessions: connections.Sessions, index: VectorIndex
) -> None:
    switch(sessions, index, "on")
    learnt = QueryAdjustment(sessions, index, WEIGHTS)
    moved = learnt.adjust(QUERY)
    (pull,) = moved.pulls
    assert (pull.query, round(pull.rating, 2)) == ("a tree", 9.67)
    assert pull.similarity == pytest.approx(1, abs=1e-3)
    assert 0 < pull.weight <= WEIGHTS.liked
    liked = vectors(PICTURES, 2)[0]
    assert moved.vector @ liked > QUERY @ liked
    expected = QUERY + pull.weight * pull.vector
    assert moved.vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)


def test_a_query_that_is_far_from_all_judged_ones_stays_exactly(
    sessions: connections.Sessions, index: VectorIndex
) -> None:
    switch(sessions, index, "on")
    assert float(OTHER @ QUERY) < WEIGHTS.similarity
    moved = QueryAdjustment(sessions, index, WEIGHTS).adjust(OTHER)
    assert moved.vector is OTHER
    assert list(moved.pulls) == []
