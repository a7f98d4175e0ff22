"""Buckets of S3, R2 and the like as sources: all objects whose keys begin with a prefix."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.sources.ignored_names import ONLY_HIDDEN, IgnoredNames
from app.sources.interfaces import S3_SCHEME, CheckHead, PassedOver, SourceFile
from app.sources.sidecars.annotations import COMPANIONS
from app.sources.sidecars.companions import (
    Companions,
    begins_with,
    common_beginning,
    is_album,
)
from app.storage.buckets import Bucket

Albums = Mapping[str, Mapping[str, str]]
"""The etags of the files that describe albums, by folder and name."""

MAX_ALBUMS = 100_000  # of a bucket, whose files are read: so many are held in memory
HELD = 1_000  # objects of one beginning that are held back at most, while sidecars may come


@dataclass(frozen=True)
class BucketFolder:
    """The objects of a bucket whose keys begin with `key_prefix`."""

    bucket: Bucket
    key_prefix: str = ""
    ignored: IgnoredNames = ONLY_HIDDEN

    @property
    def prefix(self) -> str:
        """The common prefix of its files' paths."""
        return self._path(self.key_prefix)

    def files(self, after: str | None = None) -> Iterator[SourceFile | PassedOver]:
        """The objects that may be pictures; a sidecar's etag is part of its picture's.

        Objects are held back while others begin as they do: their sidecars may be among those. An
        album's file lies anywhere in its folder: all keys are listed once more before, for these.
        """
        return self._found(after, self._albums())

    def _found(self, after: str | None, albums: Albums) -> Iterator[SourceFile | PassedOver]:
        held: list[SourceFile | PassedOver] = []
        folder, beginning = "", ""
        for stored in self.bucket.objects(self.key_prefix, self._start(after)):
            path = self._path(stored.key)
            if self.ignores(path):
                held.append(PassedOver(path))
                continue
            place, _, name = path.rpartition("/")
            is_near = place == folder and begins_with(name, beginning)
            if not held or not is_near or len(held) >= HELD:
                yield from _with_sidecars(held, after, albums)
                folder, beginning = place, common_beginning(name)
                held = []
            elif beginning.startswith(shorter := common_beginning(name)):
                beginning = shorter
            held.append(SourceFile(path, stored.etag, stored.size))
        yield from _with_sidecars(held, after, albums)

    def _albums(self) -> Albums:
        found: dict[str, dict[str, str]] = {}
        count = 0
        for stored in self.bucket.objects(self.key_prefix):
            path = self._path(stored.key)
            folder, _, name = path.rpartition("/")
            if count < MAX_ALBUMS and is_album(name) and not self.ignores(path):
                found.setdefault(folder, {})[name] = stored.etag
                count += 1
        return found

    def _start(self, after: str | None) -> str | None:
        """The key behind which to list: the sidecars of what comes next may lie before `after`."""
        if after is None:
            return None
        folder, slash, name = self._key(after).rpartition("/")
        return f"{folder}{slash}{common_beginning(name)}"

    def ignores(self, path: str) -> bool:
        """Whether a listing passes the object at `path` over by its name or a folder's."""
        folder = self.key_prefix.rpartition("/")[0]
        below = self._key(path)[len(folder) :].removeprefix("/")
        return self.ignored.has_any(below, folder.rpartition("/")[2])

    def is_empty(self, path: str) -> bool:
        """Whether nothing is below the prefix of all; parts of a bucket have no disk to lose."""
        if path != self.prefix:
            return False
        return not any(isinstance(one, SourceFile) for one in self._found(None, {}))

    def read(self, path: str, max_bytes: int, check: CheckHead | None = None) -> bytes:
        """One object's bytes."""
        return self.bucket.read(self._key(path), max_bytes, check)

    def _path(self, key: str) -> str:
        return f"{S3_SCHEME}{self.bucket.name}/{key}"

    def _key(self, path: str) -> str:
        return path.removeprefix(self._path(""))


def _with_sidecars(
    held: Sequence[SourceFile | PassedOver], after: str | None, albums: Albums
) -> Iterator[SourceFile | PassedOver]:
    """Those behind `after` that may be pictures, with their sidecars among all of them."""
    folders: dict[str, dict[str, str]] = {}
    for file in held:
        if isinstance(file, PassedOver):
            continue
        folder, _, name = file.path.rpartition("/")
        folders.setdefault(folder, dict(albums.get(folder, {})))[name] = file.etag
    companions = {folder: Companions.among(names) for folder, names in folders.items()}
    for file in held:
        if after is not None and file.path <= after:
            continue
        if isinstance(file, PassedOver):
            yield file
            continue
        folder, _, name = file.path.rpartition("/")
        if Path(name).suffix.lower() in COMPANIONS or companions[folder].is_clip(name):
            yield PassedOver(file.path, is_companion=True)
            continue
        sidecars = companions[folder].of(name)
        etag = "+".join([file.etag, *(folders[folder][one] for one in sidecars)])
        yield file._replace(etag=etag, sidecars=sidecars)
