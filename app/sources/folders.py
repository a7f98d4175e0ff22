"""Folders on this machine's disk as sources."""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from app.errors import ImageTooLarge, ImageVanished, SourceUnavailable, SourceUnreadable
from app.sources.companions import Companions
from app.sources.ignored_names import ONLY_HIDDEN, IgnoredNames
from app.sources.interfaces import HEAD_BYTES, CheckHead, SourceFile, Unlisted
from app.sources.sidecar_reading import STRAY, is_stray
from app.sources.sidecars import COMPANIONS, MAX_SIDECAR_BYTES
from app.storage.bounded_reads import ORIGINALS, Beat, in_pieces
from app.storage.disk import OWNER

PIECE_BYTES = 1 << 20  # read at a time
LISTED_AT_ONCE = 256  # files
FRESH_SECONDS = 0.1  # a file that was looked at longer ago is looked at again
LISTING_SECONDS = 60.0  # without a file: a network disk lists a large folder as a whole
STAYS = "Its pictures stay as they are known."
LINK = "This is a link to a folder, which is not followed: index that folder itself."
QUIET_SECONDS = 1.0  # a file changed more recently may be incomplete


@dataclass(frozen=True)
class Folder:
    """A folder on this machine's disk; relative paths start at `root`."""

    folder: Path
    root: Path
    ignored: IgnoredNames = ONLY_HIDDEN

    @property
    def prefix(self) -> str:
        """The common prefix of its files' paths."""
        return f"{stored_path(self.folder, self.root)}/"

    def files(self, after: str | None = None) -> Iterator[SourceFile | Unlisted]:
        """The files below it; companion files and ignored names are skipped.

        Raises SourceUnreadable if the folder itself cannot be listed, SourceUnavailable if its disk
        does not answer.
        """
        found = in_pieces(self.folder, self._found(after), LISTED_AT_ONCE, LISTING_SECONDS)
        for look, listed, since in found:
            if time.monotonic() - since > FRESH_SECONDS:  # much may have happened to it
                yield from ORIGINALS.call(self.folder, look)
            else:
                yield from listed

    def _found(self, after: str | None) -> Iterator["_Found"]:
        if not self.folder.is_dir():
            raise SourceUnreadable(f"{self.folder} is not a folder. Create it, or name another.")
        if self.root.is_relative_to(self.folder):  # our own uploads and caches must not be indexed
            raise SourceUnreadable(
                f"{self.folder} holds this program itself: name the folder of the pictures."
            )
        for found in _walk(self.folder, self.ignored):
            path = self._path(found)
            if path == self.prefix and isinstance(found, Unlisted):
                raise SourceUnreadable(f"{self.folder}: {found.reason}")
            if after is None or os.fsencode(path) > os.fsencode(after):
                look = partial(_source_files, found, path)
                yield _Found(look, look(), time.monotonic())

    def _path(self, found: "_File | Unlisted") -> str:
        slash = "/" if isinstance(found, Unlisted) else ""
        return stored_path(Path(found.path), self.root) + slash

    def ignores(self, path: str) -> bool:
        """Whether a listing passes the file at `path` over by its name or a folder's."""
        return self.ignored.has_any(path.removeprefix(self.prefix), self.folder.name)

    def is_empty(self, path: str) -> bool:
        """Whether the folder at `path` is gone or holds no file that may be a picture.

        A mount point without its disk is such a folder. One that became a file is not: its disk
        is there.
        """
        folder = self.root / path
        return ORIGINALS.call(folder, lambda beat: self._is_empty(folder), LISTING_SECONDS)

    def _is_empty(self, folder: Path) -> bool:
        if folder.exists() and not folder.is_dir():
            return False
        found = _walk(folder, self.ignored)
        return all(isinstance(one, Unlisted) or one.is_stray for one in found)

    def read(self, path: str, max_bytes: int, check: CheckHead | None = None) -> bytes:
        """One file's bytes."""
        return read_file(self.root / path, max_bytes, check)


class _File(NamedTuple):
    """A file and the sidecars beside it, by name; a stray looks like a sidecar of no picture."""

    path: str
    sidecars: tuple[str, ...] = ()
    is_stray: bool = False


class _Level(NamedTuple):
    """What is left of a folder that is being walked, and what its files belong to."""

    entries: Iterator["os.DirEntry[str]"]
    companions: Companions
    strays: set[str]

    @classmethod
    def of(cls, entries: list["os.DirEntry[str]"]) -> "_Level":
        names = [entry.name for entry in entries]
        companions = Companions.among(names)
        return cls(iter(entries), companions, companions.strays(names))

    def file(self, name: str, path: str) -> _File | None:
        """The file if it may be a picture, or may have lost its own."""
        if Path(name).suffix.lower() in COMPANIONS:
            return _File(path, is_stray=True) if name in self.strays else None
        return None if self.companions.is_clip(name) else _File(path, self.companions.of(name))


def _walk(folder: Path, ignored: IgnoredNames) -> Iterator[_File | Unlisted]:
    """Every file below that may be a picture, sorted by the bytes of its path.

    A folder is sorted by its name with a slash, as the paths below it are. One that cannot be
    listed, because it may not be read or has just vanished, is yielded in its place.
    """
    waiting = [_Level.of([])]
    following: str | None = os.fspath(folder)
    while waiting:
        if following is not None:
            try:
                waiting.append(_Level.of(_entries(following, ignored, is_top=len(waiting) == 1)))
            except OSError as error:
                reason = f"This folder cannot be listed: {error.strerror}. {STAYS}"
                yield Unlisted(following, reason)
        entry = next(waiting[-1].entries, None)
        following = entry.path if entry and _is_folder(entry) else None
        if entry is None:
            waiting.pop()
        elif _is_folder_link(entry):
            yield Unlisted(entry.path, LINK)
        elif following is None and (file := waiting[-1].file(entry.name, entry.path)):
            yield file


def _entries(folder: str, ignored: IgnoredNames, *, is_top: bool) -> list["os.DirEntry[str]"]:
    """What is to be looked at in a folder; nothing in a store of ours, unless that is asked for."""
    parent = Path(folder).name
    with os.scandir(folder) as listed:
        found = list(listed)
    if not is_top and any(entry.name == OWNER for entry in found):
        return []
    entries = [entry for entry in found if not ignored.has(entry.name, parent)]
    return sorted(entries, key=_sort_key)


def _sort_key(entry: "os.DirEntry[str]") -> bytes:
    is_folder = _is_folder(entry) or _is_folder_link(entry)
    return os.fsencode(entry.name) + b"/" * is_folder


def _is_folder_link(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Links to folders do not count: they may form a cycle."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # not even its kind is known
        return False


class _Found(NamedTuple):
    """A look at a file, what it showed, and when: a reading of the monotonic clock."""

    look: Callable[..., list[SourceFile | Unlisted]]
    listed: list[SourceFile | Unlisted]
    since: float


def _source_files(
    found: _File | Unlisted, path: str, beat: Beat | None = None
) -> list[SourceFile | Unlisted]:
    """The file as it is now, if it is one."""
    return list(_source_file(found, path))


def _source_file(found: _File | Unlisted, path: str) -> Iterator[SourceFile | Unlisted]:
    if isinstance(found, Unlisted):
        yield Unlisted(path, found.reason)
        return
    location = Path(found.path)
    try:
        status = location.stat()
        if not stat.S_ISREG(status.st_mode):  # no pipes or devices: reading one may never end
            return
        if found.is_stray:
            if status.st_size <= MAX_SIDECAR_BYTES and is_stray(
                location.name, location.read_bytes()
            ):
                yield Unlisted(path, STRAY)
            return
    except FileNotFoundError:  # gone since it was listed, or a link to nowhere
        return
    except OSError as error:
        if error.errno != errno.ELOOP and not found.is_stray:  # a link to itself
            yield Unlisted(path, f"The file cannot be read: {error.strerror}.")
        return
    etag = "+".join([_etag(status), *_etags(location.parent, found.sidecars)])
    settled = abs(time.time() - status.st_mtime) > QUIET_SECONDS
    yield SourceFile(path, etag, status.st_size, settled, found.sidecars)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _etags(folder: Path, sidecars: tuple[str, ...]) -> Iterator[str]:
    for name in sidecars:
        with suppress(OSError):
            yield _etag((folder / name).stat())


def read_file(location: Path, max_bytes: int, check: CheckHead | None = None) -> bytes:
    """A file's bytes. Raises as `Source.read`."""
    return ORIGINALS.call(location, partial(_read, location, max_bytes, check))


def _read(location: Path, max_bytes: int, check: CheckHead | None, beat: Beat) -> bytes:
    data = bytearray()
    try:
        check_regular(location)
        with location.open("rb") as file:
            check_size(os.fstat(file.fileno()).st_size, max_bytes)
            if check is not None:
                check(file.read(HEAD_BYTES))
                file.seek(0)
            while piece := file.read(PIECE_BYTES):
                beat()
                data += piece
                check_size(len(data), max_bytes)  # it may have grown
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageVanished("The file is gone.") from error
    except OSError as error:
        raise SourceUnavailable(f"The file cannot be read: {error.strerror}.") from error
    return bytes(data)


def check_regular(location: Path) -> None:
    """Raise ImageVanished if there is a pipe or a device, which may never give a byte."""
    mode = location.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # to open a folder says what is wrong
        raise ImageVanished("The file is gone: what lies in its place is no file.")


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
