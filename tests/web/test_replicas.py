"""Searches by a hot standby of the database (issue 20, read replicas)."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session, SessionTransaction

from app.access import api_keys
from app.database import read_replicas
from app.database.read_replicas import Replica
from app.database.read_routing import RoutedSession
from app.runtime.services import Services
from app.settings import Settings
from tests.conftest import TEST_IMAGES, administrator, local_client
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import sql
from tests.fixtures.hot_standby import Pair, primary_and_standby

PATIENCE = 20.0  # seconds until something that is seen once a second must have been seen
UPLOADS = 10


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with primary_and_standby() as servers:
        yield servers


@pytest.fixture(scope="module")
def database_url(pair: Pair) -> str:
    return pair.url


@pytest.fixture(scope="module")
def settings(settings: Settings, pair: Pair) -> Settings:
    return settings.model_copy(update={"read_database_url": (pair.standby_url,)})


@pytest.fixture(scope="module")
def filled(client: TestClient) -> TestClient:
    """A library of a few pictures."""
    for name in ("tree.jpg", "palm.jpg", "taxi.jpg", "cat.jpg"):
        uploaded(client, name, (TEST_IMAGES / name).read_bytes())
    return client


@pytest.fixture
def replica(services: Services) -> Replica:
    """The standby, in use."""
    assert services.replicas
    (found,) = services.replicas.replicas
    until(lambda: found.state == "in_use")
    return found


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def catch_up(replica: Replica) -> None:
    """Wait until the standby holds all that is written now."""
    now = time.monotonic()
    until(lambda: replica.wait_for(now))


def uploaded(client: TestClient, name: str, data: bytes) -> int:
    response = client.post("/upload", files={"file": (name, data)})
    assert response.status_code == 201, response.text
    (stored,) = response.json()
    image_id: int = stored["id"]
    return image_id


def found(client: TestClient, query: str = "a tree", limit: int = 100) -> list[int]:
    response = client.get("/search-by-text", params={"query": query, "limit": limit})
    assert response.status_code == 200, response.text
    return [hit["id"] for hit in response.json()]


@contextmanager
def uses(engine: Engine) -> Iterator[list[object]]:
    """Each time that a connection of the engine is taken for a request."""
    taken: list[object] = []

    def note(*arguments: object) -> None:
        if threading.current_thread().name.startswith("AnyIO"):
            taken.append(arguments)

    event.listen(engine, "checkout", note)
    yield taken
    event.remove(engine, "checkout", note)


def test_searches_are_answered_by_the_standby(
    filled: TestClient,
    services: Services,
    replica: Replica,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catch_up(replica)
    found(filled)
    # The primary alone is asked whether there are keys, once in KEY_SECONDS.
    monkeypatch.setattr(services.access, "_clock", lambda: 0.0)
    with uses(services.sessions.kw["bind"]) as on_primary, uses(replica.engine) as on_standby:
        assert len(found(filled, "a car")) == 4
        body = {"query": "a cat", "filter": {}, "facets": []}
        assert len(filled.post("/api/v1/search", json=body).json()["hits"]) == 4
        picture = {"file": ("cat.jpg", (TEST_IMAGES / "cat.jpg").read_bytes())}
        assert len(filled.post("/search-by-image", files=picture).json()) == 4
        batch = {"searches": [{"query": "a palm"}, {"query": "a taxi"}]}
        assert len(filled.post("/api/v1/search/batch", json=batch).json()["results"]) == 2
    assert on_standby
    assert not on_primary


@pytest.mark.usefixtures("replica")
def test_whoever_has_uploaded_finds_it_at_once(filled: TestClient) -> None:
    for number in range(UPLOADS):
        image_id = uploaded(filled, f"{number}.png", png(1_000 + number))
        assert image_id in found(filled)
        similar = filled.get(f"/api/v1/images/{image_id}/similar", params={"limit": 1})
        assert similar.status_code == 200
        filled.delete(f"/images/{image_id}")
        assert image_id not in found(filled)


@contextmanager
def paused_replay(pair: Pair) -> Iterator[None]:
    with administrator(pair.standby_url) as connection:
        connection.execute(text("SELECT pg_wal_replay_pause()"))
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_wal_replay_resume()"))


def test_a_standby_that_lags_lacks_only_what_others_have_written(
    filled: TestClient, services: Services, replica: Replica, pair: Pair
) -> None:
    app: Any = filled.app
    other = local_client(app, client=("127.0.0.2", 1))
    before = found(other)
    with paused_replay(pair):
        mine = uploaded(filled, "late.png", png(2_000))
        assert mine in found(filled)  # by the primary
        assert found(other) == before
        assert replica.state == "in_use"
    until(lambda: mine in found(other))
    filled.delete(f"/images/{mine}")


def test_a_standby_too_far_behind_is_left_out(
    filled: TestClient, replica: Replica, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_replicas, "MAX_LAG_SECONDS", 0.5)
    app: Any = filled.app
    other = local_client(app, client=("127.0.0.2", 1))
    with paused_replay(pair):
        mine = uploaded(filled, "later.png", png(2_001))
        until(lambda: replica.state == "behind")
        assert mine in found(other)
    until(lambda: replica.state == "in_use")
    filled.delete(f"/images/{mine}")


def test_an_answer_that_is_kept_follows_commits_out_of_order(
    filled: TestClient, services: Services, replica: Replica
) -> None:
    """A standby's snapshot stays the same text when one of two open transactions commits."""
    mine = uploaded(filled, "order.png", png(2_002))
    engine = services.sessions.kw["bind"]
    hide = text("UPDATE images SET removed_at = now() WHERE id = :id")
    begun = text("SELECT pg_current_xact_id()")
    with engine.connect() as oldest, engine.connect() as middle:
        oldest.execute(begun)
        middle.execute(hide, {"id": mine})
        sql(services, "CREATE TABLE newest ()")
        catch_up(replica)
        assert mine in found(filled)
        assert mine in found(filled)  # it is kept
        middle.commit()
        catch_up(replica)
        assert mine not in found(filled)


def test_a_search_that_the_replay_cancels_is_asked_again(
    filled: TestClient, services: Services, replica: Replica
) -> None:
    cancelled: list[str] = []

    def linger(_session: Session, _: SessionTransaction, connection: Connection) -> None:
        if connection.engine is not replica.engine or cancelled:
            return
        cancelled.append("")
        locking = threading.Timer(
            0.5, sql, (services, "LOCK TABLE images IN ACCESS EXCLUSIVE MODE")
        )
        locking.start()
        try:
            connection.execute(text("SELECT count(*), pg_sleep(10) FROM images"))
        except Exception as error:
            cancelled[0] = str(error)
            raise
        finally:
            locking.join()

    event.listen(RoutedSession, "after_begin", linger)
    try:
        answer = filled.post("/api/v1/search", json={"query": "a tree by a lake"})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["hits"]) >= 4
    finally:
        event.remove(RoutedSession, "after_begin", linger)
    assert "conflict with recovery" in cancelled[0]
    assert replica.state == "in_use"


def test_without_the_standby_the_primary_answers(
    filled: TestClient, services: Services, replica: Replica, pair: Pair
) -> None:
    assert 'image_search_replica_used{replica="' in filled.get("/metrics").text
    assert filled.get("/readyz").json()["replicas"] == [{"status": "in_use", "lag_seconds": 0.0}]
    pair.standby.stop()
    try:
        assert len(found(filled, "a lake")) >= 4
        assert len(filled.post("/api/v1/search", json={"query": "a sea"}).json()["hits"]) >= 4
        until(lambda: replica.state == "down")
        assert filled.get("/readyz").json()["replicas"] == [{"status": "down", "lag_seconds": None}]
        (finding,) = [
            one for one in services.doctor.examine().findings if one.name == "unused replicas"
        ]
        assert len(finding.found) == 1
    finally:
        pair.standby.start()
    until(lambda: replica.state == "in_use")


@contextmanager
def no_primary(services: Services, pair: Pair) -> Iterator[None]:
    pair.primary.stop()
    try:
        yield
    finally:
        pair.primary.start()
    until(lambda: bool(services.replicas and services.replicas.is_primary_up))


def test_standing_searches_are_told_of_uploads_and_read_without_the_primary(
    filled: TestClient, services: Services, replica: Replica, pair: Pair
) -> None:
    body = {"query": "anything", "min_confidence": 0}
    search = filled.post("/api/v1/standing-searches", json=body).json()
    image_id = uploaded(filled, "new.png", png(2_500))
    services.worker.standing_work.tell_of_new()
    matches = f"{search['url']}/matches"
    assert [one["image"]["id"] for one in filled.get(matches).json()["data"]] == [image_id]
    catch_up(replica)
    with no_primary(services, pair):
        assert [one["image"]["id"] for one in filled.get(matches).json()["data"]] == [image_id]
        assert "<entry>" in filled.get(search["feed_url"]).text
        listed = filled.get("/api/v1/standing-searches").json()["data"]
        assert [one["id"] for one in listed] == [search["id"]]
        refused = filled.post("/api/v1/standing-searches", json=body)
        assert (refused.status_code, refused.json()["code"]) == (503, "database_read_only")
    later = uploaded(filled, "later.png", png(2_501))
    services.worker.standing_work.tell_of_new()
    assert [one["image"]["id"] for one in filled.get(matches).json()["data"]] == [later, image_id]
    assert filled.delete(search["url"]).status_code == 204


@pytest.fixture
def key(services: Services) -> str:
    with services.sessions.begin() as session:
        return api_keys.create(session, "default", "test", "admin", None)[1]


def test_without_the_primary_searches_go_on_and_changes_are_refused(
    filled: TestClient, services: Services, replica: Replica, pair: Pair, key: str
) -> None:
    filled.headers["X-API-Key"] = key
    image_id = uploaded(filled, "kept.png", png(3_000))
    assert image_id in found(filled)
    catch_up(replica)
    with no_primary(services, pair):
        assert image_id in found(filled, "a mountain")
        time.sleep(2.5)  # the key is looked up anew
        assert image_id in found(filled, "a river")
        body = {"query": "a bird", "facets": []}
        assert filled.post("/api/v1/search", json=body).status_code == 200
        assert filled.get(f"/images/{image_id}/thumbnail").status_code == 200
        assert filled.get(f"/api/v1/images/{image_id}").status_code == 200
        assert filled.get("/readyz").json()["accepts_changes"] is False
        refused = filled.post("/upload", files={"file": ("new.png", png(3_001))})
        assert refused.status_code == 503
        assert refused.json()["code"] == "database_read_only"
        assert "its replicas still answer searches" in refused.json()["detail"]
        wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
        answer = filled.get("/search-by-text?query=a+pier", headers={"X-API-Key": wrong})
        assert answer.status_code == 401
    later = uploaded(filled, "new.png", png(3_002))
    assert later in found(filled)


def test_a_standby_that_was_promoted_answers_nothing(
    filled: TestClient, replica: Replica, pair: Pair
) -> None:
    """Last: it is no standby afterwards."""
    with administrator(pair.standby_url) as connection:
        connection.execute(text("SELECT pg_promote()"))
    until(lambda: replica.state == "down")
    assert replica.fault
    assert "no standby" in replica.fault
    assert len(found(filled, "a hill")) >= 4
