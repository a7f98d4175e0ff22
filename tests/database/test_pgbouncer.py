"""All of it behind PgBouncer in transaction mode (issue 21, lines 11 and 50)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.database import migrating
from app.runtime.services import Services
from tests.fixtures.drawn_pictures import png
from tests.fixtures.http_jobs import accepted, ended, send
from tests.fixtures.pgbouncer import pgbouncer

SEARCHES = 200
THREADS = 16  # more than PgBouncer has servers, so that transactions change theirs


@pytest.fixture(scope="module")
def database_url(database_url: str) -> Iterator[str]:
    with pgbouncer(database_url) as url:
        yield url


@pytest.mark.usefixtures("worker")
def test_jobs_and_searches_work_behind_pgbouncer(client: TestClient) -> None:
    job = ended(client, accepted(send(client, *((f"{n}.png", png(n)) for n in range(8)))))
    assert (job["status"], job["added"]) == ("succeeded", 8)

    def search(n: int) -> Any:
        if n % 3 == 0:
            body = {"query": f"a tree {n}", "hybrid": {"alpha": 0.5}, "limit": 3}
            return client.post("/api/v1/search", json=body)
        if n % 3 == 1:
            return client.get("/search-by-text", params={"query": f"a red car {n}"})
        return client.post("/search-by-image", files={"file": ("x.png", png(n % 8))})

    with ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(search, range(SEARCHES)))
    assert {
        (answer.status_code, answer.text[:200]) for answer in answers if not answer.is_success
    } == set()
    assert client.get("/readyz").status_code == 200


def test_nothing_is_left_set_for_the_next_transaction(
    client: TestClient, services: Services
) -> None:
    """A setting for a session would stay on a server that another client gets next."""
    assert client.get("/search-by-text", params={"query": "a blue boat"}).status_code == 200
    query = text("SELECT name, setting FROM pg_settings WHERE source = 'session'")
    with services.sessions() as session:
        found = {name for name, _ in session.execute(query)}
    of_the_client = {"application_name", "client_encoding", "DateStyle", "TimeZone"}
    assert found <= of_the_client | {"transaction_isolation"}


def test_migrations_run_behind_pgbouncer(services: Services) -> None:
    """Issue 21, line 11: they take an advisory lock, for their transaction alone."""
    migrating.migrate(services.sessions.kw["bind"])
    with services.sessions.begin() as session:
        assert session.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1
