"""What every source of pictures offers: its files as one iterator of path, etag and size.

A listing is sorted by its paths' UTF-8 bytes, as S3 sorts keys and Postgres's collation C sorts
text, so that it can be compared with the catalog piece by piece and resumed anywhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from app.sources.sidecars import Annotation

SIDECAR = ".json"  # picture.jpg.json holds the caption and metadata of picture.jpg
S3_SCHEME = "s3://"


@dataclass(frozen=True)
class SourceFile:
    """One file that may be a picture.

    `path` is its name in the catalog; `etag` changes whenever the file or its sidecar may have
    changed; `size` is in bytes; a file that is not `settled` may still be being written.
    """

    path: str
    etag: str
    size: int
    settled: bool = True


class Source(Protocol):
    """A folder or bucket whose pictures are read in place."""

    @property
    def prefix(self) -> str:
        """The common prefix of its files' paths."""

    def files(self, after: str | None = None) -> Iterator[SourceFile]:
        """The files whose path is greater than `after`, sorted by path.

        Raises SourceUnreadable or SourceUnavailable if it cannot be listed completely.
        """

    def read(self, path: str, max_bytes: int) -> bytes:
        """One file's bytes. Raises ImageTooLarge, ImageVanished or SourceUnavailable."""

    def annotation(self, path: str) -> Annotation | None:
        """The contents of its sidecar, if any. Raises as `read`, or AnnotationInvalid."""
