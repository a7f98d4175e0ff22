"""What a worker logs of jobs (issue 20)."""

import logging
import re
import threading
from pathlib import Path

import pytest

from app.ingest.jobs import job_log
from app.ingest.jobs.job_log import MOST_REFUSALS, JobLog
from app.runtime.services import Services
from app.sources.sidecars.annotations import Annotation
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import run, sql, statements

NEVER_A_PICTURE = b"no picture"


class Lines:
    """What this thread logs, which leaves out the worker's own lines on the same jobs."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def records(self) -> list[logging.LogRecord]:
        here = threading.get_ident()
        return [record for record in self._caplog.records if record.thread == here]

    def take(self) -> list[str]:
        """The lines since the last call."""
        found = [record.getMessage() for record in self.records()]
        self._caplog.clear()
        return found


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level(logging.INFO, job_log.__name__)
    return Lines(caplog)


@pytest.mark.usefixtures("worker")
def test_begin_refusals_and_end_are_told_once(
    services: Services, tmp_path: Path, lines: Lines
) -> None:
    watched = JobLog(services.sessions)
    watched.look()
    (tmp_path / "good.png").write_bytes(png(1))
    (tmp_path / "bad.png").write_bytes(NEVER_A_PICTURE)
    job = run(services, tmp_path)
    watched.look()
    watched.look()
    began, refused, ended = lines.take()
    assert began == f"job {job.id} began: folder {tmp_path}, collection default/default"
    assert refused.startswith(f"job {job.id} refused {tmp_path / 'bad.png'}: This is not a picture")
    assert re.fullmatch(rf"job {job.id} succeeded after \d+\.\d s: 1 added, 1 refused", ended)
    JobLog(services.sessions).look()  # a process that starts later
    assert lines.take() == []


@pytest.mark.usefixtures("worker")
def test_a_refused_address_is_told_also_where_it_is_malformed(
    services: Services, lines: Lines
) -> None:
    watched = JobLog(services.sessions)
    watched.look()
    job_id = services.job_submission.urls(["http://[a.example/x.jpg?key=1"], Annotation())
    services.job_submission.follow(job_id)
    watched.look()
    _, refused, _ = lines.take()
    assert refused.startswith(f"job {job_id} refused http://[a.example/x.jpg: ")


@pytest.mark.usefixtures("worker")
def test_many_refusals_do_not_fill_the_log(
    services: Services, tmp_path: Path, lines: Lines
) -> None:
    watched = JobLog(services.sessions)
    watched.look()
    for n in range(MOST_REFUSALS + 5):
        (tmp_path / f"{n}.png").write_bytes(NEVER_A_PICTURE)
    run(services, tmp_path)
    watched.look()
    found = lines.take()
    assert sum(" refused /" in line for line in found) == MOST_REFUSALS
    assert found[-1].endswith(f": {MOST_REFUSALS + 5} refused")


def test_progress_and_a_failure_are_told(
    services: Services,
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job in each state, written as workers write it, in a queue that none works on."""
    watched = JobLog(services.sessions)
    ((job_id,),) = sql(
        services,
        "INSERT INTO jobs (collection_id, source, mode, dry_run, queue, listed, total) "
        "SELECT id, '{\"urls\": [\"http://a.example\"]}', 'add', false, 'nobody', true, 500 "
        "FROM collections RETURNING id",
    )
    watched.look()
    assert lines.take() == []  # it waits
    sql(
        services,
        "UPDATE jobs SET state = 'running', started_at = now() - interval '10 seconds', "
        "updated_at = now(), added = 99, failed = 1 WHERE id = :id",
        id=job_id,
    )
    watched.look()
    watched.look()
    monkeypatch.setattr(job_log, "PROGRESS_SECONDS", 0)
    watched.look()
    sql(
        services,
        "UPDATE jobs SET state = 'failed', reason = 'The disk is gone.', finished_at = now() "
        "WHERE id = :id",
        id=job_id,
    )
    watched.look()
    assert lines.records()[-1].levelname == "WARNING"
    began, progress, ended = lines.take()
    assert began == f"job {job_id} began: urls 1, collection default/default"
    assert progress == f"job {job_id}: 100 of 500, 10.0 a second, 40 s left, 1 refused"
    assert ended.startswith(f"job {job_id} failed after 10.")
    assert ended.endswith(": 99 added, 1 refused; The disk is gone.")


def test_addresses_are_told_without_what_may_be_secret() -> None:
    assert job_log._without_query("https://me:pass@a.example/x.jpg?key=1") == (
        "https://a.example/x.jpg"
    )
    assert job_log._without_query("/pictures/what?.jpg") == "/pictures/what?.jpg"
    assert job_log._without_query("http://a.example#top") == "http://a.example"
    assert job_log._without_query("http://me:pass@[x/y.jpg?key=1") == "http://[x/y.jpg"


def test_nothing_is_asked_where_nobody_would_see_it(services: Services) -> None:
    with statements(services.sessions) as asked:
        JobLog(services.sessions).look()
    assert asked == []
