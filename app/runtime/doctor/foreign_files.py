"""Files among the uploads that this program did not put there: moved only if a person is sure."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.catalog.collection_deletion import FOLDER, upload_disks
from app.runtime.doctor.findings import Finding
from app.runtime.stores import ASIDE
from app.storage.disk import PART, SHARD, Disk, Stores

DOUBT = "This program did not put them there: somebody may miss them."


@dataclass(frozen=True)
class ForeignFiles:
    """Looks for them in the folder of uploads; folders that are not ours are left alone.

    `oldest_seconds`: a younger file may be on its way.
    """

    stores: Stores
    oldest_seconds: float

    def look(self) -> tuple[Finding, list[str]]:
        """Those files, and a note for each folder that was not looked into."""
        disks = [*upload_disks(self.stores.uploads), self.stores.incoming]
        files = sorted(path for disk in disks for path in self._files(disk))
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
        latest = time.time() - self.oldest_seconds
        shard = "[0-9a-f]" * SHARD
        for path in (*disk.folder.glob("*"), *disk.folder.glob(f"{shard}/*/**/*")):
            is_ours = path.name.startswith((".", PART))  # markers, and what is being written
            if not is_ours and path.is_file() and path.lstat().st_mtime < latest:
                yield path

    def _folders(self) -> Iterator[Path]:
        uploads = self.stores.uploads.folder
        shards = set(uploads.glob("[0-9a-f]" * SHARD))
        for path in uploads.glob("*"):
            is_ours = path in shards or path.name.startswith((".", FOLDER, ASIDE))
            if path.is_dir() and not is_ours:
                yield path
