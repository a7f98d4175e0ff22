"""Keeping the index in step with a folder: what is forgotten, what is not, and at what cost."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.catalog.images.image_changes import Change
from app.errors import JobConflict
from app.ingest.jobs.job_submission import JobOptions
from app.ingest.source_diff import LISTING_CHUNK
from app.runtime.services import Services
from app.settings import ROOT, Settings
from tests.fixtures.drawn_pictures import encoded, noise, png
from tests.fixtures.folder_jobs import SYNC, counts, items, nearest, rows, run, sql, vectors
from tests.fixtures.process_environment import PROCESS_SECONDS, bare
from tests.sources.test_folders import too_deep

pytestmark = pytest.mark.usefixtures("worker")

DRY_SYNC = JobOptions(sync=True, dry_run=True)
FORGET = JobOptions(sync=True, forget_empty=True)
MANY = LISTING_CHUNK + 200


@pytest.fixture
def folder(tmp_path: Path, services: Services) -> Iterator[Path]:
    """A folder of six pictures that the index knows; it is emptied afterwards."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for seed in range(6):
        (folder / ("deep" if seed > 3 else "") / f"{seed}.png").write_bytes(png(seed))
    assert counts(run(services, folder, SYNC)) == {"added": 6}
    yield folder
    sql(services, "DELETE FROM images")


def facts(services: Services, name: str) -> tuple[str | None, dict[str, object]]:
    """The caption and metadata of a picture."""
    query = "SELECT caption, metadata FROM images WHERE path LIKE '%/' || :name"
    ((caption, metadata),) = sql(services, query, name=name)
    return caption, metadata


def thumbnails(settings: Settings) -> list[Path]:
    return [path for path in settings.thumbnail_dir.rglob("*") if path.is_file()]


def test_a_second_sync_embeds_nothing(services: Services, folder: Path) -> None:
    before = rows(services), vectors(services)
    job = run(services, folder, SYNC)
    assert (job.state, counts(job), items(services, job)) == ("succeeded", {"unchanged": 6}, {})
    assert (rows(services), vectors(services)) == before


def test_all_kinds_of_change_at_once(services: Services, folder: Path) -> None:
    before, written = rows(services), vectors(services)
    (folder / "new.png").write_bytes(png(20))
    (folder / "0.png").write_bytes(png(21))  # changed
    os.utime(folder / "1.png")  # touched
    (folder / "2.png").rename(folder / "deep" / "moved.png")
    shutil.copy(folder / "3.png", folder / "copy.png")
    (folder / "deep" / "4.png").unlink()
    expected = {"added": 2, "changed": 1, "moved": 1, "removed": 1, "unchanged": 3 - 1 + 1}
    assert counts(run(services, folder, SYNC)) == expected
    after, now = rows(services), vectors(services)
    names = {"0.png", "1.png", "3.png", "5.png", "copy.png", "moved.png", "new.png"}
    assert set(after) == names
    assert after["moved.png"] == before["2.png"]
    assert {name: after[name] for name in before if name in after} == {
        name: before[name] for name in before if name in after
    }
    kept = [before[f"{seed}.png"] for seed in (1, 2, 3, 5)]
    assert [now[one] for one in kept] == [written[one] for one in kept]
    assert now[before["0.png"]] != written[before["0.png"]]
    assert before["4.png"] not in now
    assert nearest(services, png(21))[0] == "0.png"
    assert counts(run(services, folder, SYNC)) == {"unchanged": 7}


def test_what_is_removed_leaves_nothing_behind(
    services: Services, settings: Settings, folder: Path
) -> None:
    before = rows(services)
    for name in ("0.png", "1.png"):
        services.gallery.thumbnail(before[name], 64)
    kept = len(thumbnails(settings))
    assert nearest(services, png(0))[0] == "0.png"
    (folder / "0.png").unlink()
    job = run(services, folder, SYNC)
    assert counts(job) == {"removed": 1, "unchanged": 5}
    assert [Path(one.path).name for one in services.job_submission.every(job.id, "removed")] == [
        "0.png"
    ]
    assert sql(services, "SELECT 1 FROM images WHERE path LIKE '%0.png'") == []
    assert before["0.png"] not in vectors(services)
    assert nearest(services, png(0))[1] > 0.01
    assert len(thumbnails(settings)) == kept - 1


def test_a_changed_sidecar_is_read_without_a_new_vector(services: Services, folder: Path) -> None:
    written = vectors(services)
    sidecar = folder / "0.png.json"
    sidecar.write_text('{"caption": "A hill", "metadata": {"place": "Rome", "year": 1999}}')
    assert counts(run(services, folder, SYNC)) == {"changed": 1, "unchanged": 5}
    assert facts(services, "0.png") == ("A hill", {"place": "Rome", "year": 1999})
    sidecar.write_text('{"caption": "A valley", "metadata": {"place": "Oslo"}}')
    assert counts(run(services, folder, SYNC)) == {"changed": 1, "unchanged": 5}
    assert facts(services, "0.png") == ("A valley", {"place": "Oslo"})
    assert vectors(services) == written
    assert counts(run(services, folder, SYNC)) == {"unchanged": 6}


def test_what_came_from_a_sidecar_goes_with_it(services: Services, folder: Path) -> None:
    """Issue 21, line 24: what people said stays."""
    sidecar = folder / "0.png.json"
    sidecar.write_text('{"caption": "A hill", "place": "Rome", "year": 1999, "who": "Ada"}')
    run(services, folder, SYNC)
    services.gallery.change(rows(services)["0.png"], Change(None, {"year": 2001, "stars": 5}))
    sidecar.write_text('{"who": "Ada"}')
    assert counts(run(services, folder, SYNC)) == {"changed": 1, "unchanged": 5}
    assert facts(services, "0.png") == (None, {"year": 2001, "stars": 5, "who": "Ada"})
    sidecar.unlink()
    assert counts(run(services, folder, SYNC)) == {"changed": 1, "unchanged": 5}
    assert facts(services, "0.png") == (None, {"year": 2001, "stars": 5})
    services.gallery.change(rows(services)["0.png"], Change("Grandma", {}))
    os.utime(folder / "0.png")
    assert counts(run(services, folder, SYNC)) == {"unchanged": 6}
    assert facts(services, "0.png") == ("Grandma", {"year": 2001, "stars": 5})


def test_a_sidecar_goes_together_with_a_change_or_a_move(services: Services, folder: Path) -> None:
    """Issue 21, line 24."""
    for name in ("0.png", "1.png", "2.png"):
        (folder / f"{name}.json").write_text('{"caption": "A hill", "place": "Rome"}')
    run(services, folder, SYNC)
    (folder / "0.png.json").unlink()
    (folder / "0.png").write_bytes(png(20))
    (folder / "1.png.json").unlink()
    (folder / "1.png").rename(folder / "moved.png")
    (folder / "2.png.json").write_text('{"caption": ')  # being written, or damaged
    assert counts(run(services, folder, SYNC)) == {"changed": 1, "moved": 1, "unchanged": 4}
    assert facts(services, "0.png") == facts(services, "moved.png") == (None, {})
    assert facts(services, "2.png") == ("A hill", {"place": "Rome"})


def test_a_malformed_sidecar_costs_a_note_and_not_the_picture(
    services: Services, folder: Path
) -> None:
    (folder / "new.png").write_bytes(png(20))
    (folder / "new.png.json").write_text('{"caption": ')
    (folder / "0.png.json").write_text("[1, 2]")
    job = run(services, folder, SYNC)
    assert counts(job) == {"added": 1, "unchanged": 6}
    noted = items(services, job)
    assert {name: (one.state, one.outcome) for name, one in noted.items()} == {
        "new.png": ("succeeded", "added"),
        "0.png": ("skipped", "unchanged"),
    }
    assert "A sidecar was ignored: new.png.json: " in str(noted["new.png"].reason)
    assert "is not a JSON object" in str(noted["0.png"].reason)
    assert nearest(services, png(20))[0] == "new.png"


def test_a_sidecar_that_does_not_fit_a_field_is_noted(services: Services, folder: Path) -> None:
    """The picture and its other words are kept: filters pass over that value alone."""
    sql(services, """UPDATE collections SET fields = '{"year": "number"}'""")
    (folder / "0.png.json").write_text('{"caption": "A hill", "year": "long ago"}')
    job = run(services, folder, SYNC)
    assert counts(job) == {"changed": 1, "unchanged": 5}
    noted = {name: one.reason for name, one in items(services, job).items()}
    assert 'metadata.year: "long ago" is not a number' in str(noted["0.png"])
    assert facts(services, "0.png") == ("A hill", {"year": "long ago"})


def test_a_dry_run_counts_the_difference_and_changes_nothing(
    services: Services, folder: Path
) -> None:
    (folder / "new.png").write_bytes(png(20))
    (folder / "0.png").write_bytes(png(21))
    (folder / "1.png").rename(folder / "moved.png")
    (folder / "2.png").unlink()
    (folder / "3.png.json").write_text('{"caption": "A hill"}')
    (folder / "bad.png").write_bytes(b"text")
    everything = "SELECT *, xmin FROM images ORDER BY id"
    before = sql(services, everything), vectors(services)
    job = run(services, folder, DRY_SYNC)
    expected = {"added": 1, "changed": 2, "moved": 1, "removed": 1, "unchanged": 2, "failed": 1}
    assert counts(job) == expected
    assert (sql(services, everything), vectors(services)) == before
    told = {name: one.outcome for name, one in items(services, job).items()}
    assert told == {
        "new.png": "added", "0.png": "changed", "moved.png": "moved", "2.png": "removed",
        "3.png": "changed", "bad.png": "failed",
    }  # fmt: skip
    assert counts(run(services, folder, SYNC)) == expected


def test_a_sub_folder_that_cannot_be_listed_costs_nothing(services: Services, folder: Path) -> None:
    """Issue 21, line 18: what sorts after it is indexed, what is below it is not forgotten."""
    too_deep(folder)
    (locked,) = (one for one in folder.iterdir() if one.name.startswith("dd"))
    sql(  # a picture that was known in it
        services,
        "UPDATE images SET path = :path WHERE path LIKE '%/0.png'",
        path=f"{locked}/{'/'.join([locked.name] * 16)}/0.png",
    )
    (folder / "0.png").unlink()
    (folder / "1.png").unlink()
    (folder / "last.png").write_bytes(png(20))
    before = rows(services)
    job = run(services, folder, SYNC)
    expected = {"added": 1, "failed": 1, "removed": 1, "unchanged": 4}
    assert (job.state, counts(job)) == ("succeeded", expected)
    (named,) = services.job_submission.items(job.id, 10, state="failed")
    assert named.path.startswith(f"{locked}/")
    assert "cannot be listed: File name too long" in str(named.reason)
    assert rows(services).keys() == before.keys() - {"1.png"} | {"last.png"}
    with pytest.raises(JobConflict, match="no failed file"):
        services.job_submission.retry(job.id)


@pytest.mark.parametrize("options", [SYNC, FORGET])
def test_a_folder_that_is_away_forgets_nothing(
    services: Services, folder: Path, options: JobOptions
) -> None:
    before = rows(services)
    folder.rename(folder.with_name("away"))
    job = run(services, folder, options)
    assert (job.state, counts(job)) == ("failed", {})
    assert "is not a folder" in str(job.reason)
    assert rows(services) == before


def test_an_emptied_folder_is_doubted_unless_it_was_seen(services: Services, folder: Path) -> None:
    before = rows(services)
    shutil.rmtree(folder)
    folder.mkdir()
    doubted = run(services, folder, SYNC)
    assert (doubted.state, counts(doubted)) == ("failed", {})
    assert "Is its disk mounted" in str(doubted.reason)
    assert rows(services) == before
    seen = run(services, folder, SYNC, witnessed=[folder / "deep"])
    assert (seen.state, counts(seen)) == ("succeeded", {"removed": 6})
    assert rows(services) == {}


@pytest.mark.parametrize("is_there", [True, False])
def test_a_sub_folder_whose_disk_is_away_keeps_its_pictures(
    services: Services, folder: Path, is_there: bool
) -> None:
    """Issue 21, line 17: `deep` is a mount point without its disk, or gone with it."""
    sql(services, "UPDATE images SET caption = 'Grandma' WHERE path LIKE '%/4.png'")
    before = rows(services)
    shutil.rmtree(folder / "deep")
    if is_there:
        (folder / "deep" / "also empty").mkdir(parents=True)
    (folder / "0.png").unlink()
    assert counts(run(services, folder, DRY_SYNC)) == {"removed": 1, "unchanged": 3}
    job = run(services, folder, SYNC)
    assert (job.state, counts(job)) == ("failed", {"removed": 1, "unchanged": 3})
    assert f"though 2 known pictures belong there: {folder}/deep/." in str(job.reason)
    assert "FORGET_EMPTY=1" in str(job.reason)
    assert rows(services) == {name: before[name] for name in before if name != "0.png"}
    assert facts(services, "4.png") == ("Grandma", {})
    (folder / "deep").mkdir(exist_ok=True)
    (folder / "deep" / "4.png").write_bytes(png(4))  # its disk is back, without the other picture
    assert counts(run(services, folder, SYNC)) == {"removed": 1, "unchanged": 4}
    assert rows(services)["4.png"] == before["4.png"]


def test_a_sub_folder_that_is_gone_is_forgotten_when_told_or_seen(
    services: Services, folder: Path
) -> None:
    """Issue 21, line 17."""
    (folder / "other").mkdir()
    (folder / "other" / "new.png").write_bytes(png(20))
    run(services, folder, SYNC)
    shutil.rmtree(folder / "other")
    shutil.rmtree(folder / "deep")
    seen = run(services, folder, SYNC, witnessed=[folder / "other" / "new.png"])
    assert (seen.state, counts(seen)) == ("failed", {"removed": 1, "unchanged": 4})
    told = run(services, folder, FORGET)
    assert (told.state, counts(told)) == ("succeeded", {"removed": 2, "unchanged": 4})


def test_an_empty_folder_in_which_nothing_was_known_is_no_fault(
    services: Services, folder: Path
) -> None:
    (folder / "empty").mkdir()
    job = run(services, folder / "empty", SYNC)
    assert (job.state, counts(job), len(rows(services))) == ("succeeded", {}, 6)


def test_what_is_ignored_since_it_was_indexed_is_forgotten(
    services: Services, folder: Path
) -> None:
    """Issue 21, line 21: thumbnails of a NAS that an earlier version indexed."""
    sql(services, "UPDATE images SET path = replace(path, '/0.png', '/@eaDir/0.png')")
    (folder / "@eaDir").mkdir()
    (folder / "0.png").rename(folder / "@eaDir" / "0.png")
    assert counts(run(services, folder, SYNC)) == {"removed": 1, "unchanged": 5}


def test_two_that_change_places_are_found_where_they_are(services: Services, folder: Path) -> None:
    before = rows(services)
    first, second = folder / "0.png", folder / "1.png"
    zero = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(zero)
    assert counts(run(services, folder, SYNC)) == {"changed": 2, "unchanged": 4}
    assert rows(services) == before
    assert (nearest(services, png(0))[0], nearest(services, png(1))[0]) == ("1.png", "0.png")


def test_two_that_vanish_and_come_back_swapped_keep_their_ids(
    services: Services, folder: Path
) -> None:
    before, written = rows(services), vectors(services)
    for seed in (0, 1):
        (folder / f"{seed}.png").rename(folder / "deep" / f"{1 - seed}.png")
    assert counts(run(services, folder, SYNC)) == {"moved": 2, "unchanged": 4}
    after = rows(services)
    assert (after["0.png"], after["1.png"]) == (before["1.png"], before["0.png"])
    assert vectors(services) == written


def test_two_rows_with_the_same_bytes_are_claimed_one_each(
    services: Services, folder: Path
) -> None:
    shutil.copy(folder / "0.png", folder / "twin.png")
    run(services, folder, SYNC)
    before, written = rows(services), vectors(services)
    (folder / "0.png").rename(folder / "a.png")
    (folder / "twin.png").rename(folder / "b.png")
    told = items(services, run(services, folder, DRY_SYNC)).values()
    assert {one.image_id for one in told} == {before["0.png"], before["twin.png"]}
    assert counts(run(services, folder, SYNC)) == {"moved": 2, "unchanged": 5}
    after = rows(services)
    assert {after["a.png"], after["b.png"]} == {before["0.png"], before["twin.png"]}
    assert vectors(services) == written


def test_a_file_replaced_by_one_of_another_format(services: Services, folder: Path) -> None:
    before = rows(services)
    (folder / "0.png").write_bytes(encoded(noise(30), "WEBP"))
    (folder / "1.png").unlink()
    (folder / "1.webp").write_bytes(encoded(noise(31), "WEBP"))
    expected = {"added": 1, "changed": 1, "removed": 1, "unchanged": 4}
    assert counts(run(services, folder, SYNC)) == expected
    assert rows(services)["0.png"] == before["0.png"]
    query = "SELECT format FROM images WHERE path LIKE '%/0.png'"
    assert sql(services, query) == [("WEBP",)]


def test_a_file_that_became_damaged_keeps_its_row(services: Services, folder: Path) -> None:
    before = rows(services)
    (folder / "0.png").write_bytes(png(0)[:60])
    assert counts(run(services, folder, SYNC)) == {"failed": 1, "unchanged": 5}
    assert rows(services) == before


def test_a_file_that_became_a_folder_or_a_folder_a_file(services: Services, folder: Path) -> None:
    (folder / "0.png").unlink()
    (folder / "0.png").mkdir()
    (folder / "0.png" / "inside.png").write_bytes(png(40))
    shutil.rmtree(folder / "deep")
    (folder / "deep").write_bytes(png(41))
    assert counts(run(services, folder, SYNC)) == {"added": 2, "removed": 3, "unchanged": 3}
    assert set(rows(services)) == {"1.png", "2.png", "3.png", "inside.png", "deep"}


def test_more_files_than_are_listed_at_a_time(services: Services, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(MANY):
        (folder / f"{number:04}.png").write_bytes(png(5_000 + number, (8, 8)))
    assert counts(run(services, folder, SYNC)) == {"added": MANY}
    before, written = rows(services), vectors(services)
    borders = (0, LISTING_CHUNK - 2, LISTING_CHUNK - 1, LISTING_CHUNK, LISTING_CHUNK + 1, MANY - 1)
    for number in borders:
        (folder / f"{number:04}.png").unlink()
    (folder / f"{LISTING_CHUNK + 50:04}.png").rename(folder / "0000-moved.png")
    expected = {"removed": len(borders), "moved": 1, "unchanged": MANY - len(borders) - 1}
    assert counts(run(services, folder, SYNC)) == expected
    after = rows(services)
    assert len(after) == MANY - len(borders)
    assert after["0000-moved.png"] == before[f"{LISTING_CHUNK + 50:04}.png"]
    assert vectors(services).items() <= written.items()
    sql(services, "DELETE FROM images")


def test_the_command_prints_the_difference(
    services: Services, settings: Settings, folder: Path
) -> None:
    (folder / "new.png").write_bytes(png(20))
    (folder / "0.png").unlink()
    before = rows(services)
    command = [sys.executable, "-m", "scripts.ingest", "--dir", str(folder), "--sync", "--dry-run"]
    shown = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PROCESS_SECONDS,
        env=bare(
            TESTING="1", DATABASE_URL=str(settings.database_url),
            TEST_UPLOAD_DIR=str(settings.test_upload_dir),
            THUMBNAIL_DIR=str(settings.thumbnail_dir),
        ),
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[-4:] == [
        f"Added: {folder}/new.png",
        f"Removed: {folder}/0.png",
        "A dry run: nothing was done.",
        "1 added, 0 changed, 0 moved, 1 removed, 5 unchanged, 0 refused, 0 gone.",
    ]
    assert rows(services) == before
