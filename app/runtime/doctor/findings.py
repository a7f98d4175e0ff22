"""What the doctor finds, and the caution with which it removes things.

More than a small share is never removed in one go unless a person says twice that it shall be: a
folder that was moved, a disk that is not mounted or another machine's looks like a great loss.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

FEW = 10  # rows or files that may be removed in one go, whatever their share is
YOUNG_SECONDS = 3_600  # a file without a row may be a picture on its way
SMALL_SHARE = 0.05  # of all rows or files: no more than that is removed in one go


@dataclass(frozen=True)
class Finding:
    """One kind of fault, where it was found, and how it is mended.

    `repair` takes whether the person is sure and returns how many it mended; `doubts` are sentences
    on why some are left alone unless the person is sure.
    """

    name: str
    found: Sequence[str]
    repair: Callable[[bool], int]
    doubts: Sequence[str] = ()

    def mend(self, *, sure: bool = False) -> int:
        """Mend what may be mended; returns how many were."""
        return self.repair(sure) if self.found else 0


def doubt_share(count: int, population: int, what: str) -> list[str]:
    """Why so many of all cannot be removed in one go; empty if they can."""
    if count <= max(FEW, int(population * SMALL_SHARE)):
        return []
    return [f"{count} of {population} {what}: more than a small share at once."]


def old_files(files: Iterable[Path]) -> list[Path]:
    """Those that are not being written just now, and that nobody deleted since they were listed."""
    oldest = time.time() - YOUNG_SECONDS
    return [path for path in files if _written(path) < oldest]


def _written(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return math.inf
