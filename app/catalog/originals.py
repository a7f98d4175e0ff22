"""Pictures' original files as they are served: from this machine's disks or from a bucket."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.database.tables import Image
from app.errors import ImageNotFound, ImageVanished, SourceUnavailable, SourceUnreadable
from app.pictures.formats import media_type
from app.sources.folders import check_regular
from app.storage.buckets import OpenedObject

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OnDisk:
    """An original on this machine, open; the media type is by its bytes, not its name.

    `name` is where it came from: a path or a URL. `etag` tells its versions apart: of an upload,
    the content's hash, the same on every server; others may be edited at any time.
    `content_hash` is the SHA-256 of the bytes, None where they may have been edited.
    """

    path: Path
    file: BinaryIO
    info: os.stat_result
    media_type: str
    name: str
    etag: str
    content_hash: bytes | None


@dataclass(frozen=True)
class InBucket:
    """An original in a bucket, and a presigned URL that is valid for some seconds."""

    url: str
    seconds: int


@dataclass(frozen=True)
class Streamed:
    """An original in a bucket, or a range of its bytes, read while it is sent."""

    opened: OpenedObject
    media_type: str
    name: str


def open_original(location: Path) -> tuple[BinaryIO, str | None]:
    """The open file, and its media type by its bytes, None if it is no picture.

    Raises ImageVanished.
    """
    try:
        check_regular(location)
        file = location.open("rb")
        return file, media_type(file)
    except OSError as error:
        raise ImageVanished(error.strerror or "It cannot be read.") from error


@contextmanager
def reading_errors(image: Image) -> Iterator[None]:
    """Turn the errors of reading an original into those of a request for it."""
    try:
        yield
    except ImageVanished as error:
        raise ImageNotFound(f"The file of picture {image.id} is gone. {error}") from error
    except SourceUnreadable as error:  # wrong keys or bucket name: for the operator
        log.warning("picture %s: %s", image.id, error)
        raise SourceUnavailable("The picture's bucket cannot be read now.") from error
