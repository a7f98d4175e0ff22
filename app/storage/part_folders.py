"""Temporary folders that are in use for long: those of processes that were killed go."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from app.storage.disk import PART


@contextmanager
def part_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder for the owner alone, which is deleted at the end unless it was renamed.

    What others of the same name left there that were killed is deleted first. Raises OSError.
    """
    parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{PART}{name}-"
    _sweep(parent, prefix)
    part = Path(mkdtemp(prefix=prefix, dir=parent))
    descriptor = os.open(part, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # it is in use: see `_sweep`
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
        os.close(descriptor)


def _sweep(parent: Path, prefix: str) -> None:
    for left in parent.glob(f"{prefix}*"):
        descriptor = os.open(left, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left)
        except BlockingIOError:  # of one that runs
            continue
        finally:
            os.close(descriptor)
