import os
from pathlib import Path

import pytest

from app.errors import ImageTooLarge, SourceUnreadable
from app.sources import folder_files, stored_path


def names(folder: Path) -> list[str]:
    return [Path(file.path).name for file in folder_files(folder, folder)]


def test_files_come_sorted_without_hidden_and_companion_files(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.jpg", "a.gif", ".hidden/x.png", ".DS_Store", "list.CSV", "c.doc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert names(tmp_path) == ["a.gif", "c.doc", "1.jpg", "2.png"]


def test_pipes_and_dangling_links_are_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "real.png").write_bytes(b"x")
    assert names(tmp_path) == ["real.png"]


def test_the_etag_changes_with_size_and_time(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"x")
    os.utime(file, ns=(1, 1))
    (first,) = folder_files(tmp_path, tmp_path)
    os.utime(file, ns=(1, 2))
    (touched,) = folder_files(tmp_path, tmp_path)
    file.write_bytes(b"xy")
    os.utime(file, ns=(1, 1))
    (grown,) = folder_files(tmp_path, tmp_path)
    assert len({first.etag, touched.etag, grown.etag}) == 3


def test_paths_are_relative_inside_the_root_and_absolute_outside(tmp_path: Path) -> None:
    assert stored_path(tmp_path / "data" / "a.png", tmp_path) == "data/a.png"
    assert stored_path(tmp_path / "a.png", tmp_path / "data") == str(tmp_path / "a.png")


def test_a_folder_that_is_absent_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="is not a folder"):
        list(folder_files(tmp_path / "nowhere", tmp_path))


def test_a_file_over_the_bound_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x" * 1001)
    (file,) = folder_files(tmp_path, tmp_path)
    assert file.read(1001) == b"x" * 1001
    with pytest.raises(ImageTooLarge, match=r"0.0 MB; 0.001 MB are allowed"):
        file.read(1000)
