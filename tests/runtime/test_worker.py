"""The worker through a restart of its database (issue 21, line 45)."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from psycopg.errors import OperationalError as DriverError
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.database.embedded.postgres_programs import temporary_folder
from app.database.embedded.postmaster import PID_FILE
from app.runtime.assembly import open_services
from app.runtime.services import Services
from app.settings import Settings

BACK_SECONDS = 30  # far more than it takes
LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
LAST_HEARTBEAT = "SELECT max(last_heartbeat)::text FROM procrastinate_workers"


def asked(services: Services, query: str) -> object:
    """Its answer; None while the database is away."""
    try:
        with services.sessions() as session:
            return session.execute(text(query)).scalar_one()
    except (OperationalError, DriverError):
        return None


def wait_until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + BACK_SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_worker_listens_and_has_a_heartbeat_after_a_restart_of_its_database(
    tmp_path: Path,
) -> None:
    with temporary_folder("work") as folder:
        settings = Settings(
            testing=True,
            postgres_dir=folder / "data",
            test_upload_dir=tmp_path / "uploads",
            thumbnail_dir=tmp_path / "thumbnails",
            lease_seconds=1,
        )
        with open_services(settings) as services, services.working():
            wait_until(lambda: asked(services, LISTENERS))
            pid = int((folder / "data" / PID_FILE).read_text().splitlines()[0])
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: asked(services, "SELECT 1") is None)
            wait_until(lambda: asked(services, LISTENERS))
            before = asked(services, LAST_HEARTBEAT)
            wait_until(lambda: asked(services, LAST_HEARTBEAT) != before)
