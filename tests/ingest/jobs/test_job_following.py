"""A job is followed to its end, whatever becomes of the database meanwhile."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from app.ingest.jobs import job_following
from app.ingest.jobs.jobs import Job
from app.runtime.services import Services
from tests.fixtures.database_outage import outage
from tests.fixtures.folder_jobs import ADD


def test_a_restart_of_the_database_does_not_end_it(
    services: Services, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 21, line 6: the start never said `Ready:`, and its log had a traceback."""
    failed, shown, stop = threading.Event(), threading.Event(), threading.Event()
    job_id = services.job_submission.folder(tmp_path, ADD)

    def look() -> Job:
        try:
            return services.job_submission.job(job_id)
        except OperationalError:
            failed.set()
            raise

    with ThreadPoolExecutor(1) as threads:
        followed = threads.submit(job_following.follow, look, lambda job: shown.set(), stop)
        assert shown.wait(60)
        with outage(database_url):
            assert failed.wait(60)
        shown.clear()
        assert shown.wait(60)
        stop.set()
        assert followed.result(60).id == job_id
        monkeypatch.setattr(job_following, "AWAY_SECONDS", 0.0)
        stop.clear()
        followed = threads.submit(job_following.follow, look, lambda job: shown.set(), stop)
        with outage(database_url), pytest.raises(OperationalError):
            followed.result(60)
