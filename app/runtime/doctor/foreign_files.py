"""Files among the uploads that this program did not put there: moved only if a person is sure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from app.catalog.collection_deletion import FOLDER, upload_disks
from app.runtime.doctor.findings import Finding, old_files
from app.runtime.stores import ASIDE
from app.storage.disk import PART, SHARD, Disk, Stores, files_below

SHARDS = "[0-9a-f]" * SHARD
OWN_NAME = re.compile(r"[0-9a-f]{64}(-\d+){0,2}(\.\w+)?|[0-9a-f]{32}")
"""Uploads and thumbnails are named by a hash, files that wait for a worker by a random number."""
DOUBT = "This program did not put them there: somebody may miss them."


def has_own_name(path: Path) -> bool:
    """Whether this program gives such names to files in the folder that it is in."""
    return OWN_NAME.fullmatch(path.name) is not None and path.name.startswith(path.parent.name)


@dataclass(frozen=True)
class ForeignFiles:
    """Looks for them in the folder of uploads; folders that are not ours are left alone."""

    stores: Stores

    def look(self, strays: Iterable[Path]) -> tuple[Finding, list[str]]:
        """Those files, and a note for each folder that was not looked into.

        `strays` are files among our own that nothing in the database knows.
        """
        disks = [*upload_disks(self.stores.uploads), self.stores.incoming]
        beside = old_files(path for disk in disks for path in self._files(disk))
        files = sorted([*beside, *(path for path in strays if not has_own_name(path))])
        notes = [
            f"{path} is no folder of this program's, and was not looked into."
            for path in sorted(self._folders())
        ]

        def discard(sure: bool) -> int:
            for path in files if sure else ():
                self.stores.uploads.discard(path)
            return len(files) if sure else 0

        doubts: Sequence[str] = [DOUBT] if files else []
        return Finding("other files among the uploads", [*map(str, files)], discard, doubts), notes

    def _files(self, disk: Disk) -> Iterator[Path]:
        """Files beside the folders that are named after hashes, and in folders below those."""
        below = (files_below(shard) for shard in disk.folder.glob(SHARDS))
        deeper = (path for path in chain.from_iterable(below) if path.parent.parent != disk.folder)
        for path in chain(disk.folder.glob("*"), deeper):
            is_ours = path.name.startswith((".", PART))  # markers, and what is being written
            if not is_ours and path.is_file():
                yield path

    def _folders(self) -> Iterator[Path]:
        uploads = self.stores.uploads.folder
        shards = set(uploads.glob(SHARDS))
        for path in uploads.glob("*"):
            is_ours = path in shards or path.name.startswith((".", FOLDER, ASIDE))
            if path.is_dir() and not is_ours:
                yield path
