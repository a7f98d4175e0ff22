"""Backups in a bucket: each becomes one with its manifest, which is written last."""

from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from app.database import locks
from app.database.connections import Sessions
from app.errors import BackupFailed, ImageVanished, SourceUnavailable, SourceUnreadable
from app.runtime.backup.manifest import MANIFEST, STAMPED, UPLOADS
from app.sources.interfaces import S3_SCHEME
from app.storage import bucket_writing
from app.storage.buckets import Bucket
from app.storage.part_folders import part_folder

MILLENNIUM = "2"  # stamps begin so, and uploads do not: a listing of stamps is short
STAGED = "backup"
FAILURES = (ImageVanished, SourceUnavailable, SourceUnreadable)


@dataclass(frozen=True)
class BucketPlace:
    """A prefix of a bucket, empty or ending in a slash: see `places.Place`.

    What is on its way is kept in a folder below `near`. Backups of one database keep each other
    out: two databases need a prefix each.
    """

    bucket: Bucket
    prefix: str
    near: Path

    def __str__(self) -> str:
        return f"{S3_SCHEME}{self.bucket.name}/{self.prefix}".rstrip("/")

    @contextmanager
    def alone(self, sessions: Sessions) -> Iterator[None]:
        """Keep out other backups; what was left by those that were killed goes."""
        with locks.alone(sessions, f"backup {self}") as is_alone:
            if not is_alone:
                raise BackupFailed(f"Another backup is being made in {self}.")
            whole = set(self.stamps())
            for name in self._backups():
                if name.partition("/")[0] not in whole:
                    self._delete(name)
            yield

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder on this machine in which a backup's files are written."""
        with part_folder(self.near, STAGED) as part:
            yield part

    def send(self, part: Path, stamp: str) -> str:
        """Bring all but the manifest there; returns the name below which they can be read."""
        for path in sorted(part.iterdir()):
            if path.name != MANIFEST:
                self._put(path, f"{stamp}/{path.name}")
        return stamp

    def publish(self, part: Path, stamp: str) -> None:
        """Bring the manifest there: from then on it is a backup."""
        self._put(part / MANIFEST, f"{stamp}/{MANIFEST}")

    def stamps(self) -> list[str]:
        """The names of the whole backups, oldest first."""
        parts = (name.partition("/") for name in self._backups())
        return sorted(stamp for stamp, _, file in parts if file == MANIFEST)

    def _backups(self) -> list[str]:
        """The names of all files of backups, whole or not."""
        found = self._names(MILLENNIUM)
        return [name for name in found if STAMPED.fullmatch(name.partition("/")[0])]

    def uploads(self) -> Set[str]:
        """The names of the uploads that are there; the bucket is asked once."""
        return self._uploads

    @cached_property
    def _uploads(self) -> set[str]:
        return {name.removeprefix(f"{UPLOADS}/") for name in self._names(f"{UPLOADS}/")}

    def put_upload(self, file: Path, name: str) -> None:
        """Copy an upload there. Raises FileNotFoundError if it was just deleted."""
        self._put(file, f"{UPLOADS}/{name}")
        self._uploads.add(name)

    def read(self, name: str) -> Iterator[bytes]:
        """The bytes of a file, piece by piece."""
        with self._failing(name):
            yield from self.bucket.open(self.prefix + name)

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """The file, copied to this machine."""
        with part_folder(self.near, STAGED) as part:
            path = part / Path(name).name
            with path.open("wb") as file:
                file.writelines(self.read(name))
            yield path

    def delete(self, stamp: str) -> None:
        """Delete a backup, or what there is of one; its manifest first."""
        found = [name for name in self._backups() if name.startswith(f"{stamp}/")]
        for name in sorted(found, key=lambda name: not name.endswith(MANIFEST)):
            self._delete(name)

    def delete_uploads(self, kept: Set[str]) -> None:
        """Delete all uploads but these."""
        for name in sorted(self._uploads - kept):
            self._delete(f"{UPLOADS}/{name}")
            self._uploads.discard(name)

    def _names(self, beginning: str) -> list[str]:
        with self._failing(""):
            found = self.bucket.objects(self.prefix + beginning)
            return [one.key.removeprefix(self.prefix) for one in found]

    def _put(self, file: Path, name: str) -> None:
        with self._failing(name):
            bucket_writing.put_file(self.bucket, self.prefix + name, file)

    def _delete(self, name: str) -> None:
        with self._failing(name):
            bucket_writing.delete(self.bucket, self.prefix + name)

    @contextmanager
    def _failing(self, name: str) -> Iterator[None]:
        try:
            yield
        except ImageVanished as error:
            raise BackupFailed(f"{self}/{name} is missing.") from error
        except FAILURES as error:
            raise BackupFailed(f"{self}: {error}") from error
