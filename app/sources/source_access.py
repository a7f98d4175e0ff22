"""Opens the source that a job names, and reads the files of pictures wherever they are."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import ImageVanished, SourceUnreadable
from app.sources.bucket_folders import BucketFolder
from app.sources.folders import Folder, read_file
from app.sources.ignored_names import ONLY_HIDDEN, IgnoredNames
from app.sources.interfaces import RECORDS_ONLY, S3_SCHEME, Source
from app.storage.bounded_reads import ORIGINALS
from app.storage.buckets import Bucket, Buckets
from app.storage.disk import STORE_SCHEME, UploadStore


@dataclass(frozen=True)
class Sources:
    """Opens what a job's `source` names; `root` is where relative paths start.

    `uploads` is this process's store; the catalog may know pictures in others.
    """

    root: Path
    buckets: Buckets
    uploads: UploadStore | None = None
    ignored: IgnoredNames = ONLY_HIDDEN

    def open(self, source: Mapping[str, Any]) -> Source | None:
        """The folder or bucket; None if the job's files were uploaded with it.

        Raises SourceUnreadable for our own uploads.
        """
        if "folder" in source:
            folder = Path(source["folder"])
            if self.uploads and folder.is_relative_to(self.uploads.folder):
                raise SourceUnreadable(f"{folder} holds uploads, which are indexed already.")
            follow_links = bool(source.get("follow_links"))
            return Folder(folder, self.root, self.ignored, follow_links)
        if "bucket" in source:
            bucket = self.buckets.bucket(source["bucket"])
            return BucketFolder(bucket, source.get("prefix", ""), self.ignored)
        return None

    def read(self, path: str, max_bytes: int) -> bytes:
        """The bytes of the picture at `path` in the catalog. Raises as `Source.read`."""
        if path.startswith(S3_SCHEME):
            bucket, key = self.stored_object(path)
            return bucket.read(key, max_bytes)
        return read_file(self.location(path), max_bytes)

    def location(self, path: str) -> Path:
        """The file on this machine. Raises ImageVanished if there is none, or in another store."""
        if path.startswith(RECORDS_ONLY):
            raise ImageVanished(
                "The picture was imported without a file: upload the file to add it."
            )
        if not path.startswith(STORE_SCHEME):
            return self.root / path
        here = self.uploads.location(path) if self.uploads else None
        if here is None:
            raise ImageVanished(
                "The file is kept in another store of uploads than the one in "
                "IMAGE_SEARCH_UPLOAD_DIR."
            )
        return here

    def is_elsewhere(self, path: str) -> bool:
        """Whether the file, if there is one, is kept where this process does not look."""
        if path.startswith(RECORDS_ONLY):
            return True
        here = self.uploads is not None and self.uploads.location(path) is not None
        return path.startswith(STORE_SCHEME) and not here

    def stored_object(self, path: str) -> tuple[Bucket, str]:
        """The bucket and the key of s3://bucket/key."""
        name, _, key = path.removeprefix(S3_SCHEME).partition("/")
        return self.buckets.bucket(name), key

    def exists(self, path: str) -> bool:
        """Whether the file exists; assumed if it is in another store, or may not be looked up.

        Raises SourceUnavailable if a bucket or a disk does not answer.
        """
        if path.startswith(S3_SCHEME):
            bucket, key = self.stored_object(path)
            return bucket.exists(key)
        if self.is_elsewhere(path):
            return True
        location = self.location(path)
        return ORIGINALS.call(location, lambda beat: _exists(location))


def _exists(location: Path) -> bool:
    """Whether a file is listed there under this very name.

    A disk that ignores case opens `Pier.PNG` too once it was renamed to `pier.png`.
    """
    try:
        if stat.S_ISDIR(location.stat().st_mode):
            return False
        return all(_is_listed(part) for part in (location, *location.parents[:-1]))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _is_listed(path: Path) -> bool:
    try:
        return path.name in os.listdir(path.parent)  # noqa: PTH208  # names alone, in C
    except PermissionError:  # a folder may be entered without being listed
        return True
