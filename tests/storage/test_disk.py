import os
import sys
from pathlib import Path
from typing import Any

import pytest

from app.storage.disk import Disk, files_below, remove_folder


def test_what_is_put_is_there_whole_and_nothing_else(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    path = disk.put("abcdef.png", b"bytes")
    assert path == tmp_path / "ab" / "abcdef.png"
    assert path.read_bytes() == b"bytes"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_a_name_that_is_kept_is_not_written_again(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.put("abc", b"first")
    assert disk.put("abc", b"second").read_bytes() == b"first"


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    with pytest.raises(TypeError):
        disk.put("abc", "text, not bytes")  # type: ignore[arg-type]
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_removal_takes_what_matches(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.put("abc-64.webp", b"1")
    disk.put("abc-128.webp", b"2")
    other = disk.put("abd-64.webp", b"3")
    disk.remove("abc-*.webp")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [other]


def test_a_sweep_takes_only_old_temporary_files(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    kept = disk.put("abc", b"1")
    old, new = tmp_path / "ab" / ".part-old", tmp_path / "ab" / ".part-new"
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (1, 1))
    disk.sweep()
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {kept, new}


def test_a_sweep_passes_over_a_folder_that_another_server_deletes(tmp_path: Path) -> None:
    dropped, old = tmp_path / "collection-1", tmp_path / "zz" / ".part-old"
    for folder in (dropped, old.parent):
        folder.mkdir()
    old.touch()
    os.utime(old, (1, 1))

    def drop(name: str, arguments: tuple[Any, ...]) -> None:  # stays until the process ends
        if name == "os.scandir" and str(arguments[0]) == str(dropped) and dropped.exists():
            dropped.rmdir()

    sys.addaudithook(drop)
    Disk(tmp_path).sweep()
    assert not dropped.exists()
    assert not old.exists()


def test_files_are_listed_while_others_delete_folders(tmp_path: Path) -> None:
    kept, dropped = tmp_path / "ab" / "kept", tmp_path / "ab" / "dropped"
    dropped.mkdir(parents=True)
    kept.touch()

    def drop(name: str, arguments: tuple[Any, ...]) -> None:  # stays until the process ends
        if name == "os.scandir" and str(arguments[0]) == str(dropped) and dropped.exists():
            dropped.rmdir()

    sys.addaudithook(drop)
    assert list(files_below(tmp_path)) == [kept]
    assert not dropped.exists()
    assert list(files_below(dropped)) == []


def test_a_folder_is_removed_while_others_delete_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    files = [folder / f"removed-{n}" for n in range(3)]
    for path in files:
        path.touch()

    def hurry(name: str, arguments: tuple[Any, ...]) -> None:  # stays until the process ends
        if name == "os.remove" and str(arguments[0]).startswith("removed-"):  # in that folder
            for path in files:
                path.unlink(missing_ok=True)

    sys.addaudithook(hurry)
    remove_folder(folder)
    assert not folder.exists()
    remove_folder(folder)


def test_a_folder_owns_what_lies_under_it(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "uploads")
    assert disk.owns(tmp_path / "uploads" / "ab" / "abc")
    assert not disk.owns(tmp_path / "images" / "abc")
