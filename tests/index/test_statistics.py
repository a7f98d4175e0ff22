"""What is known of an index as a whole: its counts, its null distribution, no match."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.index import statistics as statistics_module
from app.index.calibration import NO_MATCH_BELOW, NullDistribution, unrelated_texts
from app.index.statistics import Counts, IndexStatistics
from app.runtime.services import Services
from app.settings import Settings
from tests.conftest import TEST_IMAGES
from tests.fixtures.folder_jobs import run, sql, statements
from tests.fixtures.search_library import answer, warned

NONSENSE = "qwfp zxcv jklm"


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """The bundled pictures are open to jobs."""
    return settings.model_copy(update={"test_images_dir": TEST_IMAGES})


@pytest.fixture(scope="module")
def statistics(services: Services) -> IndexStatistics:
    return services.search.statistics


@pytest.fixture(scope="module", autouse=True)
def pictures(services: Services, worker: None) -> int:
    """All bundled pictures, indexed by a job, which measures the null distribution at its end."""
    job = run(services, TEST_IMAGES)
    assert job.failed == 0
    return job.total


def forget(services: Services) -> None:
    """As if nothing had been counted and measured."""
    statistics = services.search.statistics
    statistics._counted = statistics._null = None
    sql(services, "UPDATE vector_indexes SET chance = NULL")


def scored(client: TestClient, **body: Any) -> list[tuple[float, float]]:
    return [(hit["score"], hit["confidence"]) for hit in answer(client, **body)["hits"]]


def test_confidence_rises_with_the_score_and_decides_on_a_match(
    client: TestClient, statistics: IndexStatistics
) -> None:
    statistics.measure()
    for query in ("a zebra", "a red car", NONSENSE, unrelated_texts()[3]):
        whole = answer(client, query=query, limit=50, exact=True)
        sure = [hit["confidence"] for hit in whole["hits"]]
        assert all(0 <= one <= 1 for one in sure)
        assert sure == sorted(sure, reverse=True)
        assert whole["no_match"] is (sure[0] < NO_MATCH_BELOW)


def test_what_is_shown_matches_and_nonsense_does_not(
    client: TestClient, statistics: IndexStatistics
) -> None:
    statistics.measure()
    for query in ("a zebra", "a green tree", "a banana", "a sailboat"):
        assert answer(client, query=query)["no_match"] is False
    assert answer(client, query=NONSENSE)["no_match"] is True
    cursor = answer(client, query=NONSENSE, limit=5)["next_cursor"]
    assert answer(client, cursor=cursor)["no_match"] is True  # the question's, not the page's


def test_words_that_are_found_match_whatever_vectors_say(
    client: TestClient, services: Services, statistics: IndexStatistics
) -> None:
    statistics.measure()
    sql(services, "UPDATE images SET caption = :words WHERE id = 1", words=NONSENSE)
    both = answer(client, query=NONSENSE, mode="hybrid")
    assert (both["hits"][0]["id"], both["hits"][0]["lexical_rank"]) == (1, 1)
    assert both["no_match"] is False
    assert all(hit["confidence"] is not None for hit in both["hits"])
    sql(services, "UPDATE images SET caption = NULL WHERE id = 1")
    assert answer(client, query=NONSENSE, mode="hybrid")["no_match"] is True


def test_a_copy_and_a_mixture_are_judged_by_their_own_nulls(
    client: TestClient, statistics: IndexStatistics
) -> None:
    statistics.measure()
    copy = scored(client, query=[{"id": 1}], limit=1)[0]
    assert copy[1] > 0.9
    mixed = answer(client, query=[{"id": 1}, {"text": "a zebra"}], limit=3)
    assert all(hit["confidence"] is not None for hit in mixed["hits"])


def test_until_it_was_measured_nothing_is_said_and_then_it_is(
    client: TestClient, services: Services, statistics: IndexStatistics
) -> None:
    forget(services)
    first = answer(client, query="a zebra")
    assert first["no_match"] is None
    assert {hit["confidence"] for hit in first["hits"]} == {None}
    deadline = time.monotonic() + 60
    while answer(client, query="a zebra")["no_match"] is None:  # the first search set it off
        assert time.monotonic() < deadline
        time.sleep(0.05)
    [(stored,)] = sql(services, "SELECT chance FROM vector_indexes")
    assert NullDistribution.from_bytes(stored).counted == statistics.counts().vectors


def test_it_is_measured_anew_only_where_it_is_due(
    services: Services, statistics: IndexStatistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    statistics.measure()
    before = sql(services, "SELECT xmin::text FROM vector_indexes")
    statistics.measure()
    assert sql(services, "SELECT xmin::text FROM vector_indexes") == before


def test_a_format_of_another_version_is_measured_anew(
    services: Services, statistics: IndexStatistics
) -> None:
    forget(services)
    sql(services, "UPDATE vector_indexes SET chance = 'old'")
    statistics.measure()
    assert statistics.null_distribution() is not None


def test_a_missing_vector_is_told(
    client: TestClient, statistics: IndexStatistics, services: Services, pictures: int
) -> None:
    sql(services, "CREATE TABLE kept AS SELECT * FROM embeddings WHERE image_id <= 30")
    try:
        sql(services, "DELETE FROM embeddings WHERE image_id <= 30")
        _let_counts_age(statistics)
        found = answer(client, query="a zebra", limit=1000)
        assert (found["collection_size"], len(found["hits"])) == (pictures, pictures - 30)
        assert found["coverage"] == pytest.approx((pictures - 30) / pictures)
        assert warned(found) == (
            f"Pictures in the collection: {pictures}. "
            "Pictures of the collection without a vector: 30."
        )
    finally:
        sql(services, "INSERT INTO embeddings SELECT * FROM kept")
        sql(services, "DROP TABLE kept")
        _let_counts_age(statistics)


def test_counts_are_believed_for_a_while(services: Services, statistics: IndexStatistics) -> None:
    _let_counts_age(statistics)
    known = statistics.counts()
    assert statistics.counts() is known
    assert known.coverage == 1
    assert Counts(0, 0).coverage == 1


def test_those_that_wait_for_the_first_count_do_not_count_again(
    services: Services, statistics: IndexStatistics, pictures: int
) -> None:
    forget(services)
    with statements(services.sessions) as asked, ThreadPoolExecutor(4) as threads:
        with statistics._counting:
            waiting = [threads.submit(statistics.counts) for _ in range(4)]
        found = [one.result() for one in waiting]
    assert [one.vectors for one in found] == [pictures] * 4
    assert len([one for one in asked if "FROM embeddings" in one]) == 1


def test_whoever_can_wait_is_told_what_holds_after_a_large_deletion(
    services: Services, statistics: IndexStatistics, pictures: int
) -> None:
    statistics.measure()
    sql(services, "CREATE TABLE kept AS SELECT * FROM embeddings WHERE image_id > 100")
    try:
        sql(services, "DELETE FROM embeddings WHERE image_id > 100")
        _let_counts_age(statistics)
        few = statistics.current_null_distribution()
        assert few is not None
        assert few.counted == 100
    finally:
        sql(services, "INSERT INTO embeddings SELECT * FROM kept")
        sql(services, "DROP TABLE kept")
        _let_counts_age(statistics)
    many = statistics.current_null_distribution()
    assert many is not None
    assert many.counted == pictures
    assert statistics.current_null_distribution() is many


def _let_counts_age(statistics: IndexStatistics) -> None:
    known = statistics._counted
    if known is not None:
        statistics._counted = (known[0] - statistics_module.COUNT_CACHE_SECONDS, known[1])


def test_fewer_pass_a_filter_than_were_asked_for(client: TestClient) -> None:
    found = answer(client, query="a zebra", filter={"format": "TIFF"}, limit=200)
    number = len(found["hits"])
    assert 0 < number < 200
    assert warned(found) == f"Pictures that pass the filter: {number}."
    none = answer(client, query="a zebra", filter={"width": {"gt": 10**6}})
    assert (none["hits"], none["no_match"]) == ([], True)
