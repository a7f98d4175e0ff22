"""Folders that are kept in step as they change: a real watcher on real folders."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.assembly import Services
from app.errors import SettingsInvalid
from app.main import serve
from app.settings import Settings
from app.sources import QUIET_SECONDS
from app.watch import Watcher
from tests.drawing import png
from tests.runs import ADD, SYNC, rows, run, sql, vectors

pytestmark = pytest.mark.usefixtures("worker")

SECONDS = 5.0  # after so long a change is in the index
PIECES, PAUSE_SECONDS = 8, 0.3


@pytest.fixture
def folder(tmp_path: Path, services: Services) -> Iterator[Path]:
    """A folder of three pictures, one in a sub-folder, that nobody knows yet."""
    folder = tmp_path / "watched"
    (folder / "deep").mkdir(parents=True)
    for seed in range(3):
        (folder / ("deep" if seed > 1 else "") / f"{seed}.png").write_bytes(png(seed))
    yield folder
    sql(services, "DELETE FROM images")


@contextmanager
def watching(services: Services, *folders: Path) -> Iterator[None]:
    """Watch on a thread; what was there before is in the index from the start."""
    stop = threading.Event()
    thread = threading.Thread(target=Watcher(services.intake, folders).run, args=(stop,))
    thread.start()
    try:
        yield
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join(SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def watched(services: Services, folder: Path) -> Iterator[Path]:
    """The folder, watched, its pictures in the index and all first jobs over."""
    with watching(services, folder):
        wait_for(lambda: names(services) == {"0.png", "1.png", "2.png"})
        wait_for(lambda: not jobs_open(services))
        yield folder


def names(services: Services) -> set[str]:
    return set(rows(services))


def jobs_open(services: Services) -> bool:
    return bool(sql(services, "SELECT 1 FROM jobs WHERE finished_at IS NULL"))


def jobs_made(services: Services) -> int:
    return len(services.intake.jobs(None, None, 10_000))


def wait_for(there: Callable[[], bool], seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)


def test_a_new_file_is_added(services: Services, watched: Path) -> None:
    (watched / "new.png").write_bytes(png(20))
    (watched / "fresh").mkdir()
    (watched / "fresh" / "newer.png").write_bytes(png(21))
    wait_for(lambda: names(services) == {"0.png", "1.png", "2.png", "new.png", "newer.png"})
    (watched / "fresh" / "newest.png").write_bytes(png(22))
    wait_for(lambda: "newest.png" in names(services))


def test_a_changed_file_and_its_sidecar_are_read_again(services: Services, watched: Path) -> None:
    (watched / "0.png").write_bytes(png(30))
    wait_for(lambda: services.search.by_image(png(30), 1)[0].distance < 0.01)
    (watched / "deep" / "2.png.json").write_text('{"caption": "A hill"}')
    wait_for(lambda: bool(sql(services, "SELECT 1 FROM images WHERE caption = 'A hill'")))


def test_a_moved_file_keeps_its_id_and_vector(services: Services, watched: Path) -> None:
    before, written = rows(services), vectors(services)
    (watched / "0.png").rename(watched / "deep" / "moved.png")
    wait_for(lambda: names(services) == {"moved.png", "1.png", "2.png"})
    assert rows(services)["moved.png"] == before["0.png"]
    assert vectors(services) == written


def test_a_renamed_folder_keeps_its_pictures_and_is_watched_on(
    services: Services, watched: Path
) -> None:
    before, written = rows(services), vectors(services)
    (watched / "deep").rename(watched / "deeper")
    there = "SELECT id FROM images WHERE path LIKE '%/deeper/2.png'"
    wait_for(lambda: sql(services, there) == [(before["2.png"],)])
    assert vectors(services) == written
    (watched / "deeper" / "new.png").write_bytes(png(20))
    wait_for(lambda: "new.png" in names(services))
    (watched / "deeper" / "2.png").unlink()
    wait_for(lambda: "2.png" not in names(services))


def test_a_removed_file_and_a_removed_folder_are_forgotten(
    services: Services, watched: Path
) -> None:
    (watched / "0.png").unlink()
    wait_for(lambda: names(services) == {"1.png", "2.png"})
    shutil.rmtree(watched / "deep")
    wait_for(lambda: names(services) == {"1.png"})


def test_all_files_may_be_removed(services: Services, watched: Path) -> None:
    for path in watched.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    wait_for(lambda: names(services) == set())


def test_folders_moved_in_and_out(services: Services, watched: Path) -> None:
    outside = watched.with_name("outside")
    (watched / "deep").rename(outside)
    wait_for(lambda: names(services) == {"0.png", "1.png"})
    outside.rename(watched / "back")
    wait_for(lambda: "2.png" in names(services))


def test_a_file_that_grows_slowly_is_taken_once_it_is_whole(
    services: Services, watched: Path
) -> None:
    before = jobs_made(services)
    data = png(40, (400, 400))
    size = len(data) // PIECES + 1
    with (watched / "slow.png").open("wb") as file:
        for start in range(0, len(data), size):
            file.write(data[start : start + size])
            file.flush()
            (watched / "other.png").write_bytes(png(41 + start))  # others cause syncs meanwhile
            time.sleep(PAUSE_SECONDS)
    wait_for(lambda: {"slow.png", "other.png"} < names(services))
    wait_for(lambda: not jobs_open(services))
    told = "SELECT outcome FROM job_items WHERE path LIKE '%/slow.png'"
    assert sql(services, told) == [("added",)]
    assert services.search.by_image(data, 1)[0].distance < 0.01
    assert jobs_made(services) - before <= 3


def test_a_folder_beside_one_that_is_written_to_waits_for_nothing(
    services: Services, watched: Path
) -> None:
    stop = threading.Event()

    def write_on() -> None:
        with (watched / "deep" / "endless.png").open("wb") as file:
            while not stop.wait(PAUSE_SECONDS):
                file.write(b"x")
                file.flush()

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        time.sleep(QUIET_SECONDS)
        (watched / "new.png").write_bytes(png(20))
        wait_for(lambda: "new.png" in names(services))
    finally:
        stop.set()
        writer.join()
    assert sql(services, "SELECT 1 FROM job_items WHERE path LIKE '%/endless.png'") == []


def test_what_changed_while_nobody_watched_is_found_at_the_start(
    services: Services, folder: Path
) -> None:
    run(services, folder, ADD)
    (folder / "0.png").unlink()
    (folder / "1.png").write_bytes(png(30))
    (folder / "new.png").write_bytes(png(20))
    with watching(services, folder):  # which begins before the new file counts as settled
        wait_for(lambda: names(services) == {"1.png", "2.png", "new.png"})
        wait_for(lambda: services.search.by_image(png(30), 1)[0].distance < 0.01)


def test_an_empty_folder_at_the_start_is_doubted(services: Services, folder: Path) -> None:
    run(services, folder, SYNC)
    shutil.rmtree(folder)
    folder.mkdir()
    with watching(services, folder):
        wait_for(lambda: services.intake.jobs("failed", None, 1) != [])
        time.sleep(QUIET_SECONDS)
        wait_for(lambda: not jobs_open(services))
        assert names(services) == {"0.png", "1.png", "2.png"}
    assert "is its disk mounted" in str(services.intake.jobs("failed", None, 1)[0].reason)


def test_hidden_files_are_ignored(services: Services, watched: Path) -> None:
    before = jobs_made(services)
    (watched / ".new.png").write_bytes(png(20))
    (watched / ".hidden").mkdir()
    (watched / ".hidden" / "new.png").write_bytes(png(21))
    time.sleep(QUIET_SECONDS + 1.0)
    assert jobs_made(services) == before
    (watched / ".new.png").rename(watched / "new.png")  # as many programs write a file
    wait_for(lambda: names(services) == {"0.png", "1.png", "2.png", "new.png"})


def test_a_burst_makes_few_jobs(services: Services, watched: Path) -> None:
    before = jobs_made(services)
    for seed in range(100):
        (watched / f"burst-{seed}.png").write_bytes(png(100 + seed, (16, 16)))
    wait_for(lambda: len(names(services)) == 103, seconds=15)
    time.sleep(QUIET_SECONDS + 0.5)
    assert jobs_made(services) - before <= 3


def test_two_folders_are_watched_each_on_its_own(
    services: Services, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with watching(services, folder, other):
        wait_for(lambda: len(names(services)) == 3)
        (other / "9.png").write_bytes(png(9))
        wait_for(lambda: "9.png" in names(services))
        (other / "9.png").unlink()  # now empty, as was seen
        wait_for(lambda: names(services) == {"0.png", "1.png", "2.png"})


def test_a_folder_to_watch_that_is_not_there_stops_the_start(
    settings: Settings, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    for wrong in (tmp_path / "none", Path(__file__)):
        with pytest.raises(SettingsInvalid, match=f"WATCH_DIRS: {wrong} is not a folder"):
            serve(settings.model_copy(update={"watch_dirs": (there, wrong), "api_port": 1}))
