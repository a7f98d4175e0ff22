"""Where pictures come from: a folder, walked as one iterator of files."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from app.errors import ImageTooLarge, SourceUnreadable

COMPANIONS = {".csv", ".json", ".jsonl", ".md", ".txt", ".xml", ".xmp", ".yaml", ".yml"}
"""Suffixes of files that people keep beside pictures: passed over without a word."""


@dataclass(frozen=True)
class SourceFile:
    """One file that may be a picture.

    `path` is relative to the project's root where it lies below it, else absolute; `etag`
    changes when the content may have: the size in bytes and the modification time in ns.
    """

    path: str
    etag: str
    size: int
    location: Path

    def read(self, max_bytes: int) -> bytes:
        """The file's bytes. Raises ImageTooLarge over `max_bytes`, OSError if unreadable."""
        if self.size > max_bytes:
            raise ImageTooLarge(
                f"The file has {self.size / 1e6:.1f} MB; {max_bytes / 1e6:g} MB are allowed."
            )
        return self.location.read_bytes()


def folder_files(folder: Path, root: Path) -> Iterator[SourceFile]:
    """The files below `folder`, sorted by path; hidden and companion files are passed over.

    Raises SourceUnreadable where a folder cannot be listed: half a listing would make the
    rest look deleted.
    """
    if not folder.is_dir():
        raise SourceUnreadable(f"{folder} is not a folder. Create it, or name another.")
    for parent, folders, names in os.walk(folder, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            location = Path(parent, name)
            if not name.startswith(".") and location.suffix.lower() not in COMPANIONS:
                yield from _source_file(location, root)


def stored_path(location: Path, root: Path) -> str:
    """How the catalog names a file: relative to `root` below it, else absolute; with /."""
    inside = location.is_relative_to(root)
    return (location.relative_to(root) if inside else location).as_posix()


def _source_file(location: Path, root: Path) -> Iterator[SourceFile]:
    try:
        found = location.stat()
    except FileNotFoundError:  # gone since it was listed, or a link to nowhere
        return
    except OSError as error:
        _unreadable(error)
    if location.is_file():  # no pipes or devices: reading one may never end
        etag = f"{found.st_size}-{found.st_mtime_ns}"
        yield SourceFile(stored_path(location, root), etag, found.st_size, location)


def _unreadable(error: OSError) -> NoReturn:
    raise SourceUnreadable(f"{error.filename} cannot be listed: {error.strerror}.")
