"""Recall as it is measured, and the ef_search that is chosen by it."""

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text

from app.catalog.collections import NewCollection
from app.database.tables import VectorIndex
from app.errors import QueryRejected
from app.index import exact_search, graph_rebuild, recall, vector_indexes
from app.index.exact_search import exact_neighbours, read_vectors
from app.index.hnsw_search import find_nearest
from app.index.measuring_turn import MeasuringTurn
from app.index.recall import EF_SEARCHES, EXACT_QUERIES, Recall
from app.index.recall_queries import Answers
from app.index.recall_results import RecallMeasurement
from app.index.scan_settings import MIN_EF_SEARCH
from app.index.tuning import Tuning
from app.index.vector_indexes import Shape
from app.runtime.reindexing.tuning import tuned_like
from app.runtime.services import Services
from app.vectors import Vectors, unit_halves, unit_rows
from tests.fixtures.generated_vectors import (
    burst_vectors,
    clip_like,
    copy_vectors,
    insert_images,
)

pytestmark = pytest.mark.usefixtures("search_by_graph")

COUNT = 10_000
DIMENSIONS = 128  # the demo model's
SAMPLE = 100
SPARSE = Shape(m=2, ef_construction=4)  # a graph in which much is not found


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return clip_like(COUNT, DIMENSIONS, seed=1)


@pytest.fixture(scope="module")
def pictures(services: Services) -> int:
    """Rows without files; ids start at 1."""
    with services.search.sessions.begin() as session:
        insert_images(session, services.search.index.collection_id, ["{}"] * COUNT)
    return COUNT


@pytest.fixture(scope="module")
def index(services: Services, vectors: Vectors, pictures: int) -> VectorIndex:
    """That of the default collection, with all vectors."""
    index = services.search.index
    fill(services, index, vectors[:pictures])
    return index


def fill(services: Services, index: VectorIndex, vectors: Vectors) -> None:
    with services.search.sessions.begin() as session:
        session.execute(text(f"DROP INDEX IF EXISTS {vector_indexes.hnsw_name(index)}"))
        copy_vectors(session, index, vectors)
        vector_indexes.build_hnsw(session, index)


@pytest.fixture
def another(services: Services, request: pytest.FixtureRequest) -> VectorIndex:
    """The empty index of a collection of the test's own, in the shape that it asks for."""
    shape = getattr(request, "param", Shape())
    name = f"{request.node.name[:40]}-{id(request)}"
    return services.registry.create(NewCollection("test", name), None, shape).index


def service(services: Services, index: VectorIndex) -> Recall:
    codes = services.search.resident_indexes
    return Recall(services.search.sessions, services.encoder, index, MeasuringTurn(), codes)


def measured(
    services: Services, index: VectorIndex, ef_search: int | None, k: int = 5
) -> RecallMeasurement:
    return service(services, replace(index, ef_search=ef_search)).measure_graph(k, SAMPLE)


def test_exact_answers_are_those_of_brute_force(
    services: Services, index: VectorIndex, vectors: Vectors
) -> None:
    assert COUNT > exact_search.CHUNK
    queries = np.concatenate([clip_like(20, DIMENSIONS, seed=3), vectors[[0, 9, COUNT - 1]]])
    left_out = np.array([0] * 20 + [1, 10, COUNT])
    with services.search.sessions.begin() as session:
        found = exact_neighbours(session, index, queries, left_out, 10)
    stored = unit_rows(unit_halves(vectors).astype(np.float32))
    asked = unit_rows(queries.astype(np.float16).astype(np.float32))
    distances = 1 - asked @ stored.T
    distances[range(20, 23), [0, 9, COUNT - 1]] = np.inf
    assert found.vectors == COUNT
    assert found.counts.tolist() == [10] * 23
    assert found.farthest == pytest.approx(np.sort(distances)[:, 9], abs=1e-5)


@pytest.mark.parametrize(
    ("another", "tolerance"),
    [(Shape("vector"), 1e-6), (Shape("halfvec"), 1e-3), (Shape("bit"), 1e-3)],
    indirect=["another"],
)
@pytest.mark.parametrize("count", [0, 1, 300])
def test_all_vectors_are_read_once(
    services: Services,
    another: VectorIndex,
    pictures: int,
    vectors: Vectors,
    count: int,
    tolerance: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exact_search, "CHUNK", 100)
    fill(services, another, vectors[:count])
    with services.search.sessions.begin() as session:
        pieces = list(read_vectors(session, another))
    assert [len(ids) for ids, _ in pieces] == {0: [], 1: [1], 300: [100] * 3}[count]
    found = {one: row for ids, rows in pieces for one, row in zip(ids, rows, strict=True)}
    assert found.keys() == set(range(1, count + 1))
    for image_id, row in found.items():
        assert row == pytest.approx(vectors[image_id - 1], abs=tolerance)


def test_recall_is_low_with_few_candidates_and_high_with_many(
    services: Services, index: VectorIndex
) -> None:
    few, many, most = (measured(services, index, ef) for ef in (10, 200, 1000))
    assert few.recall < many.recall <= most.recall + 0.01
    assert few.recall < 0.9
    assert most.recall >= 0.95
    assert (few.ef_search, many.ef_search, most.ef_search) == (10, 200, 1000)
    for one in (few, many, most):
        assert (one.k, one.queries, one.texts, one.pictures) == (5, SAMPLE, 50, 50)
        assert one.vectors == COUNT
        assert one.graph
        assert 0 < one.p50_ms <= one.p95_ms
        assert one.picture_recall is not None
        assert one.text_recall is not None
        assert one.recall == pytest.approx((one.text_recall + one.picture_recall) / 2)


def test_recall_is_that_of_searches(
    services: Services, index: VectorIndex, vectors: Vectors
) -> None:
    """Of the texts, counted by hand."""
    asked = service(services, index)
    texts = asked._texts(SAMPLE // 2)
    found = 0
    for vector in texts:
        with services.sessions.begin() as session:
            near = find_nearest(session, index, vector, 10)
        true = np.argsort(-(vectors @ vector))[:10] + 1
        found += len({one.image.id for one in near} & set(true.tolist()))
    assert asked.measure_graph(10, SAMPLE).text_recall == pytest.approx(found / 500, abs=0.01)


def test_the_default_is_what_a_search_keeps(services: Services, index: VectorIndex) -> None:
    assert measured(services, index, None).ef_search == MIN_EF_SEARCH
    assert measured(services, index, 40, k=100).ef_search == 200


@pytest.mark.parametrize("wanted", [0.7, 0.95])
def test_tuning_finds_the_smallest_that_holds(
    services: Services, index: VectorIndex, wanted: float
) -> None:
    tuned = service(services, index).tune(wanted, 5, 2 * SAMPLE)
    assert tuned.reached
    assert tuned.recall >= wanted
    assert tuned.held_out is not None
    assert tuned.held_out >= wanted
    assert (tuned.queries, tuned.held_out_queries) == (SAMPLE, SAMPLE)
    assert [one.ef_search for one in tuned.tried] == list(EF_SEARCHES[: len(tuned.tried)])
    assert tuned.tried[-1].ef_search == tuned.ef_search
    for one in tuned.tried[:-1]:
        assert one.recall < wanted or (one.held_out or 0) < wanted
    with services.search.sessions.begin() as session:  # nothing is stored
        assert vector_indexes.active_index(session, index.collection_id).ef_search is None
    holds = replace(index, ef_search=tuned.ef_search)
    assert service(services, holds).measure_graph(5, 2 * SAMPLE).recall >= wanted


@pytest.mark.parametrize("another", [SPARSE], indirect=True)
def test_what_no_ef_search_reaches_is_said(
    services: Services, another: VectorIndex, vectors: Vectors, pictures: int
) -> None:
    fill(services, another, vectors[:pictures])
    tuned = service(services, another).tune(0.999, 10, SAMPLE)
    assert not tuned.reached
    assert tuned.ef_search is None
    assert [one.ef_search for one in tuned.tried] == list(EF_SEARCHES)
    assert tuned.recall == tuned.tried[-1].recall


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_pictures_than_asked_for(
    services: Services, another: VectorIndex, vectors: Vectors, pictures: int, count: int
) -> None:
    fill(services, another, vectors[:count])
    found = service(services, another).measure_graph(10, 20)
    assert (found.recall, found.text_recall) == (1, 1)
    assert found.picture_recall == (1 if count else None)
    assert (found.vectors, found.texts, found.pictures) == (count, 10, count)
    with pytest.raises(QueryRejected, match=f"^recall: the index has {count} vectors"):
        service(services, another).tune(0.9)


def test_without_a_graph_answers_are_exact(
    services: Services, another: VectorIndex, vectors: Vectors, pictures: int
) -> None:
    fill(services, another, vectors[:2000])
    with services.search.sessions.begin() as session:
        session.execute(text(f"DROP INDEX {vector_indexes.hnsw_name(another)}"))
    found = service(services, replace(another, ef_search=10)).measure_graph(10, SAMPLE)
    assert (found.recall, found.graph, found.ef_search) == (1, False, None)
    assert (found.worst_decile, found.unreachable) == (1, 0)
    assert found.queries == EXACT_QUERIES
    with pytest.raises(QueryRejected, match=r"^recall: the index is small or has no graph"):
        service(services, another).tune(0.9)


@pytest.mark.parametrize("another", [Shape("bit")], indirect=True)
def test_an_index_of_bits_is_measured_and_not_tuned(
    services: Services, another: VectorIndex, vectors: Vectors, pictures: int
) -> None:
    fill(services, another, vectors[:5000])
    found = service(services, another).measure_graph(10, SAMPLE)
    assert found.ef_search == 1000
    assert 0.5 < found.recall <= 1
    with pytest.raises(QueryRejected, match=r"^recall: an index with the storage bit"):
        service(services, another).tune(0.9)


@pytest.mark.parametrize("another", [Shape("vector")], indirect=True)
def test_vectors_of_four_bytes(
    services: Services, another: VectorIndex, vectors: Vectors, pictures: int
) -> None:
    assert pictures == COUNT
    fill(services, another, vectors[:5000])
    assert measured(services, another, 1000).recall > 0.95


@pytest.mark.parametrize(
    ("k", "sample", "named"),
    [(0, 100, "k: 0"), (101, 100, "k: 101"), (10, 9, "sample: 9"), (10, 1001, "sample: 1001")],
)
def test_bounds(services: Services, k: int, sample: int, named: str) -> None:
    asked = service(services, services.search.index)
    with pytest.raises(QueryRejected, match=f"^{named};"):
        asked.measure_graph(k, sample)
    with pytest.raises(QueryRejected, match=f"^{named};"):
        asked.tune(0.9, k, sample)


@pytest.mark.parametrize("wanted", [0.49, 1.0, float("nan")])
def test_bounds_of_what_is_wanted(services: Services, wanted: float) -> None:
    with pytest.raises(QueryRejected, match=r"^recall: "):
        service(services, services.search.index).tune(wanted)


def test_more_queries_than_there_are_texts(services: Services, index: VectorIndex) -> None:
    queries = service(services, index)._queries(recall.MAX_SAMPLE)
    assert len(queries) == recall.MAX_SAMPLE
    assert 400 < queries.is_text.sum() < 500


@pytest.mark.parametrize("another", [Shape("vector")], indirect=True)
def test_recall_shows_what_a_burst_hides(
    services: Services, another: VectorIndex, pictures: int
) -> None:
    """Issue 21, line 3: a uniform sample was mostly the burst, and its recall near 1."""
    fill(services, another, burst_vectors(150, 1_850, DIMENSIONS))
    asked = service(services, replace(another, ef_search=100))
    queries = asked._queries(2 * SAMPLE, by_novelty=True)
    chosen = queries.own_ids[~queries.is_text]
    assert len(set(chosen.tolist())) == SAMPLE
    assert sum(chosen <= 150) >= SAMPLE // 2 * 0.9
    found = asked.measure_graph(10, 2 * SAMPLE)
    assert found.worst_decile < found.recall - 0.5  # of random levels, it varies
    graph_rebuild.rebuild(services.search.sessions, another)
    cured = asked.measure_graph(10, 2 * SAMPLE)
    assert cured.worst_decile > found.worst_decile + 0.3
    assert cured.unreachable == 0


def test_the_worst_decile_is_the_mean_of_the_worst_tenth() -> None:
    answers = Answers(np.full(20, 10), np.array([1, 3, *[10] * 18]), np.zeros(20))
    assert answers.worst_decile() == pytest.approx(0.2)
    assert Answers(np.array([0]), np.array([0]), np.zeros(1)).worst_decile() == 1


@pytest.mark.parametrize("another", [SPARSE], indirect=True)
def test_another_graph_gets_an_ef_search_of_its_own(
    services: Services, index: VectorIndex, another: VectorIndex, vectors: Vectors
) -> None:
    """For the recall that the former one was tuned to (issue 18); a poor graph needs the most."""
    fill(services, another, vectors[:2_000])
    untuned, poor = service(services, index), service(services, another)
    assert tuned_like(untuned, None, poor, texts=False) is None
    former = service(services, replace(index, ef_search=40))
    found = tuned_like(former, None, poor, texts=False)
    assert found is not None
    ef_search, tuning = found
    assert (ef_search, tuning.by, tuning.reached) == (EF_SEARCHES[-1], "admin", False)
    wanted = Tuning("service", 5, 0.8, True, 0.9, "texts", 1.0, COUNT)
    found = tuned_like(former, wanted, untuned, texts=False)
    assert found is not None
    ef_search, tuning = found
    assert ef_search in EF_SEARCHES[:-1]
    assert (tuning.by, tuning.k, tuning.wanted, tuning.worse) == ("service", 5, 0.8, "pictures")
