"""Folders on this machine's disk as sources."""

import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from app.errors import ImageTooLarge, ImageVanished, SourceUnavailable, SourceUnreadable
from app.sources.interfaces import SIDECAR, SourceFile
from app.sources.sidecars import COMPANIONS, MAX_SIDECAR_BYTES, Annotation, parse_sidecar

QUIET_SECONDS = 1.0  # a file changed more recently may be incomplete


@dataclass(frozen=True)
class Folder:
    """A folder on this machine's disk; relative paths start at `root`."""

    folder: Path
    root: Path

    @property
    def prefix(self) -> str:
        """The common prefix of its files' paths."""
        return f"{stored_path(self.folder, self.root)}/"

    def files(self, after: str | None = None) -> Iterator[SourceFile]:
        """The files below it; hidden and companion files are skipped.

        Raises SourceUnreadable if a folder cannot be listed: an incomplete listing would make
        the rest look deleted.
        """
        if not self.folder.is_dir():
            raise SourceUnreadable(f"{self.folder} is not a folder. Create it, or name another.")
        if self.root.is_relative_to(self.folder):  # our own uploads and caches must not be indexed
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
        """The contents of the file's sidecar, if it has one."""
        try:
            return parse_sidecar(read_file(self.root / (path + SIDECAR), MAX_SIDECAR_BYTES))
        except ImageVanished:
            return None


def _walk(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """Every file below that may be a picture, sorted by the bytes of its path.

    A folder is sorted by its name with a slash, as the paths below it are.
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
    """Links to folders do not count: they may form a cycle."""
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
    """Raise ImageTooLarge if a file of `size` bytes exceeds `max_bytes`."""
    if size > max_bytes:
        raise ImageTooLarge(
            f"The file has {size / 1e6:.1f} MB; {max_bytes / 1e6:g} MB are allowed."
        )


def stored_path(location: Path, root: Path) -> str:
    """A file's name in the catalog: relative to `root` if it is below it, else absolute; with /."""
    inside = location.is_relative_to(root)
    return (location.relative_to(root) if inside else location).as_posix()


def _unreadable(error: OSError) -> NoReturn:
    raise SourceUnreadable(f"{error.filename} cannot be listed: {error.strerror}.")
