"""Where pictures come from: folders and buckets, each as one iterator of path, etag and size.

A listing is sorted by its paths' UTF-8 bytes, as S3 sorts keys and Postgres's collation C sorts
text: so a listing can be compared with the catalog piece by piece and taken up again anywhere.
"""

import errno
import os
import stat
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from app.errors import ImageTooLarge, ImageVanished, SourceUnavailable, SourceUnreadable
from app.sources.sidecars import COMPANIONS, MAX_SIDECAR_BYTES, Annotation, parse_sidecar
from app.storage.buckets import Bucket, Buckets

SIDECAR = ".json"  # picture.jpg.json holds the caption and metadata of picture.jpg
S3_SCHEME = "s3://"
QUIET_SECONDS = 1.0  # a file that was written to since may not be whole yet


@dataclass(frozen=True)
class SourceFile:
    """One file that may be a picture.

    `path` is how the catalog names it; `etag` changes when the file or its sidecar may have;
    `size` is in bytes; a file that is not `settled` may still be written to.
    """

    path: str
    etag: str
    size: int
    settled: bool = True


class Source(Protocol):
    """A place that keeps its pictures: they are read where they lie."""

    @property
    def prefix(self) -> str:
        """How the paths of all its files begin."""

    def files(self, after: str | None = None) -> Iterator[SourceFile]:
        """The files whose path is greater than `after`, sorted by path.

        Raises SourceUnreadable or SourceUnavailable where it cannot be listed whole.
        """

    def read(self, path: str, max_bytes: int) -> bytes:
        """One file's bytes. Raises ImageTooLarge, ImageVanished or SourceUnavailable."""

    def annotation(self, path: str) -> Annotation | None:
        """What the file's sidecar says, if it has one. Raises as `read`, or AnnotationInvalid."""


@dataclass(frozen=True)
class Folder:
    """A folder on this machine's disk; relative paths start at `root`."""

    folder: Path
    root: Path

    @property
    def prefix(self) -> str:
        """How the paths of all its files begin."""
        return f"{stored_path(self.folder, self.root)}/"

    def files(self, after: str | None = None) -> Iterator[SourceFile]:
        """The files below; hidden and companion files are passed over.

        Raises SourceUnreadable where a folder cannot be listed: half a listing would make the
        rest look deleted.
        """
        if not self.folder.is_dir():
            raise SourceUnreadable(f"{self.folder} is not a folder. Create it, or name another.")
        if self.root.is_relative_to(self.folder):  # its own uploads and caches are no source
            raise SourceUnreadable(
                f"{self.folder} holds this program itself: name the folder of the pictures."
            )
        for entry in _walk(self.folder):
            path = stored_path(Path(entry.path), self.root)
            if after is None or os.fsencode(path) > os.fsencode(after):
                yield from _source_file(entry, path)

    def read(self, path: str, max_bytes: int) -> bytes:
        """One file's bytes."""
        return read_file(self.root / path, max_bytes)

    def annotation(self, path: str) -> Annotation | None:
        """What the file's sidecar says, if it has one."""
        try:
            return parse_sidecar(read_file(self.root / (path + SIDECAR), MAX_SIDECAR_BYTES))
        except ImageVanished:
            return None


def _walk(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """Every file below that may be a picture, sorted by the bytes of its path.

    A folder is sorted as its name with a slash: so sorts what is below it.
    """
    try:
        with os.scandir(folder) as listed:
            entries = [entry for entry in listed if not entry.name.startswith(".")]
        entries.sort(key=lambda entry: os.fsencode(entry.name) + b"/" * _is_folder(entry))
        for entry in entries:
            if _is_folder(entry):
                yield from _walk(Path(entry.path))
            elif Path(entry.name).suffix.lower() not in COMPANIONS:
                yield entry
    except OSError as error:
        _unreadable(error)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Links to folders are none: they may lead in a circle."""
    return entry.is_dir(follow_symlinks=False)


def _source_file(entry: "os.DirEntry[str]", path: str) -> Iterator[SourceFile]:
    try:
        if not entry.is_file():  # no pipes or devices: reading one may never end
            return
        found = entry.stat()
    except FileNotFoundError:  # gone since it was listed, or a link to nowhere
        return
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself
            return
        _unreadable(error)
    etag = f"{found.st_size}-{found.st_mtime_ns}"
    try:
        sidecar = Path(entry.path + SIDECAR).stat()
        etag += f"+{sidecar.st_size}-{sidecar.st_mtime_ns}"
    except OSError:
        pass
    settled = abs(time.time() - found.st_mtime) > QUIET_SECONDS
    yield SourceFile(path, etag, found.st_size, settled)


def read_file(location: Path, max_bytes: int) -> bytes:
    """A file's bytes. Raises ImageVanished, ImageTooLarge or SourceUnavailable."""
    try:
        with location.open("rb") as file:
            check_size(os.fstat(file.fileno()).st_size, max_bytes)
            data = file.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageVanished("The file is gone.") from error
    except OSError as error:
        raise SourceUnavailable(f"The file cannot be read: {error.strerror}.") from error
    check_size(len(data), max_bytes)  # it may have grown
    return data


def check_size(size: int, max_bytes: int) -> None:
    """Raise ImageTooLarge where a file of `size` bytes goes over `max_bytes`."""
    if size > max_bytes:
        raise ImageTooLarge(
            f"The file has {size / 1e6:.1f} MB; {max_bytes / 1e6:g} MB are allowed."
        )


def stored_path(location: Path, root: Path) -> str:
    """How the catalog names a file: relative to `root` below it, else absolute; with /."""
    inside = location.is_relative_to(root)
    return (location.relative_to(root) if inside else location).as_posix()


def _unreadable(error: OSError) -> NoReturn:
    raise SourceUnreadable(f"{error.filename} cannot be listed: {error.strerror}.")


@dataclass(frozen=True)
class BucketFolder:
    """The objects of a bucket whose keys begin with `key_prefix`; nothing of them is kept here."""

    bucket: Bucket
    key_prefix: str = ""

    @property
    def prefix(self) -> str:
        """How the paths of all its files begin."""
        return self._path(self.key_prefix)

    def files(self, after: str | None = None) -> Iterator[SourceFile]:
        """The objects that may be pictures, each with the etag of its sidecar, if it has one.

        A sidecar is listed after its picture, with others between: pictures wait for it.
        """
        start = None if after is None else self._key(after)
        waiting: deque[SourceFile] = deque()
        sidecars: dict[str, str] = {}
        for stored in self.bucket.objects(self.key_prefix, start):
            path = self._path(stored.key)
            while waiting and waiting[0].path + SIDECAR < path:
                yield _with_sidecar(waiting.popleft(), sidecars)
            name = stored.key.rpartition("/")[2]
            if path.endswith(SIDECAR):
                sidecars[path.removesuffix(SIDECAR)] = stored.etag
            elif not name.startswith(".") and Path(name).suffix.lower() not in COMPANIONS:
                waiting.append(SourceFile(path, stored.etag, stored.size))
        for file in waiting:
            yield _with_sidecar(file, sidecars)

    def read(self, path: str, max_bytes: int) -> bytes:
        """One object's bytes."""
        return self.bucket.read(self._key(path), max_bytes)

    def annotation(self, path: str) -> Annotation | None:
        """What the object's sidecar says, if it has one."""
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


@dataclass(frozen=True)
class Sources:
    """Opens what a job's `source` names; `root` is where relative paths start."""

    root: Path
    buckets: Buckets

    def open(self, source: Mapping[str, Any]) -> Source | None:
        """The folder or bucket; None where the job brought its files along."""
        if "folder" in source:
            return Folder(Path(source["folder"]), self.root)
        if "bucket" in source:
            bucket = self.buckets.bucket(source["bucket"])
            return BucketFolder(bucket, source.get("prefix", ""))
        return None

    def read(self, path: str, max_bytes: int) -> bytes:
        """The bytes of a picture that the catalog has at `path`. Raises as `Source.read`."""
        if path.startswith(S3_SCHEME):
            bucket, key = self.stored_object(path)
            return bucket.read(key, max_bytes)
        return read_file(self.root / path, max_bytes)

    def stored_object(self, path: str) -> tuple[Bucket, str]:
        """The bucket and the key of s3://bucket/key."""
        name, _, key = path.removeprefix(S3_SCHEME).partition("/")
        return self.buckets.bucket(name), key

    def exists(self, path: str) -> bool:
        """Whether the file is there; one in a folder that may not be looked into counts as such.

        Raises SourceUnavailable where a bucket does not say.
        """
        if path.startswith(S3_SCHEME):
            bucket, key = self.stored_object(path)
            return bucket.exists(key)
        try:
            return not stat.S_ISDIR((self.root / path).stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
