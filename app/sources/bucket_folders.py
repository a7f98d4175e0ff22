"""Buckets of S3, R2 and the like as sources: all objects whose keys begin with a prefix."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.sources.ignored_names import ONLY_HIDDEN, IgnoredNames
from app.sources.interfaces import S3_SCHEME, CheckHead, PassedOver, SourceFile
from app.sources.sidecars.annotations import COMPANIONS
from app.sources.sidecars.companions import Companions, begins_with, common_beginning
from app.storage.buckets import Bucket

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

        Objects are held back while others begin as they do: their sidecars may be among those.
        """
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
                yield from _with_sidecars(held, after)
                folder, beginning = place, common_beginning(name)
                held = []
            elif beginning.startswith(shorter := common_beginning(name)):
                beginning = shorter
            held.append(SourceFile(path, stored.etag, stored.size))
        yield from _with_sidecars(held, after)

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
        return not any(isinstance(one, SourceFile) for one in self.files())

    def read(self, path: str, max_bytes: int, check: CheckHead | None = None) -> bytes:
        """One object's bytes."""
        return self.bucket.read(self._key(path), max_bytes, check)

    def _path(self, key: str) -> str:
        return f"{S3_SCHEME}{self.bucket.name}/{key}"

    def _key(self, path: str) -> str:
        return path.removeprefix(self._path(""))


def _with_sidecars(
    held: Sequence[SourceFile | PassedOver], after: str | None
) -> Iterator[SourceFile | PassedOver]:
    """Those behind `after` that may be pictures, with their sidecars among all of them."""
    folders: dict[str, dict[str, str]] = {}
    for file in held:
        if isinstance(file, PassedOver):
            continue
        folder, _, name = file.path.rpartition("/")
        folders.setdefault(folder, {})[name] = file.etag
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
