"""Indexing a folder: what changes between two runs, and what a kill leaves."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from app.assembly import Services
from app.errors import SourceUnreadable
from app.settings import ROOT, Settings
from tests.drawing import png
from tests.environment import bare

KILLS = 3
PICTURES = 120


@pytest.fixture
def folder(tmp_path: Path, services: Services) -> Iterator[Path]:
    """A folder of five pictures, one in a sub-folder; the index is emptied afterwards."""
    for seed in range(4):
        (tmp_path / f"{seed}.png").write_bytes(png(seed))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "4.png").write_bytes(png(4))
    yield tmp_path
    with services.ingest.sessions.begin() as session:
        session.execute(text("DELETE FROM images"))


def rows(services: Services) -> dict[str, int]:
    """The id of each picture by its file's name; checks that each has exactly one vector."""
    with services.ingest.sessions.begin() as session:
        query = text(
            "SELECT path, id, (SELECT count(*) FROM embeddings WHERE image_id = images.id) "
            "FROM images"
        )
        found = session.execute(query).all()
    assert all(vectors == 1 for _, _, vectors in found)
    return {Path(path).name: image_id for path, image_id, _ in found}


def hnsw_exists(services: Services) -> bool:
    with services.ingest.sessions.begin() as session:
        query = text("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%USING hnsw%'")
        return bool(session.execute(query).scalar_one() == 1)


def test_a_second_run_does_nothing(services: Services, folder: Path) -> None:
    first = services.ingest.index_folder(folder)
    before = rows(services)
    second = services.ingest.index_folder(folder)
    assert (first.added, second.added, second.unchanged) == (5, 0, 5)
    assert rows(services) == before
    assert hnsw_exists(services)


def test_a_touched_file_is_recognised_by_its_content(services: Services, folder: Path) -> None:
    services.ingest.index_folder(folder)
    os.utime(folder / "0.png")
    report = services.ingest.index_folder(folder)
    assert (report.added, report.changed, report.unchanged) == (0, 0, 5)


def test_a_changed_file_keeps_its_id_and_is_found_by_its_new_content(
    services: Services, folder: Path
) -> None:
    services.ingest.index_folder(folder)
    before = rows(services)
    (folder / "0.png").write_bytes(png(50))
    report = services.ingest.index_folder(folder)
    assert (report.added, report.changed, report.unchanged) == (0, 1, 4)
    assert rows(services) == before
    best = services.search.by_image(png(50), 1)[0]
    assert (best.image.id, best.distance < 0.01) == (before["0.png"], True)


def test_a_moved_file_keeps_its_id_without_a_new_vector(services: Services, folder: Path) -> None:
    services.ingest.index_folder(folder)
    before = rows(services)
    (folder / "0.png").rename(folder / "deep" / "moved.png")
    report = services.ingest.index_folder(folder)
    assert (report.added, report.moved, report.vanished) == (0, 1, [])
    assert rows(services)["moved.png"] == before["0.png"]


def test_a_copy_is_no_move(services: Services, folder: Path) -> None:
    services.ingest.index_folder(folder)
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    report = services.ingest.index_folder(folder)
    assert (report.added, report.moved) == (1, 0)


def test_two_copies_of_a_vanished_file_claim_it_once(services: Services, folder: Path) -> None:
    services.ingest.index_folder(folder)
    (folder / "0.png").rename(folder / "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    report = services.ingest.index_folder(folder)
    assert (report.added, report.moved) == (1, 1)
    assert set(rows(services)) == {"a.png", "b.png", "1.png", "2.png", "3.png", "4.png"}


def test_a_vanished_file_is_reported_and_pruned_when_asked(
    services: Services, folder: Path
) -> None:
    services.ingest.index_folder(folder)
    (folder / "0.png").unlink()
    report = services.ingest.index_folder(folder)
    assert [Path(path).name for path in report.vanished] == ["0.png"]
    assert (report.pruned, "0.png" in rows(services)) == (0, True)
    report = services.ingest.index_folder(folder, prune=True)
    assert (report.pruned, "0.png" in rows(services)) == (1, False)


def test_an_empty_mountpoint_is_not_pruned(services: Services, folder: Path) -> None:
    services.ingest.index_folder(folder)
    for path in folder.rglob("*.png"):
        path.unlink()
    with pytest.raises(SourceUnreadable, match="is its disk mounted"):
        services.ingest.index_folder(folder, prune=True)
    assert len(rows(services)) == 5


def test_two_runs_over_one_folder_take_turns(services: Services, folder: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(services.ingest.index_folder, [folder, folder]))
    assert sorted(report.added for report in runs) == [0, 5]
    assert len(rows(services)) == 5


def test_pruning_leaves_other_folders_alone(
    services: Services, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "9.png").write_bytes(png(9))
    services.ingest.index_folder(other)
    services.ingest.index_folder(folder, prune=True)
    assert "9.png" in rows(services)


def test_a_bad_file_neither_stops_nor_shifts_its_batch(services: Services, folder: Path) -> None:
    (folder / "1a.png").write_bytes(png(7)[:50])
    (folder / "2a.png").write_bytes(b"text")
    (folder / os.fsdecode(b"\xff.png")).write_bytes(png(8))
    (folder / "locked.png").symlink_to("/proc/self/mem")  # opens, and cannot be read
    report = services.ingest.index_folder(folder)
    reasons = {Path(one.path).name: one.reason for one in report.refused}
    assert report.added == 5
    assert "damaged" in reasons["1a.png"]
    assert "not a picture" in reasons["2a.png"]
    assert "cannot be read" in reasons["locked.png"]
    assert any("UTF-8" in reason for reason in reasons.values())
    for seed in range(5):
        best = services.search.by_image(png(seed), 1)[0]
        assert Path(best.image.path).name == f"{seed}.png"


def test_progress_reaches_the_total(services: Services, folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    services.ingest.index_folder(folder, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 5)
    assert seen[-1] == (5, 5)


def test_a_stop_ends_the_run_and_the_next_one_finishes(services: Services, folder: Path) -> None:
    stop = threading.Event()
    stop.set()
    assert services.ingest.index_folder(folder, stop=stop).added == 0
    assert services.ingest.index_folder(folder).added == 5
    assert hnsw_exists(services)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for seed in range(PICTURES):
        (folder / f"{seed:03}.png").write_bytes(png(1000 + seed, (300, 300)))
    return folder


def test_killed_at_any_moment_and_run_again(
    services: Services, settings: Settings, many: Path
) -> None:
    environment = bare(TESTING="1", DATABASE_URL=str(settings.database_url), BATCH_SIZE="4")
    command = [sys.executable, "-m", "scripts.ingest", str(many)]
    chance = random.Random(3)
    killed = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        _wait_for_rows(services, process)
        time.sleep(chance.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.communicate()
    assert killed, "every run was over before its kill: the test shows nothing"
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert sorted(rows(services)) == [f"{seed:03}.png" for seed in range(PICTURES)]
    assert hnsw_exists(services)


def _wait_for_rows(services: Services, process: subprocess.Popen[str]) -> None:
    """Wait until the run has written something new, or has ended."""
    before = len(rows(services))
    while process.poll() is None and len(rows(services)) == before < PICTURES:
        time.sleep(0.02)
