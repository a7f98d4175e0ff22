"""Folders that are kept in step as they change: a real watcher on real folders."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.errors import SettingsInvalid
from app.ingest import folder_watcher
from app.ingest.folder_watcher import FolderWatcher, _Place
from app.main import serve
from app.runtime.services import Services
from app.settings import Settings
from app.sources.folders import QUIET_SECONDS
from app.sources.mounts import Mount
from tests.fixtures.database_outage import outage
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import ADD, SYNC, run, sql, vectors
from tests.fixtures.hung_disk import hung_disk
from tests.fixtures.written_metadata import xmp

pytestmark = pytest.mark.usefixtures("worker")

SECONDS = 60.0  # far more than it takes, and far less than the poll of network disks
PIECES, PAUSE_SECONDS = 8, 0.3
PLACES = 10  # tests that share one watcher


@contextmanager
def watching(services: Services, *folders: Path) -> Iterator[None]:
    """Watch each on a thread."""
    stop = threading.Event()
    watchers = [FolderWatcher(services.job_submission, folder) for folder in folders]
    threads = [threading.Thread(target=watcher.run, args=(stop,)) for watcher in watchers]
    for thread in threads:
        thread.start()
    try:
        yield
        assert all(thread.is_alive() for thread in threads)
    finally:
        stop.set()
        for thread in threads:
            thread.join(SECONDS)
        assert not any(thread.is_alive() for thread in threads)


def filled(folder: Path, first: int = 0) -> Path:
    """A folder of four pictures, two in a sub-folder; no other `first` gives the same."""
    (folder / "deep").mkdir(parents=True)
    for number in range(4):
        name = f"deep/{number}.png" if number > 1 else f"{number}.png"
        (folder / name).write_bytes(png(first + number))
    return folder


@pytest.fixture(scope="module")
def places(
    services: Services, tmp_path_factory: pytest.TempPathFactory, worker: None
) -> Iterator[Iterator[Path]]:
    """Folders below one that is watched all the time, their pictures in the index."""
    root = tmp_path_factory.mktemp("watched")
    all_places = [filled(root / str(number), number * 1_000) for number in range(PLACES)]
    with watching(services, root):
        wait_for(lambda: len(names(services, root)) == 4 * PLACES)
        yield iter(all_places)


@pytest.fixture
def watched(services: Services, places: Iterator[Path]) -> Path:
    """A folder of four pictures in the index; nothing is under way."""
    wait_for(lambda: not jobs_open(services))
    return next(places)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of four pictures that nobody watches yet."""
    return filled(tmp_path / "folder", 500)


def ids(services: Services, folder: Path) -> dict[str, int]:
    """The id of each picture below the folder, by its path there."""
    query = "SELECT path, id FROM images WHERE path LIKE :folder || '/%'"
    found = sql(services, query, folder=str(folder))
    return {path.removeprefix(f"{folder}/"): image_id for path, image_id in found}


def names(services: Services, folder: Path) -> set[str]:
    return set(ids(services, folder))


def written(services: Services, folder: Path) -> dict[int, str]:
    """When the vectors of the folder's pictures were written, by the pictures' ids."""
    everything = vectors(services)
    return {image_id: everything[image_id] for image_id in ids(services, folder).values()}


def is_found(services: Services, data: bytes) -> bool:
    return services.search.by_image(data, 1).hits[0].distance < 0.01


def jobs_open(services: Services) -> bool:
    return bool(sql(services, "SELECT 1 FROM jobs WHERE finished_at IS NULL"))


def jobs_made(services: Services) -> int:
    return len(services.job_submission.jobs(None, None, None, 10_000))


def wait_for(there: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not there():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)


OLD = {"0.png", "1.png", "deep/2.png", "deep/3.png"}


def test_files_that_are_new_changed_moved_and_removed(services: Services, watched: Path) -> None:
    before, times = ids(services, watched), written(services, watched)
    (watched / "new.png").write_bytes(png(20))
    (watched / "0.png").write_bytes(png(21))
    (watched / "1.png.json").write_text('{"caption": "A hill"}')
    (watched / "1.png.xmp").write_bytes(xmp(attributes='xmp:Label="Red"'))
    (watched / "deep" / "2.png").rename(watched / "moved.png")
    (watched / "deep" / "3.png").unlink()
    wait_for(lambda: names(services, watched) == {"new.png", "0.png", "1.png", "moved.png"})
    wait_for(lambda: is_found(services, png(21)))
    after, now = ids(services, watched), written(services, watched)
    of_sidecars = "SELECT path, metadata->>'label' FROM images WHERE caption = 'A hill'"
    assert sql(services, of_sidecars) == [(f"{watched}/1.png", "Red")]
    assert {name: after[name] for name in ("0.png", "1.png", "moved.png")} == {
        "0.png": before["0.png"], "1.png": before["1.png"], "moved.png": before["deep/2.png"]
    }  # fmt: skip
    assert {now[after[name]] == times[after[name]] for name in ("1.png", "moved.png")} == {True}


def test_a_new_folder_is_watched_too(services: Services, watched: Path) -> None:
    (watched / "new" / "newer").mkdir(parents=True)
    (watched / "new" / "newer" / "4.png").write_bytes(png(22))
    wait_for(lambda: names(services, watched) == OLD | {"new/newer/4.png"})
    (watched / "new" / "newer" / "5.png").write_bytes(png(23))
    wait_for(lambda: names(services, watched) == OLD | {"new/newer/4.png", "new/newer/5.png"})


def test_a_renamed_folder_keeps_its_pictures_and_is_watched_on(
    services: Services, watched: Path
) -> None:
    before, times = ids(services, watched), written(services, watched)
    (watched / "deep").rename(watched / "deeper")
    wait_for(lambda: ids(services, watched).get("deeper/2.png") == before["deep/2.png"])
    wait_for(lambda: ids(services, watched).get("deeper/3.png") == before["deep/3.png"])
    assert written(services, watched) == times
    (watched / "deeper" / "new.png").write_bytes(png(24))
    (watched / "deeper" / "2.png").unlink()
    wait_for(
        lambda: names(services, watched) == {"0.png", "1.png", "deeper/3.png", "deeper/new.png"}
    )


def test_folders_that_are_removed_and_moved_out_and_in(
    services: Services, watched: Path, tmp_path: Path
) -> None:
    shutil.copytree(watched / "deep", watched / "copy")
    wait_for(lambda: names(services, watched) == OLD | {"copy/2.png", "copy/3.png"})
    shutil.rmtree(watched / "copy")
    (watched / "deep").rename(tmp_path / "outside")
    wait_for(lambda: names(services, watched) == {"0.png", "1.png"})
    (tmp_path / "outside").rename(watched / "back")
    wait_for(lambda: names(services, watched) == {"0.png", "1.png", "back/2.png", "back/3.png"})


def test_a_file_that_grows_slowly_is_taken_once_it_is_whole(
    services: Services, watched: Path
) -> None:
    before = jobs_made(services)
    data = png(40, (400, 400))
    size = len(data) // PIECES + 1
    (watched / "other.png").write_bytes(png(41))  # causes a sync while the file still grows
    with (watched / "slow.png").open("wb") as file:
        for start in range(0, len(data), size):
            file.write(data[start : start + size])
            file.flush()
            time.sleep(PAUSE_SECONDS)
    wait_for(lambda: names(services, watched) == OLD | {"slow.png", "other.png"})
    wait_for(lambda: not jobs_open(services))
    told = "SELECT outcome FROM job_items WHERE path LIKE '%/slow.png'"
    assert sql(services, told) == [("added",)]
    assert is_found(services, data)
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
        wait_for(lambda: names(services, watched) == OLD | {"new.png"})
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
    (folder / "new.png").write_bytes(png(31))
    with watching(services, folder):  # which begins before the new file counts as settled
        wait_for(lambda: names(services, folder) == OLD - {"0.png"} | {"new.png"})
        wait_for(lambda: is_found(services, png(30)))


def test_an_empty_folder_at_the_start_is_doubted(services: Services, folder: Path) -> None:
    run(services, folder, SYNC)
    shutil.rmtree(folder)
    folder.mkdir()
    with watching(services, folder):
        wait_for(lambda: services.job_submission.jobs(None, "failed", None, 1) != [])
        assert "Is its disk mounted" in str(
            services.job_submission.jobs(None, "failed", None, 1)[0].reason
        )
        (folder / "new.png").write_bytes(png(32))  # now its disk is there, but that of `deep`?
        wait_for(lambda: names(services, folder) == {"new.png", "deep/2.png", "deep/3.png"})


def test_a_sub_folder_whose_disk_is_away_is_doubted_in_later_syncs_too(
    services: Services, watched: Path
) -> None:
    """Issue 21, line 17: an unmounted disk tells nobody; here its folder was gone before."""
    sql(
        services,
        "UPDATE images SET path = replace(path, '/deep/', '/nas/') WHERE path LIKE :below",
        below=f"{watched}/deep/%",
    )
    for number in (2, 3):
        (watched / "deep" / f"{number}.png").write_bytes(png(700 + number))
    (watched / "0.png").unlink()
    kept = OLD - {"0.png"} | {"nas/2.png", "nas/3.png"}
    wait_for(lambda: names(services, watched) == kept)
    wait_for(
        lambda: (
            "/nas/. Is its disk mounted"
            in str(services.job_submission.jobs(None, "failed", None, 1)[0].reason)
        )
    )


def test_two_folders_are_watched_each_on_its_own(
    services: Services, folder: Path, tmp_path: Path
) -> None:
    other = filled(tmp_path / "other", 600)
    with watching(services, folder, other):
        wait_for(lambda: names(services, folder) == names(services, other) == OLD)
        for path in other.iterdir():  # all of it, and that was seen
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (folder / "new.png").write_bytes(png(33))
        wait_for(lambda: names(services, folder) == OLD | {"new.png"})
        wait_for(lambda: names(services, other) == set())


def test_a_folder_that_is_replaced_is_watched_on(
    services: Services, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 21, line 10."""
    with watching(services, folder):
        wait_for(lambda: names(services, folder) == OLD)
        old = folder.rename(folder.with_name("old"))
        folder.mkdir()
        (folder / "new.png").write_bytes(png(50))
        shutil.copytree(old / "deep", folder / "deep")
        wait_for(lambda: names(services, folder) == {"new.png", "deep/2.png", "deep/3.png"})
        (folder / "newer.png").write_bytes(png(51))
        wait_for(lambda: "newer.png" in names(services, folder))
    assert f"{folder} was replaced or mounted anew" in caplog.text


def test_a_folder_that_goes_and_comes_back_is_watched_on(
    services: Services, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 21, line 10."""
    with watching(services, folder):
        wait_for(lambda: names(services, folder) == OLD)
        away = folder.rename(folder.with_name("away"))
        wait_for(lambda: f"{folder} is gone" in caplog.text)
        (away / "new.png").write_bytes(png(52))
        away.rename(folder)
        wait_for(lambda: names(services, folder) == OLD | {"new.png"})


@contextmanager
def mounted(place: Path) -> Iterator[None]:
    """A disk of its own at the place."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("name", ["", "deep"])
def test_a_disk_that_comes_and_goes(services: Services, folder: Path, name: str) -> None:
    """Issue 21, lines 10 and 17: on the watched folder itself, or on one below it."""
    beyond = f"{name}/new.png".lstrip("/")
    with watching(services, folder):
        wait_for(lambda: names(services, folder) == OLD)
        with mounted(folder / name):
            (folder / name / "new.png").write_bytes(png(53))
            wait_for(lambda: beyond in names(services, folder))
            (folder / name / "newer.png").write_bytes(png(54))
            wait_for(lambda: len(names(services, folder) - OLD) == 2)
        (folder / "last.png").write_bytes(png(55))  # what was below the disk is there again
        wait_for(lambda: names(services, folder) >= OLD | {"last.png"})


def test_a_disk_that_hangs_below_a_watched_folder_holds_up_nothing_else(
    services: Services,
    folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Issue 21, lines 10 and 27: all of the process stood still while watchfiles walked it."""
    monkeypatch.setattr(folder_watcher, "WALK_SECONDS", 0.5)
    other = filled(tmp_path / "other", 800)
    with watching(services, folder, other):
        wait_for(lambda: names(services, folder) == names(services, other) == OLD)
        (folder / "nas").mkdir()
        with hung_disk(folder / "nas"):
            wait_for(lambda: "a disk below it does not answer" in caplog.text)
            (other / "new.png").write_bytes(png(56))
            wait_for(lambda: "new.png" in names(services, other))
            assert is_found(services, png(56))
        (folder / "new.png").write_bytes(png(57))
        wait_for(lambda: "new.png" in names(services, folder))


def test_a_network_disk_is_looked_at_every_so_often(
    services: Services, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 21, line 26: which way is used is said."""
    caplog.set_level("INFO", "app.ingest.folder_watcher")
    with watching(services, folder):
        wait_for(lambda: f"watching {folder}: the system reports" in caplog.text)
    watcher = FolderWatcher(services.job_submission, folder, poll_seconds=0.5)
    place = _Place(0, 0, (Mount(folder, "nfs4", "1"),))
    watcher._choose_way(place, now=0.0)
    assert "it has a network disk (nfs4)" in caplog.text
    assert "scanned every 0.5 s" in caplog.text
    for now, due in ((0.4, False), (0.5, True)):
        watcher._poll(now)
        assert (folder in watcher._changed) is due


def test_hidden_files_are_ignored(services: Services, watched: Path) -> None:
    before = jobs_made(services)
    (watched / ".new.png").write_bytes(png(34))
    (watched / ".hidden").mkdir()
    (watched / ".hidden" / "new.png").write_bytes(png(35))
    time.sleep(QUIET_SECONDS + 1.0)
    assert jobs_made(services) == before
    (watched / ".new.png").rename(watched / "new.png")  # as many programs write a file
    wait_for(lambda: names(services, watched) == OLD | {"new.png"})


def test_a_burst_makes_few_jobs(services: Services, watched: Path) -> None:
    before = jobs_made(services)
    for number in range(100):
        (watched / f"burst-{number}.png").write_bytes(png(100 + number, (16, 16)))
    wait_for(lambda: len(names(services, watched)) == 104)
    time.sleep(QUIET_SECONDS + 0.5)
    assert jobs_made(services) - before <= 3


def test_changes_wait_for_a_database_that_is_away(
    services: Services, watched: Path, database_url: str
) -> None:
    with outage(database_url):
        (watched / "new.png").write_bytes(png(36))
        time.sleep(QUIET_SECONDS + 1.0)
    wait_for(lambda: names(services, watched) == OLD | {"new.png"})


def test_a_folder_to_watch_that_is_not_there_stops_the_start(
    settings: Settings, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    for wrong in (tmp_path / "none", Path(__file__)):
        with pytest.raises(SettingsInvalid, match=f"WATCH_DIRS: {wrong} is not a folder"):
            serve(settings.model_copy(update={"watch_dirs": (there, wrong), "api_port": 1}))
