"""What is read of judgements: by the nearness of their queries, of one index alone."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.collections import NewCollection
from app.catalog.images import image_deletion
from app.database import connections
from app.database.query_plans import explain
from app.database.tables import VectorIndex
from app.feedback import rated_queries, ratings
from app.feedback.ratings import FOLDS, JudgedSearch, Judgement, fold
from app.index import vector_indexes
from app.index.embeddings import put_vectors
from app.index.scan_settings import prepare
from app.vectors import Vectors, VectorSpace, unit_rows
from tests.fixtures.generated_vectors import insert_images

SIMILARITY = 0.85
PICTURES = 12
MANY = 3_000  # queries: more than are compared exactly
DIMENSIONS = 16
SPACE = VectorSpace("tiny", "made-up", "f" * 64, DIMENSIONS)


def vectors(count: int, seed: int) -> Vectors:
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSIONS))
    return unit_rows(rows.astype(np.float32))


def at(similarity: float) -> Vectors:
    """A vector of that cosine to QUERY."""
    other = vectors(1, 5)[0]
    aside = other - (other @ QUERY) * QUERY
    aside /= np.linalg.norm(aside)
    made: Vectors = similarity * QUERY + float(np.sqrt(1 - similarity**2)) * aside
    return made


QUERY = vectors(1, 1)[0]


@pytest.fixture
def session(sessions: connections.Sessions) -> Iterator[Session]:
    """In a transaction that is undone."""
    with sessions() as session:
        yield session
        session.rollback()


@pytest.fixture
def index(session: Session) -> VectorIndex:
    return make_index(session, collections.default(session).id)


def make_index(session: Session, collection_id: int) -> VectorIndex:
    """Of PICTURES pictures."""
    index = vector_indexes.open_index(session, collection_id, SPACE)
    insert_images(session, collection_id, ["{}"] * PICTURES)
    put_vectors(session, index, pictures(session, index), vectors(PICTURES, 3))
    return index


def pictures(session: Session, index: VectorIndex) -> list[int]:
    query = text("SELECT id FROM images WHERE collection_id = :id ORDER BY id")
    return list(session.execute(query, {"id": index.collection_id}).scalars())


def judge(
    session: Session, index: VectorIndex, query: str, vector: Vectors, **rated: Any
) -> list[int]:
    """Write ratings by the places of pictures, `p0=[9, 7]`; their ids."""
    ids = pictures(session, index)
    chosen = []
    for place, votes in rated.items():
        image_id = ids[int(place[1:])]
        chosen.append(image_id)
        for rating in votes:
            asked = JudgedSearch(query.encode(), query, vector)
            ratings.store_judgement(
                session, index, asked, Judgement(uuid4(), image_id, rating, None)
            )
    return chosen


def found(session: Session, index: VectorIndex, **how: int) -> dict[tuple[str, int], Any]:
    near = rated_queries.judgements_near(session, index, QUERY, SIMILARITY, **how)
    return {(one.query, one.image_id): one for one in near}


def test_pictures_of_near_queries_with_their_means(session: Session, index: VectorIndex) -> None:
    first, second = judge(session, index, "a tree", QUERY, p0=[9, 7, 8], p1=[2])
    (third,) = judge(session, index, "trees", at(0.9), p0=[4])
    judge(session, index, "a car", at(0.8), p2=[10])
    near = found(session, index)
    assert set(near) == {("a tree", first), ("a tree", second), ("trees", third)}
    best = near["a tree", first]
    assert (best.rating, best.votes) == (8, 3)
    assert best.similarity == pytest.approx(1, abs=1e-3)
    assert best.age_days == pytest.approx(0, abs=1e-3)
    assert best.vector == pytest.approx(vectors(PICTURES, 3)[0], abs=1e-3)
    assert near["trees", third].similarity == pytest.approx(0.9, abs=2e-3)


def test_judgements_of_a_whole_answer_move_nothing(session: Session, index: VectorIndex) -> None:
    asked = JudgedSearch(b"a tree", "a tree", QUERY)
    ratings.store_judgement(session, index, asked, Judgement(uuid4(), None, 9, "fine"))
    assert found(session, index) == {}
    assert rated_queries.count_feedback(session, index) == rated_queries.FeedbackCounts(0, 0)
    assert rated_queries.sample_judged_queries(session, index, 10) == []


def test_the_age_is_the_mean_of_the_votes(session: Session, index: VectorIndex) -> None:
    (image_id,) = judge(session, index, "a tree", QUERY, p0=[9, 9])
    aged = "UPDATE feedback SET updated_at = now() - interval '10 days' WHERE id = "
    session.execute(text(aged + "(SELECT min(id) FROM feedback)"))
    assert found(session, index)["a tree", image_id].age_days == pytest.approx(5)


@pytest.mark.parametrize("left_out", range(FOLDS))
def test_a_fold_is_left_out(session: Session, index: VectorIndex, left_out: int) -> None:
    judge(session, index, "a tree", QUERY, **{f"p{n}": [9] for n in range(PICTURES)})
    query_id = rated_queries.sample_judged_queries(session, index, 1)[0]
    ids = pictures(session, index)
    kept = {image_id for _, image_id in found(session, index, without_fold=left_out)}
    assert kept == {one for one in ids if fold(query_id, one) != left_out}
    assert {image_id for _, image_id in found(session, index)} == set(ids)


def test_judgements_of_another_index_are_never_seen(session: Session, index: VectorIndex) -> None:
    made = collections.create(session, NewCollection("default", "another"))
    other = make_index(session, made.id)
    judge(session, other, "a tree", QUERY, p0=[9])
    assert found(session, index) == {}
    assert rated_queries.sample_judged_queries(session, index, 10) == []
    assert rated_queries.count_feedback(session, index) == rated_queries.FeedbackCounts(0, 0)
    (theirs,) = rated_queries.sample_judged_queries(session, other, 10)
    assert rated_queries.get_judged_query(session, index, theirs) is None
    # Nor a picture of another collection, whoever has written its id.
    stolen = judge(session, index, "a tree", QUERY, p0=[9])
    session.execute(text("UPDATE feedback SET image_id = :id"), {"id": pictures(session, other)[0]})
    assert stolen
    assert found(session, index) == {}


def test_deleted_pictures_drop_out(session: Session, index: VectorIndex) -> None:
    first, second = judge(session, index, "a tree", QUERY, p0=[9], p1=[8])
    query_id = rated_queries.sample_judged_queries(session, index, 1)[0]
    image_deletion.remove(session, [first])
    assert [image_id for _, image_id in found(session, index)] == [second]
    query = rated_queries.get_judged_query(session, index, query_id)
    assert query is not None
    assert [one.image_id for one in query.rated] == [second]


def test_a_judged_query_with_its_means(session: Session, index: VectorIndex) -> None:
    first, second = judge(session, index, "a tree", QUERY, p0=[9, 7], p1=[1])
    query_id = rated_queries.sample_judged_queries(session, index, 1)[0]
    query = rated_queries.get_judged_query(session, index, query_id)
    assert query is not None
    assert query.embedding == pytest.approx(QUERY, abs=1e-3)
    assert {one.image_id: one.rating for one in query.rated} == {first: 8, second: 1}
    assert all(one.fold == fold(query_id, one.image_id) for one in query.rated)
    assert rated_queries.count_feedback(session, index) == rated_queries.FeedbackCounts(1, 3)
    assert rated_queries.get_judged_query(session, index, query_id + 1) is None


def insert_many(session: Session, index: VectorIndex) -> Vectors:
    """MANY judged queries without judgements; their vectors."""
    made = vectors(MANY, 7)
    session.execute(
        text(
            "INSERT INTO feedback_queries (index_id, digest, query, dimensions, embedding) "
            "VALUES (:index, :digest, :digest2, :dimensions, CAST(:vector AS halfvec))"
        ),
        [
            {
                "index": index.id,
                "digest": f"q{n}".encode(),
                "digest2": f"q{n}",
                "dimensions": DIMENSIONS,
                "vector": str(one.tolist()),
            }
            for n, one in enumerate(made)
        ],
    )
    session.execute(text("ANALYZE feedback_queries"))
    return made


def test_many_queries_are_searched_by_their_graph(session: Session, index: VectorIndex) -> None:
    made = insert_many(session, index)
    prepare(session, rated_queries.EF_SEARCH)
    lines = session.execute(explain(rated_queries.nearby_queries_statement(index, QUERY))).scalars()
    plan = "\n".join(lines)
    assert f"Index Scan using feedback_queries_{DIMENSIONS}_hnsw_idx" in plan
    assert "Sort" not in plan
    for place in range(0, MANY, 300):
        near = rated_queries.nearby_queries(session, index, made[place], 0.6)
        close = np.flatnonzero(made @ made[place] >= 0.6)
        assert near[0].query == f"q{place}"
        exact = sorted(close, key=lambda n: -float(made[n] @ made[place]))[
            : rated_queries.MAX_NEARBY_QUERIES
        ]
        names = {f"q{n}" for n in exact}
        assert len(names & {one.query for one in near}) >= 0.9 * len(names)


def test_few_queries_are_compared_exactly(session: Session, index: VectorIndex) -> None:
    judge(session, index, "a tree", QUERY, p0=[9])
    prepare(session)
    lines = session.execute(
        explain(rated_queries.nearby_queries_statement(index, QUERY, exact=True))
    ).scalars()
    assert "hnsw" not in "\n".join(lines)


def test_no_more_than_the_bounds(
    session: Session, index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rated_queries, "MAX_NEARBY_QUERIES", 2)
    monkeypatch.setattr(rated_queries, "MAX_NEARBY_PICTURES", 3)
    for similarity in (0.9, 1.0, 0.95):
        judge(session, index, f"at {similarity}", at(similarity), p0=[9], p1=[9, 9])
    near = rated_queries.judgements_near(session, index, QUERY, SIMILARITY)
    assert [(one.query, one.votes) for one in near] == [
        ("at 1.0", 2),
        ("at 1.0", 1),
        ("at 0.95", 2),
    ]


def test_a_verdict_is_kept(session: Session, index: VectorIndex) -> None:
    assert rated_queries.get_evaluation(session, index) is None
    rated_queries.save_evaluation(session, index, {"state": "on"})
    rated_queries.save_evaluation(session, index, {"state": "off", "queries": 3})
    assert rated_queries.get_evaluation(session, index) == {"state": "off", "queries": 3}
