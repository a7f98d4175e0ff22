"""Files on this machine's disk: uploads, what waits for a worker, and thumbnails."""

import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

PART = ".part-"
PART_SECONDS = 3600  # a write takes less
IDENTITY = ".identity"
SHARD = 2  # characters of the hash that name the sub-folder: 256 folders


class Disk:
    """Keeps bytes under names of the caller's making, whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where `name` is kept: in a sub-folder named by its first characters."""
        return self.folder / name[:SHARD] / name

    def put(self, name: str, data: bytes) -> Path:
        """Write `data` unless it is there; after the return it survives a power cut."""
        return self.copy(name, io.BytesIO(data))

    def copy(self, name: str, source: BinaryIO) -> Path:
        """The same with what `source` gives, a piece at a time."""
        target = self.path(name)
        if target.exists():
            return target
        if not target.parent.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(self.folder)
        with whole_file(target) as file:
            shutil.copyfileobj(source, file)
        return target

    def files(self) -> Iterator[Path]:
        """Every file that is kept, and none that is being written."""
        for path in self.folder.glob(f"{'[0-9a-f]' * SHARD}/*"):
            if not path.name.startswith(PART):
                yield path

    def identity(self) -> str:
        """What all processes that see this disk have in common, and no others: made once."""
        place = self.folder / IDENTITY
        if not place.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            name = uuid4().hex
            mine = self.folder / f"{PART}{name}"
            mine.write_text(name)
            with suppress(FileExistsError):  # of two that make it at once, one wins
                place.hardlink_to(mine)
            mine.unlink()
        return place.read_text()

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


@dataclass(frozen=True)
class Stores:
    """Where this service keeps files: uploads, bytes that wait for a worker, and thumbnails."""

    uploads: Disk
    incoming: Disk
    thumbnails: Disk


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """A file that becomes `target` once it is whole and on the disk, or never does."""
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=PART)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make what was renamed or linked in it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
