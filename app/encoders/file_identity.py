"""Tells whether files are still the ones that were read, without reading them again."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

SNAPSHOTS = "snapshots"  # in the hub's cache: a folder for each revision of a repository
CONFIG_FILE = "open_clip_config.json"  # beside weights: says how pictures are prepared
PIECE_BYTES = 1 << 20  # that are read at a time
REVISION = "refs/main"  # beside SNAPSHOTS: names the revision in use

Identity = list[str | int]
"""A file's resolved path, size, modification and change times, and inode number."""

Files = dict[str, Identity]
"""Identities, keyed by the paths at which the files were found."""


def identities(places: Iterable[Path]) -> Files:
    """Identities of files, of files directly in folders, and of what affects how they are read.

    The last are CONFIG_FILE beside a file, and the file that names a revision in the hub's cache.

    The result changes if a file is replaced, written to or removed, or if a new one appears in a
    folder. Raises OSError if one of `places` no longer exists.
    """
    return {str(file): _identity(file) for place in places for file in _files(place.absolute())}


def digest_of(files: Files) -> str:
    """SHA-256 of the files' contents, in their order, as hex; read once while all are the same.

    Raises OSError if one of them no longer exists.
    """
    return _digest(tuple((path, *identity) for path, identity in files.items()))


@lru_cache(maxsize=16)
def _digest(state: tuple[tuple[str | int, ...], ...]) -> str:
    digest = hashlib.sha256()
    for file, *_ in state:
        with Path(str(file)).open("rb") as opened:
            while piece := opened.read(PIECE_BYTES):
                digest.update(piece)
    return digest.hexdigest()


def _identity(file: Path) -> Identity:
    found = file.stat()
    # ctime too: files from the same archive may share size and modification time.
    times = found.st_mtime_ns, found.st_ctime_ns
    return [str(file.resolve()), found.st_size, *times, found.st_ino]


def _files(place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from (file for file in sorted(place.iterdir()) if file.is_file())
    else:
        yield place
        if (config := place.with_name(CONFIG_FILE)).is_file():
            yield config
    for folder in place.parents:
        if folder.name == SNAPSHOTS and (revision := folder.parent / REVISION).is_file():
            yield revision
