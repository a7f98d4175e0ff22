"""Whether files are still those that were read, told without reading them again."""

from collections.abc import Iterable, Iterator
from pathlib import Path

SNAPSHOTS = "snapshots"  # in the hub's cache: a folder for each revision of a repository
CONFIG_FILE = "open_clip_config.json"  # beside weights: says how pictures are prepared
REVISION = "refs/main"  # beside it: the revision that is taken

Identity = list[str | int]
"""Where a file really lies, and its size, times and number there."""

Files = dict[str, Identity]
"""By the paths that the files were found at."""


def identities(places: Iterable[Path]) -> Files:
    """Of files, of all files right in folders, and of what else decides how they are read.

    That is CONFIG_FILE beside a file, and what names a revision in the hub's cache.

    A file that is replaced, written to or missing changes what this gives, so does one that is new
    in a folder. Raises OSError where one of `places` is gone.
    """
    return {str(file): _identity(file) for place in places for file in _files(place.absolute())}


def _identity(file: Path) -> Identity:
    found = file.stat()
    # Times of change too: files out of one archive may have one size and one date.
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
