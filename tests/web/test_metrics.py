"""What /metrics tells: that it moves as it should, and that nobody else can move it without end."""

import json
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from app import metrics
from app.database import connections
from app.main import create_app
from app.runtime.services import Services
from app.settings import ROOT, Settings
from app.web import database_metrics
from app.web.middleware.request_metrics import RequestMetrics
from tests.conftest import TEST_IMAGES, local_client
from tests.fixtures.folder_jobs import sql
from tests.fixtures.http_jobs import accepted, ended, send, working

DASHBOARD = ROOT / "docs" / "grafana.json"
HUNG_SECONDS = 60  # far longer than /metrics may take here, on any machine
REST_SECONDS = 0.3  # of a stream that has begun
NAME = re.compile(r"\b(?:image_search|process|python)_[a-z0-9_]+")

Told = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(client: TestClient) -> Told:
    """Each sample of /metrics by its name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(told: Told, name: str, /, **labels: str) -> float:
    """0 where it was never counted."""
    return told.get((f"image_search_{name}", frozenset(labels.items())), 0.0)


@contextmanager
def moved(client: TestClient) -> Iterator[Callable[..., float]]:
    """By how much a sample has grown, once the block has ended."""
    before, after = read(client), Told()
    yield lambda name, **labels: value(after, name, **labels) - value(before, name, **labels)
    after.update(read(client))


@pytest.fixture(autouse=True)
def _fresh_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the database holds is counted each time."""
    monkeypatch.setattr(database_metrics, "CACHE_SECONDS", -1.0)


@pytest.fixture
def another(
    settings: Settings, services: Services, client: TestClient
) -> Iterator[Callable[[str], TestClient]]:
    """The application as it is where its pictures are in the database of an address."""
    engines = []

    def on(url: str) -> TestClient:
        engine = create_engine(url)
        engines.append(engine)
        gallery = replace(services.gallery, sessions=connections.open_sessions(engine))
        app = create_app(settings, replace(services, gallery=gallery))
        return local_client(app, headers=dict(client.headers))

    yield on
    for engine in engines:
        engine.dispose()


def test_a_text_search_is_counted_and_its_repetition_is_remembered(client: TestClient) -> None:
    route = {"route": "/api/v1/search", "method": "GET", "status": "200"}
    with moved(client) as first:
        assert client.get("/api/v1/search", params={"q": "a lighthouse at dusk"}).status_code == 200
    assert first("requests_total", **route) == 1
    assert first("request_seconds_count", route="/api/v1/search") == 1
    assert first("texts_total", cache="miss") == 1
    assert first("encode_seconds_count", kind="text") >= 1
    assert first("batch_items_sum", kind="text") >= 1
    assert first("database_seconds_count") >= 1
    with moved(client) as again:
        assert (
            client.get("/api/v1/search", params={"q": "a lighthouse  at dusk"}).status_code == 200
        )
    assert again("requests_total", **route) == 1
    assert (again("texts_total", cache="hit"), again("texts_total", cache="miss")) == (1, 0)


def test_an_upload_is_counted(client: TestClient) -> None:
    data = (TEST_IMAGES / "tree.jpg").read_bytes()
    with moved(client) as by:
        assert client.post("/upload", files={"file": ("tree.jpg", data)}).status_code == 201
    assert (by("pictures"), by("vectors")) == (1, 1)
    assert by("requests_total", route="/upload", method="POST", status="201") == 1
    assert by("encode_seconds_count", kind="image") == by("batch_items_sum", kind="image") == 1


def test_a_job_waits_and_is_done(client: TestClient, services: Services) -> None:
    before = read(client)
    url = accepted(send(client, ("zebra.jpg", (TEST_IMAGES / "zebra.jpg").read_bytes())))
    waiting = read(client)
    assert value(waiting, "queue_tasks") == 1
    assert value(waiting, "jobs", state="pending") == 1
    with working(services):
        assert ended(client, url)["added"] == 1
    after = read(client)
    assert value(after, "jobs", state="succeeded") == value(before, "jobs", state="succeeded") + 1
    assert value(after, "jobs", state="pending") == 0
    assert value(after, "pictures") == value(before, "pictures") + 1
    assert value(after, "encode_seconds_count", kind="image") > value(
        before, "encode_seconds_count", kind="image"
    )


def test_coverage_is_of_all_collections_and_names_none(
    client: TestClient, services: Services
) -> None:
    made = (
        "INSERT INTO collections (namespace, name) VALUES ('secret-tenant', 'secret-set') "
        "RETURNING id"
    )
    ((collection_id,),) = sql(services, made)
    added = (
        "INSERT INTO images (collection_id, path, content_hash, etag, bytes, width, height, format)"
        " SELECT :id, n::text, sha256(n::text::bytea), '', 1, 1, 1, 'PNG'"
        " FROM generate_series(1, 3) n"
    )
    with moved(client) as by:
        sql(services, added, id=collection_id)
    assert (by("pictures"), by("vectors")) == (3, 0)
    told = read(client)
    pictures, vectors = value(told, "pictures"), value(told, "vectors")
    assert value(told, "index_coverage_ratio") == pytest.approx(vectors / pictures)
    assert "secret" not in client.get("/metrics").text


def test_what_is_counted_is_believed_for_a_while(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = value(read(client), "pictures")
    assert pictures >= 3
    sql(services, "DELETE FROM collections WHERE name = 'secret-set'")
    monkeypatch.setattr(database_metrics, "CACHE_SECONDS", 60.0)
    assert value(read(client), "pictures") == pictures
    monkeypatch.setattr(database_metrics, "CACHE_SECONDS", -1.0)
    assert value(read(client), "pictures") == pictures - 3


def test_the_model_is_told(client: TestClient, services: Services) -> None:
    space = services.encoder.space
    labels = {"name": "demo model", "fingerprint": space.fingerprint, "device": services.device}
    assert value(read(client), "model_info", **labels, precision=services.precision) == 1


def test_strangers_cannot_make_series(client: TestClient) -> None:
    client.get("/nowhere/first")
    client.request("BREW", "/nowhere/second")
    before = read(client)
    for number in range(20):
        client.get(f"/nowhere/{number}")
        client.request(f"BREW{number}", f"/nowhere/{number}")
    after = read(client)
    assert after.keys() == before.keys()
    assert "nowhere" not in client.get("/metrics").text
    assert "BREW" not in client.get("/metrics").text
    for method in ("GET", "other"):
        labels = {"route": "none", "method": method, "status": "404"}
        grown = value(after, "requests_total", **labels) - value(before, "requests_total", **labels)
        assert grown == 20, method


def test_a_route_is_counted_by_its_template(client: TestClient) -> None:
    with moved(client) as by:
        assert client.get("/images/1000001").status_code == 404
        assert client.get("/images/nonsense").status_code == 422
        assert client.put("/images/1000001").status_code == 405
        client.get("/docs")
    for method, status in (("GET", "404"), ("GET", "422"), ("PUT", "405")):
        labels = {"method": method, "status": status}
        assert by("requests_total", route="/images/{image_id}", **labels) == 1, labels
    assert by("request_seconds_count", route="/docs") == 1


def test_without_a_database_the_rest_is_told(another: Callable[[str], TestClient]) -> None:
    told = read(another("postgresql+psycopg://nobody@127.0.0.1:1/nothing"))
    assert ("image_search_database_up", frozenset()) in told
    assert value(told, "database_up") == 0
    names = {name for name, _ in told}
    assert {"image_search_model_info", "process_resident_memory_bytes"} <= names
    assert not {"image_search_pictures", "image_search_jobs"} & names


def test_a_database_that_hangs_is_not_waited_for(
    another: Callable[[str], TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_metrics, "WAIT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        client = another(
            f"postgresql+psycopg://nobody@127.0.0.1:{port}/x?connect_timeout={HUNG_SECONDS}"
        )
        began = time.monotonic()
        assert value(read(client), "database_up") == 0
        assert value(read(client), "database_up") == 0
        assert time.monotonic() - began < HUNG_SECONDS / 2


def test_counts_that_take_too_long_are_left_out(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_metrics, "COUNT_TIMEOUT_MS", 50)
    with services.gallery.sessions.begin() as session:
        session.execute(text("LOCK TABLE images IN ACCESS EXCLUSIVE MODE"))
        told = read(client)
    assert value(told, "database_up") == 1
    names = {name for name, _ in told}
    assert {"image_search_jobs", "image_search_queue_tasks"} <= names
    assert not {"image_search_pictures", "image_search_index_coverage_ratio"} & names


def test_each_statement_is_timed_also_one_that_fails(
    client: TestClient, sessions: connections.Sessions
) -> None:
    with moved(client) as by, sessions() as session:
        for _ in range(20):
            session.execute(text("SELECT 1"))
        with pytest.raises(DBAPIError):
            session.execute(text("SELECT 1 / 0"))
        session.rollback()
        session.execute(text("SELECT pg_sleep(0.3)"))
    assert by("database_seconds_count") >= 22
    assert by("database_seconds_sum") >= 0.3


@pytest.fixture
def small() -> FastAPI:
    """An application with routes that ours has not."""
    app = FastAPI()
    app.add_middleware(RequestMetrics)

    async def slow() -> AsyncIterator[bytes]:
        yield b"first"
        time.sleep(REST_SECONDS)
        yield b"last"

    async def broken() -> AsyncIterator[bytes]:
        yield b"first"
        raise RuntimeError("half way")

    @app.get("/small/slow")
    def get_slow() -> StreamingResponse:
        return StreamingResponse(slow())

    @app.get("/small/broken")
    def get_broken() -> StreamingResponse:
        return StreamingResponse(broken())

    return app


def counted(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(f"image_search_{name}", labels) or 0.0


def test_a_stream_is_timed_until_it_begins(small: FastAPI) -> None:
    began = time.monotonic()
    assert TestClient(small).get("/small/slow").content == b"firstlast"
    whole = time.monotonic() - began
    assert counted("request_seconds_count", route="/small/slow") == 1
    assert counted("request_seconds_sum", route="/small/slow") < whole - REST_SECONDS


def test_an_answer_that_breaks_off_is_counted_and_raised(small: FastAPI) -> None:
    with pytest.raises(RuntimeError, match="half way"):
        TestClient(small).get("/small/broken")
    assert counted("requests_total", route="/small/broken", method="GET", status="200") == 1


def expressions(node: Any) -> Iterator[str]:
    """Every query of the dashboard."""
    if isinstance(node, dict):
        if isinstance(node.get("expr"), str):
            yield node["expr"]
        for inner in node.values():
            yield from expressions(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from expressions(inner)


def exposed(client: TestClient) -> dict[str, set[str]]:
    """The samples' names by the name of what they are of."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        family.name: {sample.name for sample in family.samples}
        for family in families
        if family.samples
    }


def test_the_dashboard_shows_what_is_told_and_nothing_else(client: TestClient) -> None:
    client.get("/api/v1/search", params={"q": "a boat"})
    dashboard = json.loads(DASHBOARD.read_text())
    asked = [set(NAME.findall(query)) for query in expressions(dashboard["panels"])]
    assert len(asked) >= 11
    assert all(asked), "a query without a metric"
    told = exposed(client)
    assert set().union(*asked) <= set().union(*told.values())
    ours = {name: samples for name, samples in told.items() if name.startswith("image_search_")}
    shown = set().union(*asked)
    assert not [name for name, samples in ours.items() if not samples & shown]


def test_the_dashboard_can_be_imported(client: TestClient) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert dashboard["id"] is None
    assert [one["type"] for one in dashboard["templating"]["list"]] == ["datasource"]
    assert all(one["datasource"]["uid"] == "${DS_PROMETHEUS}" for one in panels)
    assert all(one["title"] and one["targets"] for one in panels)
    assert len({one["id"] for one in panels}) == len(panels)
    places = [one["gridPos"] for one in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for number, one in enumerate(places):
        for other in places[:number]:
            apart = (
                one["x"] >= other["x"] + other["w"] or other["x"] >= one["x"] + one["w"]
                or one["y"] >= other["y"] + other["h"] or other["y"] >= one["y"] + one["h"]
            )  # fmt: skip
            assert apart, (one, other)
