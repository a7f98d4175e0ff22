"""What the doctor finds, and the caution with which it removes things.

More than a small share is never removed in one go unless a person says twice that it shall be: a
folder that was moved, a disk that is not mounted or another machine's looks like a great loss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

FEW = 10  # rows or files that may be removed in one go, whatever their share is
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
