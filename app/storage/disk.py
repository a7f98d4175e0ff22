"""Files on the local disk: uploads, files waiting for a worker, and thumbnails."""

import io
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import iglob
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from app.errors import StorageUnwritable

log = logging.getLogger(__name__)

PART = ".part-"
PART_SECONDS = 3600  # no write takes longer
IDENTITY = ".identity"
OWNER = ".database"  # the identity of the database that the files belong to
TRASH = ".trash"  # below it a folder for each day
STORE_SCHEME = "store://"
SHARD = 2  # characters of the hash that name the sub-folder: 256 folders


class Disk:
    """A folder of files that are written completely or not at all; the caller names them.

    `setting` is what gives the folder: errors name it.
    """

    def __init__(self, folder: Path, setting: str | None = None) -> None:
        self.folder = folder
        self.setting = setting

    def below(self, folder: str) -> "Disk":
        """The folder of that name below this one."""
        return Disk(self.folder / folder, self.setting)

    def path(self, name: str) -> Path:
        """The file of `name`, in a sub-folder named after its first characters."""
        return self.folder / name[:SHARD] / name

    def put(self, name: str, data: bytes) -> Path:
        """Write `data` unless `name` exists; once this returns, the file survives a power cut.

        Raises StorageUnwritable, and then nothing is left.
        """
        return self.copy(name, io.BytesIO(data))

    def copy(self, name: str, source: BinaryIO) -> Path:
        """Like `put`, reading from `source` piece by piece."""
        target = self.path(name)
        with self._writing():
            if target.exists():
                return target
            if not target.parent.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                sync_folder(self.folder)
            with whole_file(target) as file:
                shutil.copyfileobj(source, file)
        return target

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Raise StorageUnwritable, which says where, instead of an OSError."""
        try:
            yield
        except OSError as error:
            by = f" ({self.setting})" if self.setting else ""
            advice = (
                "A file is there or on the way to it: name a folder."
                if isinstance(error, FileExistsError | NotADirectoryError)
                else "Make room there, or make it writable."
            )
            raise StorageUnwritable(
                f"{self.folder}{by} cannot be written: {error.strerror or error}. {advice}"
            ) from error

    def files(self) -> Iterator[Path]:
        """Every complete file; those still being written are skipped."""
        for shard in self.folder.glob("[0-9a-f]" * SHARD):
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(shard) as entries:
                for entry in entries:
                    if entry.is_file() and not entry.name.startswith(PART):
                        yield Path(entry.path)

    def free_bytes(self) -> int | None:
        """The room that is left for this process's files; None where the disk does not say."""
        try:
            return shutil.disk_usage(self.folder).free
        except OSError:
            return None

    def identity(self) -> str:
        """A random name of this disk, created once: equal for all processes that share it."""
        return self.marker(IDENTITY) or self.mark(IDENTITY, uuid4().hex)

    def owner(self) -> str | None:
        """The identity of the database that the files belong to; None if nobody claimed them."""
        return self.marker(OWNER)

    def claim(self, database: str) -> str:
        """Make `database` the owner unless there is one; returns the owner."""
        return self.owner() or self.mark(OWNER, database)

    def marker(self, name: str) -> str | None:
        """What the marker file says, or None if there is none."""
        try:
            return (self.folder / name).read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def mark(self, name: str, content: str) -> str:
        """Create a marker file unless it exists; returns what it says. Raises as `put`."""
        mine = self.folder / f"{PART}{uuid4().hex}"
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                mine.write_text(content)
                with suppress(FileExistsError):  # of two processes at once, one wins
                    (self.folder / name).hardlink_to(mine)
            finally:
                mine.unlink(missing_ok=True)
        return (self.folder / name).read_text()

    def discard(self, path: Path) -> None:
        """Move a file of this folder into today's trash, where a person may find it again."""
        aside = self.trash() / path.relative_to(self.folder)
        aside.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # somebody else was faster
            path.replace(aside)

    def trash(self) -> Path:
        """The folder of what is moved aside today."""
        return self.folder / TRASH / time.strftime("%Y-%m-%d")

    def delete(self, path: Path) -> bool:
        """Delete a file of this folder if it is there; False if the disk does not let us."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:  # the folder is read-only, say
            log.warning("%s stays: %s", path, error.strerror)
            return False
        return True

    def remove(self, pattern: str) -> None:
        """Delete the files matching the glob `pattern`, whose first characters are literal."""
        for path in self.path(pattern).parent.glob(pattern):
            self.delete(path)

    def sweep(self) -> None:
        """Delete temporary files that a killed process left, once they are too old to be in use.

        Other servers may share the folder: what they delete meanwhile is passed over.
        """
        oldest = time.time() - PART_SECONDS
        for name in iglob(f"*/{PART}*", root_dir=self.folder):  # noqa: PTH207  # which raises
            with suppress(FileNotFoundError):
                if (self.folder / name).stat().st_mtime < oldest:
                    self.delete(self.folder / name)

    def owns(self, path: Path) -> bool:
        """Whether `path` lies under this folder."""
        return path.is_relative_to(self.folder)


class UploadStore(Disk):
    """The folder of uploads: a path `store://<identity>/7d/7d8e.jpg` is relative to it.

    So the folder may be moved, and a file is never taken for one of another machine.
    """

    def __init__(self, folder: Path, setting: str | None = None) -> None:
        super().__init__(folder, setting)
        self.prefix = f"{STORE_SCHEME}{self.identity()}/"

    def stored_path(self, file: Path) -> str:
        """How the catalog names a file below the folder."""
        return self.prefix + file.relative_to(self.folder).as_posix()

    def location(self, path: str) -> Path | None:
        """The file that the catalog names `path`; None if it is kept in another store."""
        if not path.startswith(self.prefix):
            return None
        return self.folder / path.removeprefix(self.prefix)


@dataclass(frozen=True)
class Stores:
    """The folders this service writes to: uploads, files waiting for a worker, thumbnails."""

    uploads: UploadStore
    incoming: Disk
    thumbnails: Disk


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """A temporary file, renamed to `target` once it is complete and synced to the disk."""
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


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, at any depth; what others delete meanwhile is passed over."""
    for place, _, names in os.walk(folder):
        yield from (path for name in names if (path := Path(place, name)).is_file())


def remove_folder(folder: Path) -> None:
    """Delete a folder with all that is in it, also while others delete there. Raises OSError."""
    while folder.exists():
        with suppress(FileNotFoundError):  # somebody else was faster: on with the rest
            shutil.rmtree(folder)


def sync_folder(folder: Path) -> None:
    """Sync a folder's entries to the disk: renames and links in it then survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
