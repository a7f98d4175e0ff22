"""Workers in processes of their own: together, and killed at any moment."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text

from app.catalog.collections import NewCollection
from app.database.tables import VectorIndex
from app.index import generations, vector_indexes
from app.ingest.jobs.job_submission import JobOptions
from app.main import create_app
from app.runtime.assembly import open_services
from app.runtime.known_collections import KnownCollection
from app.runtime.models import default_model
from app.runtime.reindexing.changes import Changes
from app.runtime.services import Services
from app.settings import ROOT, Settings
from app.storage.disk import PART
from tests.conftest import local_client
from tests.fixtures.http_jobs import working
from tests.fixtures.process_environment import bare

RUNS = int(os.environ.get("CRASH_RUNS", "0"))  # make test-crash; otherwise a short version
KILLS, CRASH_PICTURES = (20, 2_000) if RUNS else (2, 300)
REINDEXED = 60  # pictures
SHARED_PICTURES = 2_000 if RUNS else 400
LEASE_SECONDS = 4.0  # so that a test need not wait long for what a dead worker held
LIFE_SECONDS = (0.05, 1.0)  # of a worker at work before it is killed, where it is not too fast
BIRTH_SECONDS = (0.5, 6.0)  # of one that is killed while it still starts
END_SECONDS = 180.0


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """No worker in this process; a dead one's batch is taken up soon."""
    return settings.model_copy(
        update={
            "worker": "none",
            "lease_seconds": LEASE_SECONDS,
            "test_upload_dir": tmp_path / "uploads",
            "thumbnail_dir": tmp_path / "thumbnails",
            "source_dirs": (tmp_path,),
        }
    )


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    """The services of a process without a worker; the catalog is empty."""
    with open_services(settings) as opened:
        with opened.job_submission.sessions.begin() as session:
            session.execute(text("TRUNCATE images RESTART IDENTITY CASCADE"))
            session.execute(text("DELETE FROM jobs"))  # TRUNCATE would take the indexes along
            session.execute(text("TRUNCATE procrastinate_jobs CASCADE"))
            session.execute(text("SELECT pg_stat_reset()"))
        yield opened


def draw(folder: Path, number: int) -> Path:
    """So many small pictures, all different."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    for n in range(number):
        pixels = rng.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(pixels).resize((48, 48)).save(folder / f"{n:05}.png")
    return folder


@contextmanager
def worker_process(settings: Settings, **further: str) -> Iterator[subprocess.Popen[str]]:
    """`make worker` on the same database and disk, with further settings."""
    environment = bare(
        TESTING="1",
        DATABASE_URL=settings.database_url or "",
        TEST_UPLOAD_DIR=str(settings.test_upload_dir),
        THUMBNAIL_DIR=str(settings.thumbnail_dir),
        LEASE_SECONDS=str(settings.lease_seconds),
        **further,
    )
    command = [sys.executable, "-m", "scripts.worker"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until_it_works(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Working:")


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def wait_for_end(services: Services, job_id: int) -> None:
    deadline = time.monotonic() + END_SECONDS
    while services.job_submission.job(job_id).finished_at is None:
        assert time.monotonic() < deadline, services.job_submission.job(job_id)
        time.sleep(0.1)


def wait_for_progress(services: Services, job_id: int, added: int, seconds: float) -> None:
    """Until so many pictures are added, but no longer than so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and services.job_submission.job(job_id).added < added:
        time.sleep(0.005)


def numbers(services: Services) -> dict[str, int]:
    """Rows and vectors, and how many vectors were ever written."""
    partition = services.search.index.partition
    with services.job_submission.sessions.begin() as session:
        return {
            name: session.execute(text(query)).scalar_one()
            for name, query in {
                "rows": "SELECT count(*) FROM images",
                "vectors": "SELECT count(DISTINCT image_id) FROM embeddings",
                "written": "SELECT coalesce(sum(n_tup_ins + n_tup_upd), 0) "
                f"FROM pg_stat_user_tables WHERE relname = '{partition}'",
            }.items()
        }


def parts(settings: Settings) -> list[Path]:
    folders = (settings.test_upload_dir, settings.thumbnail_dir)
    return [path for folder in folders for path in folder.rglob(f"{PART}*")]


def test_two_workers_share_the_work_and_embed_each_picture_once(
    settings: Settings, services: Services, tmp_path: Path
) -> None:
    folder = draw(tmp_path / "pictures", SHARED_PICTURES)
    with (
        local_client(create_app(settings, services)) as api,
        worker_process(settings) as first,
        worker_process(settings) as second,
    ):
        until_it_works(first)
        until_it_works(second)
        accepted = api.post("/api/v1/images", json={"source": {"folder": str(folder)}}).json()
        job_id = accepted["job_id"]
        wait_for_end(services, job_id)
        assert api.get(accepted["url"]).json()["status"] == "succeeded"
        job = services.job_submission.job(job_id)
        items = list(services.job_submission.every(job_id, "added"))
        stop(first)
        stop(second)
    assert (job.state, job.added, job.done) == ("succeeded", SHARED_PICTURES, SHARED_PICTURES)
    assert {item.attempts for item in items} == {1}
    shares = [sum(item.worker == name for item in items) for name in {i.worker for i in items}]
    assert len(shares) == 2
    assert min(shares) > SHARED_PICTURES / 5
    found = numbers(services)
    assert found == dict.fromkeys(("rows", "vectors", "written"), SHARED_PICTURES)


@pytest.mark.parametrize("run", range(RUNS or 1))
def test_a_worker_killed_at_random_moments_loses_and_doubles_nothing(
    settings: Settings, services: Services, tmp_path: Path, run: int
) -> None:
    folder = draw(tmp_path / "pictures", CRASH_PICTURES)
    moments = random.Random(run)
    job_id = services.job_submission.folder(folder, JobOptions())
    for kill in range(KILLS):
        most = CRASH_PICTURES * (kill + 1) // (KILLS + 2)  # a fast machine has not ended before
        with worker_process(settings) as process:
            if kill % 5 == 4:
                life = moments.uniform(*BIRTH_SECONDS)
            else:
                until_it_works(process)
                life = moments.uniform(*LIFE_SECONDS)
            wait_for_progress(services, job_id, most, life)
            process.kill()
            process.wait()
    killed_at = services.job_submission.job(job_id)
    assert killed_at.finished_at is None, "the kills came too late to prove anything"
    with worker_process(settings) as process:
        until_it_works(process)
        wait_for_end(services, job_id)
        stop(process)
    job = services.job_submission.job(job_id)
    assert (job.state, job.total, job.added) == ("succeeded", CRASH_PICTURES, CRASH_PICTURES)
    found = numbers(services)
    assert (found["rows"], found["vectors"]) == (CRASH_PICTURES, CRASH_PICTURES)
    assert {
        finding.name: list(finding.found) for finding in services.doctor.examine().findings
    } == ({finding.name: [] for finding in services.doctor.examine().findings})
    assert parts(settings) == []


@pytest.mark.skipif(not RUNS, reason="waits for a whole lease: make test-crash")
def test_a_dead_workers_batch_is_taken_up_by_one_that_lives(
    settings: Settings, services: Services, tmp_path: Path
) -> None:
    """With the lease that people have: within a minute."""
    patient = settings.model_copy(update={"lease_seconds": Settings().lease_seconds})
    folder = draw(tmp_path / "pictures", 600)
    with worker_process(patient) as doomed:
        until_it_works(doomed)
        job_id = services.job_submission.folder(folder, JobOptions())
        while services.job_submission.job(job_id).added == 0:
            time.sleep(0.02)
        doomed.kill()
        doomed.wait()
    died = time.monotonic()
    assert 0 < services.job_submission.job(job_id).added < 600
    with worker_process(patient) as process:
        wait_for_end(services, job_id)
        stop(process)
    assert time.monotonic() - died < 60
    assert services.job_submission.job(job_id).added == 600


def test_a_killed_reindexing_is_taken_up_and_embeds_the_rest(
    settings: Settings, services: Services, tmp_path: Path
) -> None:
    """SIGKILL in the middle of a build (issue 18, line 10).

    The active generation is said to be of another model, so that the pictures are embedded again.
    """
    opened = services.registry.create(
        NewCollection("default", "moved"), None, vector_indexes.DEFAULT_SHAPE
    )
    with working(services):
        opened.job_submission.folder(draw(tmp_path / "pictures", REINDEXED), JobOptions())
        wait_until(lambda: count(services, opened.index) == REINDEXED)
    with services.sessions.begin() as session:
        query = text("UPDATE vector_indexes SET model = 'former', fingerprint = 'f' WHERE id = :id")
        session.execute(query, {"id": opened.index.id})
    known = services.registry.find("default", "moved")
    job_id = services.reindexing.submit(known, Changes(default_model(settings)))
    soon = settings.model_copy(update={"lease_seconds": 2.0})
    with worker_process(soon, BATCH_SIZE="1") as doomed:
        wait_until(lambda: count(services, built(services, known)) > 0)
        doomed.kill()
        doomed.wait()
    assert 0 < count(services, built(services, known)) < REINDEXED, "killed too late"
    with worker_process(soon) as process:
        wait_for_end(services, job_id)
        stop(process)
    job = services.job_submission.job(job_id)
    assert (job.state, job.total, job.added, job.failed) == ("succeeded", REINDEXED, REINDEXED, 0)
    ready = built(services, known)
    assert ready is not None
    activated = services.reindexing.activate(known, ready.id)
    assert (activated.missing, activated.index.model) == (0, opened.index.model)
    hits = services.registry.open("default", "moved").search.by_text("a car", REINDEXED).hits
    assert len(hits) == REINDEXED


def built(services: Services, known: KnownCollection) -> VectorIndex | None:
    """The generation beside the active one, if it is there."""
    with services.sessions.begin() as session:
        newest, *_ = generations.of_collection(session, known.collection.id)
    return newest.index if newest.index.id != known.index.id else None


def count(services: Services, index: VectorIndex | None) -> int:
    """How many vectors are committed."""
    if index is None:
        return 0
    with services.sessions.begin() as session:
        return vector_indexes.count_vectors(session, index)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + END_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)
