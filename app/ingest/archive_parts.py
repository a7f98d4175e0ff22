"""The archive of a job: one that was uploaded, or the parts of one that lie on this machine."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from app.errors import ArchiveRejected
from app.ingest.jobs.task_queue import BULK_PRIORITY, SENT_PRIORITY
from app.sources.archives import archives
from app.sources.archives.archive_members import ArchiveEntry, RefusedEntry
from app.sources.archives.decompression import ArchiveLimits
from app.sources.ignored_names import IgnoredNames

MAX_IMPORT_ENTRIES = 1_000_000  # of one part
MAX_IMPORT_BYTES = 10**12  # of one part, unpacked
MAX_IMPORT_ANNOTATION_BYTES = 10**9  # sidecars of all parts: a million of a kilobyte


@dataclass(frozen=True)
class ArchiveParts:
    """The files of one archive, in the order in which they are read."""

    paths: list[Path]
    limits: ArchiveLimits
    priority: int = SENT_PRIORITY
    goes_on: bool = False  # after a part that is damaged, which is then refused

    @classmethod
    def of_import(cls, paths: Iterable[Path], limits: ArchiveLimits) -> Self:
        """Parts that the operator has: their limits only keep a damaged one from filling a disk."""
        wide = replace(
            limits,
            max_entries=MAX_IMPORT_ENTRIES,
            max_unpacked_bytes=MAX_IMPORT_BYTES,
            max_annotation_bytes=MAX_IMPORT_ANNOTATION_BYTES,
        )
        return cls(list(paths), wide, BULK_PRIORITY, goes_on=True)

    def entries(
        self, mark: str | None, ignored: IgnoredNames
    ) -> Iterator[tuple[str, ArchiveEntry | RefusedEntry]]:
        """The entries after the checkpoint `mark`, each with its own, as `archives.entries`."""
        first, after = _position(mark)
        for number, path in enumerate(self.paths[first:], first):
            index = after if number == first else -1
            try:
                for entry in archives.entries(path, self.limits, index, ignored):
                    index = entry.index
                    yield f"{number}.{index}", entry
            except (ArchiveRejected, OSError) as error:
                if not self.goes_on:
                    raise
                reason = str(error) if isinstance(error, ArchiveRejected) else error.strerror
                refused = RefusedEntry(
                    index, str(path), f"The archive could not be read to its end: {reason}"
                )
                yield f"{number + 1}.-1", refused


def _position(mark: str | None) -> tuple[int, int]:
    """The part and the index of the last entry that was listed."""
    if mark is None:
        return 0, -1
    part, _, index = mark.rpartition(".")
    return int(part or 0), int(index)
