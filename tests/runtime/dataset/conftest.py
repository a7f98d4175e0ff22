"""A small library that people have described, labelled and rated, and an empty place beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.database import connections
from app.main import create_app
from app.runtime.assembly import open_services
from app.runtime.services import Services
from app.settings import Settings
from tests.conftest import address, administrator, local_client
from tests.fixtures.search_library import asked, upload_pictures
from tests.runtime.test_worker import wait_until

LABELS = {"labels": [{"name": "tree"}, {"name": "car"}, {"name": "fruit"}]}


@pytest.fixture(scope="module")
def library(client: TestClient, services: Services, worker: None) -> dict[str, int]:
    """The ids of its pictures by name."""
    ids = upload_pictures(client, services)
    put = client.put("/api/v1/collections/default/label-sets/things", json=LABELS)
    assert put.status_code in {200, 201, 202}, put.text
    known = services.registry.default
    wait_until(lambda: services.label_sets.get(known, "things").labelled == len(ids))
    found = asked(client, query="a tree")
    rating = {"token": found.json()["token"], "rating": 9, "comment": "well"}
    for hit in (None, found.json()["hits"][0]["id"]):
        hit_of = {} if hit is None else {"image_id": hit}
        assert client.post("/api/v1/feedback", json=rating | hit_of).status_code == 201
    return ids


@pytest.fixture
def elsewhere(
    settings: Settings,
    server_url: str,
    migrated: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Settings]:
    """An empty database, and folders of its own."""
    name = f"elsewhere_{abs(hash(request.node.nodeid))}"
    with administrator(server_url) as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{migrated}"'))
    with administrator(address(server_url, name)) as connection:
        connection.execute(text("UPDATE installation SET identity = md5(random()::text)"))
    yield settings.model_copy(
        update={
            "database_url": address(server_url, name),
            "test_upload_dir": tmp_path / "uploads",
            "thumbnail_dir": tmp_path / "thumbnails",
        }
    )
    with administrator(server_url) as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@contextmanager
def served(settings: Settings) -> Iterator[TestClient]:
    """HTTP to a server of these settings."""
    with open_services(settings) as services, local_client(create_app(settings, services)) as api:
        yield api


@contextmanager
def sessions_on(settings: Settings) -> Iterator[connections.Sessions]:
    """Sessions on the database of these settings."""
    engine = connections.open_engine(str(settings.database_url))
    try:
        yield connections.open_sessions(engine)
    finally:
        engine.dispose()
