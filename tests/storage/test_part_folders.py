"""Temporary folders, while other processes make and sweep theirs."""

import sys
from pathlib import Path
from typing import Any

from app.storage.disk import PART
from app.storage.part_folders import part_folder

NAME = "set"


def test_what_killed_processes_left_is_deleted_and_what_is_in_use_stays(tmp_path: Path) -> None:
    left = tmp_path / f"{PART}{NAME}-left"
    (left / "below").mkdir(parents=True)
    with part_folder(tmp_path, NAME) as used, part_folder(tmp_path, NAME) as part:
        assert not left.exists()
        assert set(tmp_path.iterdir()) == {used, part}
    assert list(tmp_path.iterdir()) == []


def test_folders_that_another_process_deletes_first_are_passed_over(tmp_path: Path) -> None:
    """One that was left, and then the new one, before it was locked."""
    left = tmp_path / f"{PART}{NAME}-left"
    left.mkdir()
    taken: list[str] = []

    def take(name: str, arguments: tuple[Any, ...]) -> None:  # stays until the process ends
        path = str(arguments[0]) if name == "open" else ""
        if path.startswith(f"{tmp_path}/{PART}{NAME}-") and len(taken) < 2:
            taken.append(path)
            Path(path).rmdir()

    sys.addaudithook(take)
    with part_folder(tmp_path, NAME) as part:
        assert taken[0] == str(left)
        assert len(set(taken)) == 2
        assert list(tmp_path.iterdir()) == [part]
