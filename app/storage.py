"""Files on disk: uploads by content hash, and the cache of thumbnails."""

import os
import tempfile
import time
from pathlib import Path

PART = ".part-"
PART_SECONDS = 3600  # a write takes less
SHARD = 2  # characters of the hash that name the sub-folder: 256 folders


class Disk:
    """Keeps bytes under names of the caller's making, whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where `name` is kept: in a sub-folder named by its first characters."""
        return self.folder / name[:SHARD] / name

    def put(self, name: str, data: bytes) -> Path:
        """Write `data` unless it is there; after the return it survives a power cut.

        Temp file, fsync, rename, fsync of the folder: a reader never sees a part.
        """
        target = self.path(name)
        if target.exists():
            return target
        if not target.parent.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync_folder(self.folder)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=PART)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)
        return target

    def remove(self, pattern: str) -> None:
        """Delete the files whose names match the glob `pattern`, which starts with a shard."""
        for path in self.path(pattern).parent.glob(pattern):
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete the temporary files that a kill left behind, once no write can own them."""
        oldest = time.time() - PART_SECONDS
        for path in self.folder.glob(f"*/{PART}*"):
            if path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)

    def owns(self, path: Path) -> bool:
        """Whether `path` lies under this folder."""
        return path.is_relative_to(self.folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
