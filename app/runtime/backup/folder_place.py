"""Backups in a folder: each becomes one by a rename."""

import fcntl
import shutil
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from app.database.connections import Sessions
from app.errors import BackupFailed
from app.runtime.backup.manifest import CHUNK, MANIFEST, STAMPED, UPLOADS
from app.storage.disk import PART, files_below, remove_folder, whole_file

LOCK = ".lock"


@dataclass(frozen=True)
class FolderPlace:
    """A folder of backups: see `places.Place`."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    @contextmanager
    def alone(self, _: Sessions) -> Iterator[None]:
        """Keep out other backups; what was left by those that were killed goes."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise BackupFailed(
                f"{self.folder} cannot be created: {error.strerror}. Name a folder that you may "
                "write to."
            ) from error
        with (self.folder / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupFailed(f"Another backup is being made in {self.folder}.") from None
            for left in self.folder.glob(f"{PART}*"):
                remove_folder(left)
            yield

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder in which a backup's files are written."""
        with TemporaryDirectory(prefix=PART, dir=self.folder, ignore_cleanup_errors=True) as name:
            yield Path(name)

    def send(self, part: Path, _stamp: str) -> str:
        """They are there already."""
        return part.name

    def publish(self, part: Path, stamp: str) -> None:
        """Make it a backup."""
        part.rename(self.folder / stamp)

    def stamps(self) -> list[str]:
        """The names of the whole backups, oldest first."""
        with self._failing():
            found = [name for name in _names(self.folder) if STAMPED.fullmatch(name)]
            return sorted(name for name in found if MANIFEST in _names(self.folder / name))

    def uploads(self) -> Set[str]:
        """The names of the uploads that are there."""
        uploads = self.folder / UPLOADS
        with self._failing():
            return {path.relative_to(uploads).as_posix() for path in files_below(uploads)}

    def put_upload(self, file: Path, name: str) -> None:
        """Copy an upload there. Raises FileNotFoundError if it was just deleted."""
        target = self.folder / UPLOADS / name
        with file.open("rb") as source:
            target.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(target) as copy:
                shutil.copyfileobj(source, copy)

    def read(self, name: str) -> Iterator[bytes]:
        """The bytes of a file, piece by piece."""
        path = self.folder / name
        try:
            with path.open("rb") as file:
                while piece := file.read(CHUNK):
                    yield piece
        except FileNotFoundError as error:
            raise BackupFailed(f"{path} is missing.") from error
        except OSError as error:
            raise BackupFailed(f"{path} cannot be read: {error.strerror}") from error

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """The file itself."""
        yield self.folder / name

    def delete(self, stamp: str) -> None:
        """Delete a backup, or what there is of one; its manifest first."""
        with self._failing():
            if (self.folder / stamp).is_dir():
                (self.folder / stamp / MANIFEST).unlink(missing_ok=True)
                remove_folder(self.folder / stamp)

    def delete_uploads(self, kept: Set[str]) -> None:
        """Delete all uploads but these."""
        with self._failing():
            for name in self.uploads() - kept:
                (self.folder / UPLOADS / name).unlink(missing_ok=True)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BackupFailed(
                f"{error.filename or self.folder}: {error.strerror or error}"
            ) from error


def _names(folder: Path) -> list[str]:
    """The names in a folder, none where there is no folder. Raises OSError.

    `Path.glob` would pass over what cannot be read, as though it were not there.
    """
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
