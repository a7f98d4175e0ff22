"""A folder of backups in which somebody else deletes at the same time, or on a broken disk."""

import sys
from errno import EIO
from pathlib import Path
from typing import Any

import pytest

from app.errors import BackupFailed
from app.runtime.backup.folder_place import FolderPlace
from app.runtime.backup.manifest import UPLOADS

LISTING = {"os.listdir", "os.scandir"}  # either, by the version of Python


def test_uploads_that_somebody_else_deletes_meanwhile_are_passed_over(tmp_path: Path) -> None:
    shards = [tmp_path / UPLOADS / name for name in ("ab", "cd", "ef")]
    for shard in shards:
        shard.mkdir(parents=True)
    files = [shard / "1.png" for shard in shards[:2]]
    for file in files:
        file.touch()

    def hurry(name: str, arguments: tuple[Any, ...]) -> None:  # stays until the process ends
        path = Path(str(arguments[0])) if name in {"os.scandir", "os.remove"} else None
        if path == shards[2] and path.exists():
            path.rmdir()
        elif path in files and name == "os.remove":
            files.remove(path)
            path.unlink()

    sys.addaudithook(hurry)
    place = FolderPlace(tmp_path)
    assert place.uploads() == {"ab/1.png", "cd/1.png"}
    assert not shards[2].exists()
    place.delete_uploads({"cd/1.png"})
    assert files == [shards[1] / "1.png"]
    assert place.uploads() == {"cd/1.png"}


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path) -> None:
    """A rotation would delete all uploads, since no backup had them."""
    place, is_broken = FolderPlace(tmp_path), [True]
    assert place.stamps() == []

    def fail(name: str, arguments: tuple[Any, ...]) -> None:  # stays until the process ends
        if is_broken and name in LISTING and str(arguments[0]) == str(tmp_path):
            raise OSError(EIO, "Input/output error", str(tmp_path))

    sys.addaudithook(fail)
    try:
        with pytest.raises(BackupFailed, match=f"{tmp_path}: Input/output error"):
            place.stamps()
    finally:
        is_broken.clear()
    assert FolderPlace(tmp_path / "none").stamps() == []
