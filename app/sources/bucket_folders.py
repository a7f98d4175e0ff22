"""Buckets of S3, R2 and the like as sources: all objects whose keys begin with a prefix."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.errors import ImageVanished
from app.sources.ignored_names import ONLY_HIDDEN, IgnoredNames
from app.sources.interfaces import S3_SCHEME, SIDECAR, CheckHead, SourceFile
from app.sources.sidecars import COMPANIONS, MAX_SIDECAR_BYTES, Annotation, parse_sidecar
from app.storage.buckets import Bucket


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

    def files(self, after: str | None = None) -> Iterator[SourceFile]:
        """The objects that may be pictures; a sidecar's etag is part of its picture's.

        A sidecar is listed after its picture, with others in between, so pictures are held back
        until theirs can no longer come.
        """
        start = None if after is None else self._key(after)
        waiting: deque[SourceFile] = deque()
        sidecars: dict[str, str] = {}
        for stored in self.bucket.objects(self.key_prefix, start):
            path = self._path(stored.key)
            while waiting and waiting[0].path + SIDECAR < path:
                yield _with_sidecar(waiting.popleft(), sidecars)
            name = stored.key.rpartition("/")[2]
            if self.ignores(path):
                continue
            if path.endswith(SIDECAR):
                sidecars[path.removesuffix(SIDECAR)] = stored.etag
            elif Path(name).suffix.lower() not in COMPANIONS:
                waiting.append(SourceFile(path, stored.etag, stored.size))
        for file in waiting:
            yield _with_sidecar(file, sidecars)

    def ignores(self, path: str) -> bool:
        """Whether a listing passes the object at `path` over by its name or a folder's."""
        folder = self.key_prefix.rpartition("/")[0]
        below = self._key(path)[len(folder) :].removeprefix("/")
        return self.ignored.has_any(below, folder.rpartition("/")[2])

    def is_empty(self, path: str) -> bool:
        """Whether nothing is below the prefix of all; parts of a bucket have no disk to lose."""
        return path == self.prefix and next(self.files(), None) is None

    def read(self, path: str, max_bytes: int, check: CheckHead | None = None) -> bytes:
        """One object's bytes."""
        return self.bucket.read(self._key(path), max_bytes, check)

    def annotation(self, path: str) -> Annotation | None:
        """The contents of the object's sidecar, if it has one."""
        try:
            return parse_sidecar(self.read(path + SIDECAR, MAX_SIDECAR_BYTES))
        except ImageVanished:
            return None

    def _path(self, key: str) -> str:
        return f"{S3_SCHEME}{self.bucket.name}/{key}"

    def _key(self, path: str) -> str:
        return path.removeprefix(self._path(""))


def _with_sidecar(file: SourceFile, sidecars: dict[str, str]) -> SourceFile:
    etag = sidecars.pop(file.path, None)
    return file if etag is None else SourceFile(file.path, f"{file.etag}+{etag}", file.size)
