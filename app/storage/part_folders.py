"""Temporary folders that are in use for long: those of processes that were killed go."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from app.storage.disk import PART, remove_folder


@contextmanager
def part_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder for the owner alone, which is deleted at the end unless it was renamed.

    What others of the same name left there that were killed is deleted first. Raises OSError.
    """
    parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{PART}{name}-"
    for left in parent.glob(f"{prefix}*"):
        # Another process, or its owner, may be faster; or it is of one that runs.
        with suppress(FileNotFoundError, BlockingIOError):
            _sweep(left)
    part, descriptor = _locked_folder(parent, prefix)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
        os.close(descriptor)


def _sweep(left: Path) -> None:
    """Raises BlockingIOError where it is in use, FileNotFoundError where it is gone."""
    descriptor = os.open(left, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_folder(left)
    finally:
        os.close(descriptor)


def _locked_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    """A new folder, and the open file whose lock says that it is in use."""
    while True:
        part = Path(mkdtemp(prefix=prefix, dir=parent))
        with suppress(FileNotFoundError):
            descriptor = os.open(part, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if part.exists():
                return part, descriptor
            os.close(descriptor)  # another process took it for one that was left
