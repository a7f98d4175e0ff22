import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app import errors
from app.access import api_keys
from app.database import silent_server
from app.database.embedded import embedded_postgres
from app.database.embedded.postgres_programs import temporary_folder
from app.main import create_app
from app.runtime.assembly import open_services
from app.runtime.reindexing import model_preloading
from app.runtime.reindexing.model_preloading import ModelPreloading
from app.runtime.services import Services
from app.settings import Settings
from app.web.problems import problems
from tests.conftest import local_client
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import statements
from tests.fixtures.frozen_database import frozen


def leaves(kind: type[Exception]) -> Iterator[type[Exception]]:
    below = kind.__subclasses__()
    if not below:
        yield kind
    for one in below:
        yield from leaves(one)


def test_every_leaf_error_has_a_status_or_stops_the_start() -> None:
    served = {
        leaf for leaf in leaves(errors.ImageSearchError) if not issubclass(leaf, errors.StartError)
    }
    assert served | {errors.ModelUnavailable, errors.QueryRejected} == set(problems.KINDS)


@pytest.mark.parametrize("leaf", list(leaves(errors.ModelUnavailable)))
def test_why_a_model_is_not_there_is_a_503_that_says_the_way_out(
    leaf: type[errors.ModelUnavailable],
) -> None:
    told = problems.problem_of(leaf("Copy the folder back."))
    assert (told["status"], told["code"]) == (503, "model_unavailable")
    assert told["detail"] == "Copy the folder back."


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/upload", 405)]
)
def test_the_routers_own_errors_are_problems(
    client: TestClient, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"]


def test_an_unexpected_error_is_a_problem_without_a_traceback(
    client: TestClient, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    with services.search.sessions.begin() as session:
        session.execute(text("ALTER TABLE images RENAME COLUMN width TO breadth"))
    try:
        answer = client.get("/images/1")
    finally:
        with services.search.sessions.begin() as session:
            session.execute(text("ALTER TABLE images RENAME COLUMN breadth TO width"))
    assert answer.status_code == 500
    assert answer.json()["detail"] == "An error inside the server; its log has the details."
    assert "GET /images/1 failed" in caplog.text


def test_a_database_that_is_busy_is_a_503_with_a_time_to_come_back(
    client: TestClient, services: Services
) -> None:
    session = services.search.sessions()
    session.execute(text("LOCK TABLE images IN ACCESS EXCLUSIVE MODE"))
    try:
        answer = client.get("/search-by-text?query=tree")
    finally:
        session.rollback()
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_full_disk_of_the_database_is_said(client: TestClient, services: Services) -> None:
    """Issue 21, line 45: the error as Postgres raises it."""
    raised = "BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END"
    with services.sessions.begin() as session:
        session.execute(
            text(f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $${raised}$$")
        )
        session.execute(
            text("CREATE TRIGGER is_full BEFORE INSERT ON images EXECUTE FUNCTION full_disk()")
        )
    try:
        answer = client.post("/upload", files={"file": ("x", png(1))})
    finally:
        with services.sessions.begin() as session:
            session.execute(text("DROP FUNCTION full_disk CASCADE"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "disk of the database is full" in answer.json()["detail"]


def test_a_dead_database_is_a_503_and_the_process_stays_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded_postgres, "WATCH_SECONDS", 3600)  # it is not started again
    monkeypatch.setattr(silent_server, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(model_preloading, "POLL_SECONDS", 0.01)
    with temporary_folder("dead") as folder:
        settings = Settings(
            testing=True,
            postgres_dir=folder / "data",
            test_upload_dir=tmp_path / "uploads",
            thumbnail_dir=tmp_path / "thumbnails",
        )
        with open_services(settings) as services:
            http = local_client(create_app(settings, services))
            assert http.get("/readyz").status_code == 200
            with frozen(folder / "data"):  # issue 21, line 45
                answer = http.get("/readyz")
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
                assert http.get("/healthz").status_code == 200
            assert http.get("/readyz").status_code == 200
            told = [one.getMessage() for one in caplog.records if "database" in one.getMessage()]
            assert [one.split(":")[0].partition(",")[0] for one in told] == [
                "The database is away",
                "The database answers again",
            ]
            stop_postgres(folder / "data")
            answer = http.get("/readyz")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert http.get("/search-by-text?query=tree").status_code == 503
            assert http.post("/upload", files={"file": ("x", png(1))}).status_code == 503
            assert http.get("/healthz").status_code == 200
            stop = threading.Event()
            threading.Timer(0.2, stop.set).start()
            ModelPreloading(services.sessions, services.registry, 2).preload_models(stop)
        assert caplog.text.count("The database is away: ") == 2  # each time once
        assert "Traceback" not in caplog.text  # nothing that is repeated floods the log


def test_readyz_asks_the_database_where_its_count_is_not_told(
    services: Services, settings: Settings
) -> None:
    with services.sessions.begin() as session:
        api_keys.create(session, "default", "tests", "reader", None)
    with statements(services.sessions) as asked:
        http = local_client(create_app(settings, services))
        told = [http.get("/readyz").json() for _ in range(2)]
    assert [one["images"] for one in told] == [None, None]
    assert sum("images" in one for one in asked) >= 2
    with services.sessions.begin() as session:
        session.execute(text("DELETE FROM api_keys"))


def test_errors_of_the_database_do_not_tell_what_was_asked(services: Services) -> None:
    with pytest.raises(DBAPIError) as caught, services.sessions.begin() as session:
        session.execute(text("SELECT 1 / length(:secret) - 1 / 0"), {"secret": "a secret query"})
    assert "secret query" not in str(caught.value)


def stop_postgres(folder: Path) -> None:
    pid = int((folder / "postmaster.pid").read_text().splitlines()[0])
    process = psutil.Process(pid)
    process.terminate()
    process.send_signal(signal.SIGINT)  # fast: does not wait for connections
    process.wait(30)


@pytest.mark.parametrize(
    ("address", "location"),
    [
        ("/healthz/", "../healthz"),
        ("/search-by-text/?query=a+tree&limit=1", "../search-by-text?query=a+tree&limit=1"),
        ("/images/1/file/", "../file"),
        ("/api/v1/collections/", "../collections"),
    ],
)
def test_a_slash_at_the_end_leads_to_the_address_without(
    client: TestClient, address: str, location: str
) -> None:
    """Issue 21, line 36: the redirect named http:// behind TLS."""
    answer = client.get(address, headers={"host": "localhost"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, location)


@pytest.mark.parametrize("address", ["/absent/", "/healthz//", "/absent"])
def test_what_is_nowhere_is_not_redirected(client: TestClient, address: str) -> None:
    assert client.get(address, follow_redirects=False).status_code == 404
