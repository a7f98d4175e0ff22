"""Where backups are kept: a folder, or a bucket under a prefix.

Both hold the same files under the same names: those of each backup below its stamp, and the uploads
of all below UPLOADS, whose names tell their content.
"""

from collections.abc import Iterator, Set
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from app.database.connections import Sessions
from app.errors import BackupFailed
from app.runtime import backing_services
from app.runtime.backup.bucket_place import BucketPlace
from app.runtime.backup.folder_place import FolderPlace
from app.settings import Settings
from app.sources.interfaces import S3_SCHEME


class Place(Protocol):
    """What backups are made in; every method raises BackupFailed."""

    def alone(self, sessions: Sessions) -> AbstractContextManager[None]:
        """Keep out other backups; what was left by those that were killed goes."""

    def staging(self) -> AbstractContextManager[Path]:
        """A folder on this machine in which a backup's files are written."""

    def send(self, part: Path, stamp: str) -> str:
        """Bring all but the manifest there; returns the name below which they can be read."""

    def publish(self, part: Path, stamp: str) -> None:
        """Bring the manifest there: from then on it is a backup."""

    def stamps(self) -> list[str]:
        """The names of the whole backups, oldest first."""

    def uploads(self) -> Set[str]:
        """The names of the uploads that are there."""

    def put_upload(self, file: Path, name: str) -> None:
        """Copy an upload there. Raises FileNotFoundError if it was just deleted."""

    def read(self, name: str) -> Iterator[bytes]:
        """The bytes of a file, piece by piece."""

    def local(self, name: str) -> AbstractContextManager[Path]:
        """The file on this machine."""

    def delete(self, stamp: str) -> None:
        """Delete a backup, or what there is of one; its manifest first."""

    def delete_uploads(self, kept: Set[str]) -> None:
        """Delete all uploads but these."""


def open_place(settings: Settings, name: str) -> Place:
    """The folder of that path, or the bucket of s3://bucket/prefix. Raises BackupFailed."""
    if not name.startswith(S3_SCHEME):
        return FolderPlace(Path(name).expanduser().absolute())
    bucket, _, prefix = name.removeprefix(S3_SCHEME).partition("/")
    if not bucket:
        raise BackupFailed(f"{name} names no bucket: write it like s3://bucket/backups.")
    found = backing_services.open_buckets(settings).bucket(bucket)
    return BucketPlace(found, f"{prefix.strip('/')}/".lstrip("/"), settings.storage_dir.parent)
