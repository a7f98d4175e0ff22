"""Folders as sources: what is listed, in which order, and what is read."""

import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.errors import (
    ImageTooLarge,
    ImageUnsupported,
    ImageVanished,
    SourceUnavailable,
    SourceUnreadable,
)
from app.pictures.formats import check_signature
from app.settings import ROOT
from app.sources import folders
from app.sources.folder_walk import LINK
from app.sources.folders import QUIET_SECONDS, Folder, stored_path
from app.sources.interfaces import PassedOver, SourceFile, Unlisted
from app.sources.sidecars.annotations import COMPANIONS
from app.sources.source_access import Sources
from app.storage.buckets import Buckets
from app.storage.disk import UploadStore

ORDER = ["a!.png", "a-b/1.png", "a-b.png", "a.png", "a/1.png", "a/b-/1.png", "a/b/1.png", "a0.png",
    "B/1.png", "b.png", "ab.png", "é.png", "é/1.png", "日.png", "😀.png", "\uffee.png"]  # fmt: skip


def make(folder: Path, *names: str) -> Folder:
    """Files of one byte, with the folders that they lie in."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return Folder(folder, ROOT)


def inside(folder: Folder, file: SourceFile | Unlisted | PassedOver) -> str:
    return file.path.removeprefix(folder.prefix)


def paths(folder: Folder, after: str | None = None) -> list[str]:
    """What is listed, as paths below the folder."""
    start = None if after is None else folder.prefix + after
    found = folder.files(start)
    return [inside(folder, file) for file in found if not isinstance(file, PassedOver)]


def passed_over(folder: Folder) -> dict[str, bool]:
    """What is passed over, by its path below the folder; whether it is a companion."""
    found = [one for one in folder.files() if isinstance(one, PassedOver)]
    return {inside(folder, one): one.is_companion for one in found}


def the_file(folder: Folder) -> SourceFile:
    (file,) = (one for one in folder.files() if not isinstance(one, PassedOver))
    assert isinstance(file, SourceFile)
    return file


def in_bytes(names: list[str]) -> list[str]:
    return sorted(names, key=os.fsencode)


def too_deep(folder: Path) -> None:
    """Make a folder below that nobody can list, root neither: its path is too long."""
    name = "d" * 250
    place = os.open(folder, os.O_RDONLY)
    for _ in range(17):  # more than 4,096 bytes
        os.mkdir(name, dir_fd=place)
        deeper = os.open(name, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = deeper
    os.close(place)


def test_files_come_sorted_by_the_bytes_of_their_paths(tmp_path: Path) -> None:
    found = paths(make(tmp_path, *ORDER))
    assert found == in_bytes(ORDER)
    assert found.index("a-b/1.png") < found.index("a.png") < found.index("a/1.png")
    assert found.index("a/1.png") < found.index("a0.png")


@pytest.mark.parametrize("position", range(len(ORDER)))
def test_a_listing_goes_on_after_any_of_its_files(tmp_path: Path, position: int) -> None:
    folder = make(tmp_path, *ORDER)
    whole = paths(folder)
    assert paths(folder, whole[position]) == whole[position + 1 :]


names = st.text("ab-./é0", min_size=1, max_size=4)
trees = st.lists(st.lists(names, min_size=1, max_size=3).map("/".join), max_size=12)


@given(tree=trees, after=st.lists(names, max_size=3).map("/".join))
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_tree_is_listed_sorted_and_from_anywhere(
    tmp_path_factory: pytest.TempPathFactory, tree: list[str], after: str
) -> None:
    place = tmp_path_factory.mktemp("tree")
    made = set()
    for name in tree:
        try:
            make(place, f"{name}x")
        except OSError:  # a file where a folder should be, or the other way round
            continue
        path = os.path.relpath(place / f"{name}x", place)
        if not any(part.startswith(".") for part in path.split("/")):
            made.add(path)
    folder = Folder(place, ROOT)
    assert paths(folder) == in_bytes(list(made))
    rest = [path for path in made if os.fsencode(path) > os.fsencode(after)]
    assert paths(folder, after) == in_bytes(rest)


def test_hidden_and_companion_files_are_passed_over(tmp_path: Path) -> None:
    hidden = [".DS_Store", ".a.png", ".hidden/x.png", "a/.trash/y.png"]
    companions = [f"list{suffix}" for suffix in COMPANIONS] + ["list.CSV", "a.png.json"]
    folder = make(tmp_path, "a.gif", "b", "c.doc", *hidden, *companions)
    assert paths(folder) == ["a.gif", "b", "c.doc"]
    passed = passed_over(folder)
    assert {name for name, is_companion in passed.items() if is_companion} == set(companions)
    ignored = {name for name, is_companion in passed.items() if not is_companion}
    assert ignored == {".DS_Store", ".a.png", ".hidden/", "a/.trash/"}


def test_pipes_and_links_to_nowhere_are_passed_over(tmp_path: Path) -> None:
    folder = make(tmp_path, "real.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "none.png")
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    assert paths(folder) == ["real.png"]


def test_links_lead_to_files_but_not_into_folders(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Issue 21, line 26: links to folders are named, in their place."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "1.png").write_bytes(b"there")
    folder = make(tmp_path, "a.png")
    (tmp_path / "link.png").symlink_to(elsewhere / "1.png")
    (tmp_path / "linked").symlink_to(elsewhere)
    (tmp_path / "up").symlink_to(tmp_path)
    (tmp_path / "linked-on.png").write_bytes(b"x")
    found = list(folder.files())
    assert [inside(folder, one) for one in found] == [
        "a.png", "link.png", "linked-on.png", "linked/", "up/"
    ]  # fmt: skip
    assert [one.reason for one in found if isinstance(one, Unlisted)] == [LINK, LINK]
    assert folder.read(str(tmp_path / "link.png"), 10) == b"there"


def test_links_to_folders_are_followed_once(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Issue 16, folders: circles end, and nothing is listed twice."""
    elsewhere, beside = tmp_path_factory.mktemp("elsewhere"), tmp_path_factory.mktemp("beside")
    make(elsewhere, "1.png", "deep/2.png")
    make(beside, "3.png")
    make(tmp_path, "a.png", "inner/4.png")
    for place, name, target in (
        (tmp_path, "linked", elsewhere),
        (tmp_path, "linked2", elsewhere),
        (tmp_path, "linked3", elsewhere / "deep"),
        (tmp_path, "to-inner", tmp_path / "inner"),
        (tmp_path, "up", tmp_path),
        (tmp_path, "above", tmp_path.parent),
        (tmp_path, "program", ROOT),
        (elsewhere, "back", tmp_path),
        (elsewhere, "circle", elsewhere),
        (elsewhere / "deep", "on", beside),
    ):
        (place / name).symlink_to(target)
    folder = Folder(tmp_path, ROOT, follow_links=True)
    found = ["a.png", "inner/4.png", "linked/1.png", "linked/deep/2.png", "linked/deep/on/3.png"]
    assert paths(folder) == found
    for position, path in enumerate(found):
        assert paths(folder, path) == found[position + 1 :]
    assert set(passed_over(folder)) == {
        "above/", "linked2/", "linked3/", "linked/back/", "linked/circle/", "program/",
        "to-inner/", "up/",
    }  # fmt: skip
    assert folder.read(f"{folder.prefix}linked/deep/on/3.png", 10) == b"x"


def test_a_folder_that_was_met_by_a_link_is_not_walked_again_from_above(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    make(elsewhere, "deep/1.png", "2.png")
    (tmp_path / "a").symlink_to(elsewhere / "deep")
    (tmp_path / "b").symlink_to(elsewhere)
    assert paths(Folder(tmp_path, ROOT, follow_links=True)) == ["a/1.png", "b/2.png"]


def test_a_listing_holds_the_names_of_one_folder_at_a_time(tmp_path: Path) -> None:
    """Issue 16, folders: a million files must not need memory for a million."""
    peaks: list[int] = []
    for count in (5, 5, 40):  # the first pays for what is imported and cached once
        place = tmp_path / f"{len(peaks)}"
        for number in range(count):
            make(place, *(f"{number:02}/IMG_{file:04}.jpg" for file in range(100)))
        tracemalloc.start()
        try:
            assert sum(1 for _ in Folder(place, ROOT).files()) == 100 * count
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[2] < 1.5 * peaks[1], peaks


def test_a_folder_of_many_files_takes_few_bytes_of_each(tmp_path: Path) -> None:
    """Issue 16, folders: also if all lie in one folder, half of them sidecars.

    It took 324 bytes of each before; their names alone take 80.
    """
    folder = make(tmp_path, *(f"IMG_{file:06}.jpg" for file in range(2_000)))
    make(tmp_path, *(f"IMG_{file:06}.jpg.xmp" for file in range(2_000)))
    assert sum(1 for _ in folder.files()) == 4_000  # pays for what is imported and cached once
    tracemalloc.start()
    try:
        assert (
            sum(len(one.sidecars) for one in folder.files() if isinstance(one, SourceFile)) == 2_000
        )
        assert tracemalloc.get_traced_memory()[1] < 250 * 4_000
    finally:
        tracemalloc.stop()


def test_a_name_that_is_no_utf_8_is_listed_as_it_is(tmp_path: Path) -> None:
    odd = os.fsdecode(b"b\xff.png")
    folder = make(tmp_path, "a.png", odd, "c.png")
    assert paths(folder) == ["a.png", odd, "c.png"]
    assert folder.read(folder.prefix + odd, 10) == b"x"
    assert paths(folder, odd) == ["c.png"]


def test_the_etag_changes_with_size_and_time(tmp_path: Path) -> None:
    folder = make(tmp_path, "a.png")
    os.utime(tmp_path / "a.png", ns=(1, 1))
    first = the_file(folder)
    os.utime(tmp_path / "a.png", ns=(1, 2))
    touched = the_file(folder)
    (tmp_path / "a.png").write_bytes(b"xy")
    os.utime(tmp_path / "a.png", ns=(1, 1))
    grown = the_file(folder)
    assert len({first.etag, touched.etag, grown.etag}) == 3
    assert (first.size, grown.size) == (1, 2)


def test_the_etag_changes_with_the_sidecar(tmp_path: Path) -> None:
    folder = make(tmp_path, "a.png")
    sidecar = tmp_path / "a.png.json"
    etags = [the_file(folder).etag]
    sidecar.write_text('{"caption": "one"}')
    os.utime(sidecar, ns=(1, 1))
    etags.append(the_file(folder).etag)
    assert etags[1] == the_file(folder).etag
    sidecar.write_text('{"caption": "two"}')
    os.utime(sidecar, ns=(1, 2))
    etags.append(the_file(folder).etag)
    sidecar.unlink()
    assert len(set(etags)) == 3
    assert the_file(folder).etag == etags[0]


def test_a_file_is_settled_once_it_was_quiet(tmp_path: Path) -> None:
    folder = make(tmp_path, "new.png")
    assert not the_file(folder).settled
    for seconds in (-QUIET_SECONDS - 0.5, 3600):  # a clock may be wrong: next year is no write
        changed = time.time() + seconds
        os.utime(tmp_path / "new.png", (changed, changed))
        assert the_file(folder).settled


def test_a_long_listing_knows_what_is_written_meanwhile(tmp_path: Path) -> None:
    folder = make(tmp_path, "a.png", "b.png")
    os.utime(tmp_path / "b.png", (1, 1))
    listing = folder.files()
    next(listing)
    time.sleep(QUIET_SECONDS + 0.1)
    (tmp_path / "b.png").write_bytes(b"xy")
    last = next(listing)
    assert isinstance(last, SourceFile)
    assert not last.settled


def test_paths_are_relative_inside_the_root_and_absolute_outside(tmp_path: Path) -> None:
    assert stored_path(tmp_path / "data" / "a.png", tmp_path) == "data/a.png"
    assert stored_path(tmp_path / "a.png", tmp_path / "data") == str(tmp_path / "a.png")
    make(tmp_path, "data/a.png")
    for root, prefix in ((tmp_path, "data/"), (tmp_path / "other", f"{tmp_path}/data/")):
        folder = Folder(tmp_path / "data", root)
        assert folder.prefix == prefix
        assert the_file(folder).path == f"{prefix}a.png"
        assert folder.read(f"{prefix}a.png", 10) == b"x"


def test_a_folder_that_is_absent_or_a_file_is_said_so(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    for name in ("nowhere", "a.png"):
        with pytest.raises(SourceUnreadable, match=f"{name} is not a folder"):
            list(Folder(tmp_path / name, tmp_path).files())


def test_a_sub_folder_that_cannot_be_listed_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Issue 21, line 18."""
    folder = make(tmp_path, "a.png", "e.png")
    too_deep(tmp_path)
    first, unlisted, last = folder.files()
    assert (inside(folder, first), inside(folder, last)) == ("a.png", "e.png")
    assert isinstance(unlisted, Unlisted)
    assert unlisted.path.startswith(f"{folder.prefix}dddd")
    assert unlisted.path.endswith("d/")
    assert unlisted.reason.startswith("This folder cannot be listed: File name too long.")
    assert paths(folder, inside(folder, unlisted)) == ["e.png"]


def test_a_sub_folder_that_goes_while_it_is_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 21, line 18: its files were not met before, nor are they now."""
    monkeypatch.setattr(folders, "LISTED_AT_ONCE", 1)  # no further than it is read
    folder = make(tmp_path, "a.png", "b/1.png", "c/1.png", "d.png")
    listing = folder.files()
    next(listing)
    (tmp_path / "c").rename(tmp_path / "0")
    rest = list(listing)
    assert [inside(folder, one) for one in rest] == ["b/1.png", "c/", "d.png"]
    assert isinstance(rest[1], Unlisted)


def test_folders_are_listed_to_any_depth(tmp_path: Path) -> None:
    """Issue 21, line 18: deeper than Python's recursion limit."""
    make(tmp_path, "z.png")
    place = tmp_path
    for _ in range(1_200):
        place /= "a"
        place.mkdir()
    (place / "1.png").touch()
    try:
        assert len(paths(Folder(tmp_path, ROOT))) == 2
    finally:  # pytest's own cleaning would go too deep
        (place / "1.png").unlink()
        while place != tmp_path:
            place.rmdir()
            place = place.parent


def test_an_empty_folder_may_have_lost_its_disk(tmp_path: Path) -> None:
    """Issue 21, line 17."""
    folder = make(tmp_path, "full/deep/1.png", "notes/list.txt", "became-a-file")
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    found = {
        name: folder.is_empty(f"{folder.prefix}{name}/")
        for name in ("full", "full/deep", "notes", "became-a-file", "empty", "gone", "gone/deep")
    }
    assert found == {
        "full": False, "full/deep": False, "became-a-file": False,
        "notes": True, "empty": True, "gone": True, "gone/deep": True,
    }  # fmt: skip


@pytest.mark.parametrize("place", [ROOT, ROOT.parent, Path("/")], ids=str)
def test_a_folder_that_holds_the_program_is_refused(place: Path) -> None:
    with pytest.raises(SourceUnreadable, match="holds this program itself"):
        next(Folder(place, ROOT).files())


def test_reading_says_what_is_wrong(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b/c")
    folder = Folder(tmp_path / "none", tmp_path)  # a file is read by its path alone
    (tmp_path / "a.png").write_bytes(b"x" * 1001)
    assert folder.read("a.png", 1001) == b"x" * 1001
    with pytest.raises(ImageTooLarge, match=r"0.0 MB; 0.001 MB are allowed"):
        folder.read("a.png", 1000)
    for name in ("none.png", "a.png/inside.png"):
        with pytest.raises(ImageVanished, match="The file is gone"):
            folder.read(name, 1000)
    with pytest.raises(SourceUnavailable, match="cannot be read: Is a directory"):
        folder.read("b", 1000)


def test_sidecars_are_listed_with_their_picture_and_are_part_of_its_etag(tmp_path: Path) -> None:
    """Issue 16, line 5."""
    folder = make(tmp_path, "a.png")
    before = the_file(folder)
    for name in ("a.png.json", "a.png.xmp", "a.xmp"):
        (tmp_path / name).write_text("{}")
    after = the_file(folder)
    assert after.sidecars == ("a.png.json", "a.png.xmp", "a.xmp")
    assert after.etag.startswith(before.etag + "+2-")


EXISTING: dict[str, Callable[[Path], object]] = {
    "a file": lambda place: place.write_bytes(b"x"),
    "one that a loop of links hides": lambda place: place.symlink_to(place),
}
ABSENT: dict[str, Callable[[Path], object]] = {
    "nothing": lambda place: None,
    "a folder": lambda place: place.mkdir(),
    "a link to nowhere": lambda place: place.symlink_to(place.parent / "none"),
}


@pytest.mark.parametrize("kind", [*EXISTING, *ABSENT])
def test_only_what_is_surely_gone_counts_as_gone(tmp_path: Path, kind: str) -> None:
    (EXISTING | ABSENT)[kind](tmp_path / "a.png")
    sources = Sources(tmp_path, Buckets())
    assert sources.exists("a.png") is (kind in EXISTING)
    assert sources.exists(str(tmp_path / "a.png")) is (kind in EXISTING)


def test_a_source_is_opened_by_what_a_job_names(tmp_path: Path) -> None:
    sources = Sources(tmp_path, Buckets())
    opened = sources.open({"folder": str(tmp_path / "a"), "settled": True})
    assert opened == Folder(tmp_path / "a", tmp_path)
    assert sources.open({"files": 3}) is None


def test_a_film_is_refused_by_its_first_bytes(tmp_path: Path) -> None:
    """Issue 21, line 22: 150 MB are not read to say so."""
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\0\0\0\x20ftypmp42")
    os.truncate(film, 150_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(ImageUnsupported, match="not a picture"):
            Folder(tmp_path, ROOT).read(str(film), 200_000_000, check_signature)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_our_own_uploads_are_no_source(tmp_path: Path) -> None:
    """They have rows already, by their place in the store; another database's may be indexed."""
    uploads = UploadStore(tmp_path / "uploads")
    uploads.claim("a" * 32)
    uploads.put("ab" * 32 + ".png", b"x")
    folder = make(tmp_path, "1.png", "2/1.png")
    assert paths(folder) == ["1.png", "2/1.png"]
    sources = Sources(tmp_path, Buckets(), uploads=uploads)
    with pytest.raises(SourceUnreadable, match="uploads, which are indexed already"):
        sources.open({"folder": str(uploads.folder)})
    another = Sources(tmp_path, Buckets(), uploads=UploadStore(tmp_path / "another"))
    source = another.open({"folder": str(uploads.folder)})
    assert source is not None
    assert sum(isinstance(one, SourceFile) for one in source.files()) == 1
