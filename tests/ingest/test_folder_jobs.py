"""Indexing a folder: what changes between two runs, and what a kill or a stop leaves."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.ingest.jobs.job_submission import JobOptions
from app.runtime.assembly import open_services
from app.runtime.services import Services
from app.settings import ROOT, Settings
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import ADD, SYNC, counts, items, nearest, rows, run, sql, vectors
from tests.fixtures.process_environment import bare
from tests.sources.test_folders import too_deep

pytestmark = pytest.mark.usefixtures("worker")

PICTURES = 120
SECONDS = 180  # more than anything here takes: a hang is a failure


@pytest.fixture
def folder(tmp_path: Path, services: Services) -> Iterator[Path]:
    """A folder of five pictures, one in a sub-folder; the index is emptied afterwards."""
    for seed in range(4):
        (tmp_path / f"{seed}.png").write_bytes(png(seed))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "4.png").write_bytes(png(4))
    yield tmp_path
    sql(services, "DELETE FROM images")


@pytest.fixture
def aside(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The same database, but a disk, and so a queue, that the module's worker does not see."""
    folder = tmp_path_factory.mktemp("aside")
    return settings.model_copy(update={"test_upload_dir": folder, "batch_size": 4})


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for seed in range(PICTURES):
        (folder / f"{seed:03}.png").write_bytes(png(1000 + seed, (300, 300)))
    return folder


@pytest.fixture
def _emptied(services: Services) -> Iterator[None]:
    yield
    sql(services, "DELETE FROM images")


def hnsw_exists(services: Services) -> bool:
    query = "SELECT count(*) FROM pg_indexes WHERE indexname ~ '^embeddings_.*hnsw'"
    return sql(services, query) == [(1,)]


def wait_for(there: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_second_run_does_nothing(services: Services, folder: Path) -> None:
    first = run(services, folder)
    before = rows(services), vectors(services)
    second = run(services, folder)
    assert (first.state, counts(first), first.total) == ("succeeded", {"added": 5}, 5)
    assert (second.state, counts(second), second.total) == ("succeeded", {"unchanged": 5}, 5)
    assert services.job_submission.items(second.id, 10) == []
    assert (rows(services), vectors(services)) == before
    assert hnsw_exists(services)


def test_a_touched_file_is_recognised_by_its_content(services: Services, folder: Path) -> None:
    run(services, folder)
    before = vectors(services)
    os.utime(folder / "0.png")
    assert counts(run(services, folder)) == {"unchanged": 5}
    touched = run(services, folder)
    assert (counts(touched), services.job_submission.items(touched.id, 10)) == (
        {"unchanged": 5},
        [],
    )
    assert vectors(services) == before


def test_a_changed_file_keeps_its_id_and_is_found_by_its_new_content(
    services: Services, folder: Path
) -> None:
    run(services, folder)
    before = rows(services)
    (folder / "0.png").write_bytes(png(50))
    assert counts(run(services, folder)) == {"changed": 1, "unchanged": 4}
    assert rows(services) == before
    best = services.search.by_image(png(50), 1).hits[0]
    assert (best.image.id, best.distance < 0.01) == (before["0.png"], True)


def test_a_moved_file_keeps_its_id_without_a_new_vector(services: Services, folder: Path) -> None:
    run(services, folder)
    before, written = rows(services), vectors(services)
    (folder / "0.png").rename(folder / "deep" / "moved.png")
    assert counts(run(services, folder)) == {"moved": 1, "unchanged": 4}
    assert rows(services)["moved.png"] == before["0.png"]
    assert vectors(services) == written


def test_a_copy_is_no_move(services: Services, folder: Path) -> None:
    run(services, folder)
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    assert counts(run(services, folder)) == {"added": 1, "unchanged": 5}


def test_two_copies_of_a_vanished_file_claim_it_once(services: Services, folder: Path) -> None:
    run(services, folder)
    (folder / "0.png").rename(folder / "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    assert counts(run(services, folder)) == {"added": 1, "moved": 1, "unchanged": 4}
    assert set(rows(services)) == {"a.png", "b.png", "1.png", "2.png", "3.png", "4.png"}


def test_a_vanished_file_is_reported_and_forgotten_when_asked(
    services: Services, folder: Path
) -> None:
    run(services, folder)
    (folder / "0.png").unlink()
    job = run(services, folder)
    assert counts(job) == {"gone": 1, "unchanged": 4}
    assert [Path(item.path).name for item in services.job_submission.every(job.id, "gone")] == [
        "0.png"
    ]
    assert "0.png" in rows(services)
    assert counts(run(services, folder, SYNC)) == {"removed": 1, "unchanged": 4}
    assert "0.png" not in rows(services)


def test_two_runs_over_one_folder_embed_each_file_once(services: Services, folder: Path) -> None:
    started = [services.job_submission.folder(folder, ADD) for _ in range(2)]
    ended = [services.job_submission.follow(job_id) for job_id in started]
    assert [job.state for job in ended] == ["succeeded", "succeeded"]
    assert all(job.added + job.changed + job.unchanged == 5 for job in ended)
    assert len(rows(services)) == 5


def test_other_folders_are_left_alone(
    services: Services, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    beside = folder.with_name(f"{folder.name}-2")  # the one's name begins the other's
    others = [beside, tmp_path_factory.mktemp("other")]
    for number, other in enumerate(others):
        other.mkdir(exist_ok=True)
        (other / f"9{number}.png").write_bytes(png(90 + number))
        run(services, other)
    assert counts(run(services, folder, SYNC)) == {"added": 5}
    assert {"90.png", "91.png"} < set(rows(services))


def test_a_folder_that_cannot_be_listed_is_said_so(services: Services, folder: Path) -> None:
    too_deep(folder)
    job = run(services, folder)
    assert (job.state, counts(job)) == ("succeeded", {"added": 5, "failed": 1})
    (named,) = services.job_submission.items(job.id, 10, state="failed")
    assert "cannot be listed: File name too long" in str(named.reason)
    job = run(services, folder / "nowhere")
    assert (job.state, "nowhere is not a folder" in str(job.reason)) == ("failed", True)


def test_a_bad_file_neither_stops_nor_shifts_its_batch(services: Services, folder: Path) -> None:
    (folder / "1a.png").write_bytes(png(7)[:50])
    (folder / "2a.png").write_bytes(b"text")
    (folder / os.fsdecode(b"\xff.png")).write_bytes(png(8))
    (folder / "locked.png").symlink_to("/proc/self/mem")  # opens, and cannot be read
    job = run(services, folder)
    assert (job.state, counts(job)) == ("succeeded", {"added": 5, "failed": 4})
    refused = items(services, job)
    odd = next(item for name, item in refused.items() if name.endswith("ff.png"))
    assert "damaged" in str(refused["1a.png"].reason)
    assert "not a picture" in str(refused["2a.png"].reason)
    assert "cannot be read" in str(refused["locked.png"].reason)
    assert "not UTF-8" in str(odd.reason)
    attempts = {name: refused[name].attempts for name in ("1a.png", "locked.png")}
    assert attempts == {"1a.png": 1, "locked.png": 3}  # a disk may answer another time
    for seed in range(5):
        assert nearest(services, png(seed))[0] == f"{seed}.png"


def test_many_names_that_are_no_utf_8_hide_nothing(services: Services, folder: Path) -> None:
    """More of them at a time than are listed at once: what is gone is still told once."""
    run(services, folder)
    (folder / "1.png").unlink()
    odd = folder / os.fsdecode(b"!\xff")
    odd.mkdir()
    for number in range(1_001):
        (odd / f"{number}.png").touch()
    assert counts(run(services, folder)) == {"unchanged": 4, "gone": 1, "failed": 1_001}


def test_what_is_passed_over_is_counted(
    services: Services, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Issue 16, folders; a folder that is linked is indexed once, by those who may read all."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "7.png").write_bytes(png(7))
    (folder / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    for name in (".DS_Store", "Thumbs.db", "1.png.xmp", "notes.txt"):
        (folder / name).write_bytes(b"x")
    asked = run(services, folder)
    assert counts(asked) == {"added": 5, "failed": 1}
    assert (asked.total, asked.ignored, asked.companions) == (6, 2, 2)
    followed = run(services, folder, JobOptions(follow_links=True))
    assert counts(followed) == {"added": 1, "unchanged": 5}
    assert (followed.total, followed.ignored, followed.companions) == (6, 3, 2)
    again = run(services, folder, SYNC)
    assert counts(again) == {"unchanged": 5, "failed": 1}, "what the link leads to is kept"
    assert len(rows(services)) == 6


def test_progress_reaches_the_total(services: Services, folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    job_id = services.job_submission.folder(folder, ADD)
    services.job_submission.follow(job_id, lambda job: seen.append((job.done, job.total)))
    assert seen == sorted(seen)
    assert seen[-1] == (5, 5)


@pytest.mark.usefixtures("_emptied")
def test_a_stopped_worker_gives_back_and_another_finishes(aside: Settings, many: Path) -> None:
    with open_services(aside) as services:
        job_id = services.job_submission.folder(many, ADD)
        with services.working():
            wait_for(lambda: services.job_submission.job(job_id).added > 0)
        job = services.job_submission.job(job_id)
        assert (job.state, 0 < job.added < PICTURES) == ("running", True)
        assert services.job_submission.items(job_id, 1, state="running") == []
    with open_services(aside) as services, services.working():
        job = services.job_submission.follow(job_id)
        assert (job.state, counts(job)) == ("succeeded", {"added": PICTURES})
        assert {item.attempts for item in items(services, job).values()} == {1}
        assert len(rows(services)) == PICTURES
        assert hnsw_exists(services)


@pytest.mark.usefixtures("_emptied")
def test_a_killed_command_is_run_again(services: Services, aside: Settings, many: Path) -> None:
    environment = bare(
        TESTING="1", BATCH_SIZE="4", DATABASE_URL=str(aside.database_url),
        TEST_UPLOAD_DIR=str(aside.test_upload_dir), THUMBNAIL_DIR=str(aside.thumbnail_dir),
    )  # fmt: skip
    command = [sys.executable, "-m", "scripts.ingest", "--dir", str(many)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: process.poll() is not None or bool(rows(services)))
        time.sleep(random.uniform(0, 0.2))
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL, "the run was over before its kill"
    assert 0 < len(rows(services)) < PICTURES
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert sorted(rows(services)) == [f"{seed:03}.png" for seed in range(PICTURES)]
    assert hnsw_exists(services)
