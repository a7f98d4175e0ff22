"""How much a search asks of Postgres: counts, which do not depend on the machine."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.access import authentication
from app.database import pool_checks
from app.feedback import query_adjustment
from app.index import statistics
from app.runtime import collection_registry
from app.runtime.services import Services
from tests.fixtures.round_trips import Count, Traffic, traced
from tests.fixtures.search_library import upload_pictures

FOREVER = float("inf")
NUMBERS = count()


@pytest.fixture(scope="module", autouse=True)
def _library(client: TestClient, services: Services) -> None:
    upload_pictures(client, services)
    services.search.statistics.measure()


@pytest.fixture
def traffic(
    client: TestClient, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Count]:
    """What is read again after some seconds is known and stays so, however slow the machine is."""
    monkeypatch.setattr(authentication, "KEY_SECONDS", FOREVER)
    monkeypatch.setattr(collection_registry, "DEFAULT_SECONDS", FOREVER)
    monkeypatch.setattr(query_adjustment, "STATE_CACHE_SECONDS", FOREVER)
    monkeypatch.setattr(statistics, "COUNT_CACHE_SECONDS", FOREVER)
    monkeypatch.setattr(pool_checks, "IDLE_SECONDS", FOREVER)
    flat(client, new_text())
    post(client, new_text())
    with traced(services.sessions.kw["bind"], tmp_path / "trace") as counted:
        yield counted


def new_text() -> str:
    return f"a text that was never asked {next(NUMBERS)}"


def flat(client: TestClient, text: str) -> None:
    answer = client.get("/search-by-text", params={"query": text})
    assert answer.status_code == 200
    assert answer.json()


def post(client: TestClient, text: str, **fields: object) -> None:
    answer = client.post("/api/v1/search", json={"query": text, **fields})
    assert answer.status_code == 200
    assert answer.json()["hits"]


def test_a_new_text_is_one_round_trip(client: TestClient, traffic: Count) -> None:
    """The snapshot with the method, the settings, the ranking."""
    assert traffic(lambda: flat(client, new_text())) == Traffic(round_trips=1, statements=3)


def test_a_repeated_text_asks_for_the_snapshot_alone(client: TestClient, traffic: Count) -> None:
    text = new_text()
    flat(client, text)
    assert traffic(lambda: flat(client, text)) == Traffic(round_trips=1, statements=1)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"mode": "vector"}, Traffic(7, 8)),
        ({"mode": "vector", "filter": {"place": "Lisbon"}}, Traffic(9, 10)),
        ({"mode": "hybrid"}, Traffic(10, 11)),
    ],
    ids=["vector", "filtered", "hybrid"],
)
def test_the_full_search_asks_no_more_than_it_did(
    client: TestClient, traffic: Count, fields: dict[str, object], expected: Traffic
) -> None:
    assert traffic(lambda: post(client, new_text(), **fields)) == expected
