"""Folders on this machine's disk as sources."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.errors import ImageTooLarge, ImageVanished, SourceUnavailable, SourceUnreadable
from app.sources.folder_walk import Found, FoundFile, Walk
from app.sources.ignored_names import ONLY_HIDDEN, IgnoredNames
from app.sources.interfaces import HEAD_BYTES, CheckHead, PassedOver, SourceFile, Unlisted
from app.sources.sidecars.annotations import MAX_SIDECAR_BYTES
from app.sources.sidecars.sidecar_reading import STRAY, is_stray
from app.storage.bounded_reads import ORIGINALS, Beat, in_pieces

PIECE_BYTES = 1 << 20  # read at a time
LISTED_AT_ONCE = 256  # files
LookedAt = tuple[Found, SourceFile | Unlisted | PassedOver | None, float]
"""What a look at a file showed, if anything, and when: a reading of the monotonic clock."""

FRESH_SECONDS = 0.1  # a file that was looked at longer ago is looked at again
LISTING_SECONDS = 60.0  # without a file: a network disk lists a large folder as a whole
QUIET_SECONDS = 1.0  # a file changed more recently may be incomplete


@dataclass(frozen=True)
class Folder:
    """A folder on this machine's disk; relative paths start at `root`."""

    folder: Path
    root: Path
    ignored: IgnoredNames = ONLY_HIDDEN
    follow_links: bool = False

    @property
    def prefix(self) -> str:
        """The common prefix of its files' paths."""
        return f"{stored_path(self.folder, self.root)}/"

    def files(self, after: str | None = None) -> Iterator[SourceFile | Unlisted | PassedOver]:
        """The files below it, and what is passed over: companion files and ignored names.

        Raises SourceUnreadable if the folder itself cannot be listed, SourceUnavailable if its disk
        does not answer.
        """
        found = in_pieces(self.folder, self._looked_at(after), LISTED_AT_ONCE, LISTING_SECONDS)
        for one, looked_at, since in found:
            listed = looked_at
            if isinstance(one, FoundFile) and time.monotonic() - since > FRESH_SECONDS:
                listed = ORIGINALS.call(self.folder, partial(_look, one))  # much may have happened
            if listed is not None:
                yield listed

    def _looked_at(self, after: str | None) -> Iterator[LookedAt]:
        if not self.folder.is_dir():
            raise SourceUnreadable(f"{self.folder} is not a folder. Create it, or name another.")
        if self.root.is_relative_to(self.folder):  # our own uploads and caches must not be indexed
            raise SourceUnreadable(
                f"{self.folder} holds this program itself: name the folder of the pictures."
            )
        mark = None if after is None else os.fsencode(after)
        top = self.prefix
        for found in self._walk(self.folder, top).found():
            if isinstance(found, Unlisted) and found.path == top:
                raise SourceUnreadable(f"{self.folder}: {found.reason}")
            if mark is None or os.fsencode(found.path) > mark:
                listed = _look(found) if isinstance(found, FoundFile) else found
                yield found, listed, time.monotonic()

    def _walk(self, folder: Path, prefix: str) -> Walk:
        return Walk(folder, prefix, self.ignored, self.follow_links, self.root)

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
        found = self._walk(folder, "").found()
        return not any(isinstance(one, FoundFile) and not one.is_stray for one in found)

    def read(self, path: str, max_bytes: int, check: CheckHead | None = None) -> bytes:
        """One file's bytes."""
        return read_file(self.root / path, max_bytes, check)


def _look(found: FoundFile, beat: Beat | None = None) -> SourceFile | Unlisted | PassedOver | None:
    """The file as it is now, if it is one."""
    try:
        status = os.stat(found.location)  # noqa: PTH116  # a Path takes longer than the disk
        if not stat.S_ISREG(status.st_mode):  # no pipes or devices: reading one may never end
            return None
        if found.is_stray:
            return _stray(found, status.st_size)
    except FileNotFoundError:  # gone since it was listed, or a link to nowhere
        return None
    except OSError as error:
        if error.errno != errno.ELOOP and not found.is_stray:  # a link to itself
            return Unlisted(found.path, f"The file cannot be read: {error.strerror}.")
        return None
    etag = _etag(status)
    if found.sidecars:
        etag += _sidecars_etag(found)
    settled = abs(time.time() - status.st_mtime) > QUIET_SECONDS
    return SourceFile(found.path, etag, status.st_size, settled, found.sidecars)


def _stray(found: FoundFile, size: int) -> Unlisted | PassedOver:
    location = Path(found.location)
    if size <= MAX_SIDECAR_BYTES and is_stray(location.name, location.read_bytes()):
        return Unlisted(found.path, STRAY)
    return PassedOver(found.path, is_companion=True)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _sidecars_etag(found: FoundFile) -> str:
    etag = ""
    folder = found.location[: found.location.rindex("/") + 1]  # a Path takes longer
    for name in found.sidecars:
        try:
            etag += f"+{_etag(os.stat(folder + name))}"  # noqa: PTH116
        except OSError:  # gone since it was listed
            continue
    return etag


def read_file(location: Path, max_bytes: int, check: CheckHead | None = None) -> bytes:
    """A file's bytes. Raises as `Source.read`."""
    return ORIGINALS.call(location, partial(_read, location, max_bytes, check))


def _read(location: Path, max_bytes: int, check: CheckHead | None, beat: Beat) -> bytes:
    data = bytearray()
    try:
        check_regular(location)
        with location.open("rb") as file:
            before = os.fstat(file.fileno())
            check_size(before.st_size, max_bytes)
            if check is not None:
                check(file.read(HEAD_BYTES))
                file.seek(0)
            while piece := file.read(PIECE_BYTES):
                beat()
                data += piece
                check_size(len(data), max_bytes)  # it may have grown
            if _etag(os.fstat(file.fileno())) != _etag(before):
                raise SourceUnavailable("The file is being written: it is read again later.")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageVanished("The file is gone.") from error
    except OSError as error:
        raise SourceUnavailable(f"The file cannot be read: {error.strerror}.") from error
    return bytes(data)


def check_regular(location: Path) -> None:
    """Raise ImageVanished if there is a pipe or a device, which may never give a byte."""
    mode = location.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # to open a folder says what is wrong
        raise ImageVanished("The file is gone: what is in its place is not a file.")


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
