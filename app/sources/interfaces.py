"""What every source of pictures offers: its files as one iterator of path, etag and size.

A listing is sorted by its paths' UTF-8 bytes, as S3 sorts keys and Postgres's collation C sorts
text, so that it can be compared with the catalog piece by piece and resumed anywhere.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

S3_SCHEME = "s3://"
RECORD_SCHEME = "record://"
RECORDS_ONLY = (RECORD_SCHEME, "https://", "http://")
"""How paths of pictures begin that were imported as records and vectors, without a file of ours."""


CheckHead = Callable[[bytes], object]
"""Takes the first HEAD_BYTES of a file, all of a shorter one, and raises to refuse it."""

HEAD_BYTES = 4_096


class SourceFile(NamedTuple):
    """One file that may be a picture.

    `path` is its name in the catalog; `etag` changes whenever the file or its sidecar may have
    changed; `size` is in bytes; a file that is not `settled` may still be being written.
    `sidecars` are the names of those beside it, the one that counts most first.
    """

    path: str
    etag: str
    size: int
    settled: bool = True
    sidecars: tuple[str, ...] = ()


class Unlisted(NamedTuple):
    """A file or folder of a source that cannot be listed; a folder's path ends with a slash."""

    path: str
    reason: str


class PassedOver(NamedTuple):
    """A name that is no file to be indexed: ignored with all that is below it, or a companion.

    A companion is a sidecar or clip of a picture beside it; a folder's path ends with a slash.
    """

    path: str
    is_companion: bool = False


class Source(Protocol):
    """A folder or bucket whose pictures are read in place."""

    @property
    def prefix(self) -> str:
        """The common prefix of its files' paths."""

    def files(self, after: str | None = None) -> Iterator[SourceFile | Unlisted | PassedOver]:
        """The files whose path is greater than `after`, sorted by path.

        Names that are no files to be indexed come in their place as PassedOver. A part that
        cannot be listed is yielded as Unlisted, and the listing goes on. Raises SourceUnreadable
        or SourceUnavailable if the source as a whole cannot be listed.
        """

    def ignores(self, path: str) -> bool:
        """Whether a listing passes the file at `path` over by its name or a folder's."""

    def is_empty(self, path: str) -> bool:
        """Whether the folder at `path`, which ends with a slash, may have lost its disk.

        So it may if it is gone or holds no file that may be a picture. Its pictures are then not
        known to be deleted.
        """

    def read(self, path: str, max_bytes: int, check: CheckHead | None = None) -> bytes:
        """One file's bytes; `check` may refuse it by its first ones, before the rest is read.

        Raises ImageTooLarge, ImageVanished, SourceUnavailable and what `check` raises.
        """
