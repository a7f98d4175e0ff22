"""Real Postgres, the real demo model, real files: nothing of ours is replaced."""

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, create_engine, make_url, text
from starlette.types import ASGIApp

from app.database import connections, migrating
from app.database.embedded.embedded_postgres import embedded_server
from app.database.embedded.postgres_programs import temporary_folder
from app.encoders.hardware import cores
from app.index import vector_indexes
from app.main import create_app
from app.runtime.assembly import open_services
from app.runtime.services import Services
from app.setting_names import names_of
from app.settings import ROOT, Settings
from app.vectors import VectorSpace

if TYPE_CHECKING:
    from tests.fixtures.s3_server import S3

# Whatever the developer has set for a server of their own is not for tests.
for _field in Settings.model_fields:
    for _name in names_of(_field):
        os.environ.pop(_name, None)
os.environ["ENV_FILE"] = os.devnull
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of torch: the test run has a worker for each core

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of a run in a shell's background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests send it to what they start

SHARED = ROOT.parent / "shared"
TEST_IMAGES = ROOT / "data" / "test_images"


SLOW = (
    *("test_fuzz", "test_fast_start", "test_start", "test_checkpoints", "test_crash"),
    *("test_download_images", "test_paging", "test_evaluation", "test_keys", "test_model_pool"),
    *("test_sync", "test_folder", "test_timeouts", "test_hung_disk", "test_two_models"),
    *("test_paged_scans", "test_recall", "test_runtime_choice", "test_collection_registry"),
    *("test_route_matrix", "test_memory_budget", "test_openvino", "test_reindex", "test_doctor"),
    *("test_filters", "test_evaluate_graph", "test_lock_files", "test_major_upgrade"),
    *("test_precision_choice", "test_graph_tuning"),
)


def pytest_xdist_auto_num_workers() -> int | None:
    """One worker more than there are cores: tests wait too, for polls, pauses and retries."""
    known = cores()
    return None if known is None or "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else known + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow modules, so that the workers end together."""
    items.sort(key=lambda item: not item.path.stem.startswith(SLOW))


def pytest_collection_finish() -> None:
    """Let searches for garbage pass over what is imported: 0.4 s each, where all tests are."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Else libraries complain of leaks at the end."""
    gc.unfreeze()


def local_client(app: ASGIApp, **options: Any) -> TestClient:
    """HTTP by a name of this machine, since an open service answers no other.

    An exception in the application is an answer of 500, as in a real server.
    """
    return TestClient(app, "http://127.0.0.1", raise_server_exceptions=False, **options)


@pytest.fixture
def search_by_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search small indexes, even empty ones, by their HNSW graph, as large ones are."""
    monkeypatch.setattr(vector_indexes, "EXACT_ROWS", -1)
    monkeypatch.setattr(vector_indexes, "MOST_EXACT_ROWS", -1)


@pytest.fixture
def kept_signals() -> Iterator[None]:
    """The handlers of signals afterwards as before: commands set their own."""
    handlers = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for one, handler in handlers.items():
        signal.signal(one, handler)


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A Postgres of the test run's own."""
    with temporary_folder("pg") as folder, embedded_server(folder / "data") as url:
        with administrator(url) as connection:  # nothing here is to outlive a loss of power
            connection.execute(text("ALTER SYSTEM SET fsync = off"))
            connection.execute(text("SELECT pg_reload_conf()"))
        yield url


@pytest.fixture(scope="session")
def migrated(server_url: str) -> str:
    """The name of a database that is migrated and otherwise empty."""
    migrating.create_database(server_url, "migrated")
    engine = connections.open_engine(address(server_url, "migrated"))
    migrating.migrate(engine)
    engine.dispose()
    return "migrated"


@pytest.fixture(scope="module")
def database_url(server_url: str, migrated: str, request: pytest.FixtureRequest) -> str:
    """An empty database for the module, a copy of the migrated one."""
    name = request.module.__name__.removeprefix("tests.").replace(".", "_")
    with administrator(server_url) as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{migrated}"'))
    url = address(server_url, name)
    with administrator(url) as connection:
        connection.execute(text("UPDATE installation SET identity = md5(random()::text)"))
    return url


@contextmanager
def administrator(server_url: str) -> Iterator[Connection]:
    """A connection each of whose statements is a transaction of its own."""
    engine = create_engine(
        make_url(server_url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def address(server_url: str, database: str) -> str:
    return make_url(server_url).set(database=database).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def settings(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The demo model, with folders of the module's own.

    In fp32: PRECISION=auto takes bf16 on some processors, and rounding decides near-ties.
    """
    folder = tmp_path_factory.mktemp("service")
    return Settings(
        testing=True,
        precision="fp32",
        database_url=database_url,
        postgres_dir=folder / "postgres",
        test_images_dir=folder / "images",
        test_upload_dir=folder / "uploads",
        thumbnail_dir=folder / "thumbnails",
        search_rate="none",
        upload_rate="none",
    )


@pytest.fixture(scope="module")
def services(settings: Settings) -> Iterator[Services]:
    """All services on the module's database."""
    with open_services(settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def worker(services: Services) -> Iterator[None]:
    """The queue is worked on while the module's tests run."""
    with services.working():
        yield


@pytest.fixture(scope="module")
def client(settings: Settings, services: Services) -> Iterator[TestClient]:
    """HTTP to the application; an exception in it is an answer of 500, as in a real server."""
    app = create_app(settings, services)
    with local_client(app) as http:
        yield http


@pytest.fixture
def sessions(database_url: str) -> Iterator[connections.Sessions]:
    """Sessions on the module's database, migrated."""
    engine = connections.open_engine(database_url)
    migrating.migrate(engine)
    yield connections.open_sessions(engine)
    engine.dispose()


@pytest.fixture
def space() -> VectorSpace:
    """A made-up model of four dimensions."""
    return VectorSpace("tiny", "made-up", "f" * 64, 4)


@pytest.fixture(scope="module")
def s3_of_module() -> Iterator["S3"]:
    """A local S3."""
    from tests.fixtures.s3_server import s3_server  # moto takes long to import

    with s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_of_module: "S3") -> "S3":
    """The module's S3 without what an earlier test has left."""
    s3_of_module.reset()
    return s3_of_module


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of photographs beside the project, where there is one."""
    folder = SHARED / "photos"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: no photographs to test with")
    return folder
