"""What was found when a job's file was read: a picture to index, one that is known, a refusal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.catalog.file_descriptions import FileDescription
from app.catalog.images.image_rows import KnownFile
from app.catalog.images.new_images import NewImage
from app.catalog.skipped_files import SkippedFile
from app.ingest.further_pages import Pages
from app.ingest.jobs.job_items import Item
from app.ingest.jobs.leases import ItemResult
from app.ingest.upload_stages import PreparedUpload

if TYPE_CHECKING:
    from app.encoders.interfaces import Pixels


@dataclass(frozen=True)
class PictureInPlace:
    """A picture that is indexed in place and needs a vector; `known` if its path has a row.

    `pages` are those after the first, if they are indexed too; `thumbnails` are kept of frames of a
    video, by their seconds.
    """

    new: NewImage
    pixels: "Pixels"
    known: bool
    thumbnail: bytes | None = None
    pages: Pages = field(default_factory=dict)
    thumbnails: Mapping[float, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class KnownContent:
    """Content that has a row already, at this path or at one whose file is gone.

    `words` are what its file and sidecars say; None if a sidecar is malformed.
    """

    known: KnownFile
    words: FileDescription | None
    outcome: str


@dataclass(frozen=True)
class RefusedFile:
    """A file in a folder or bucket that is no acceptable picture, whenever it is read."""

    reason: str
    code: str | None


@dataclass(frozen=True)
class DeletedContent:
    """The file of a picture that was deleted here, now at this path or with another etag."""

    skipped: SkippedFile


@dataclass(frozen=True)
class Prepared:
    """An item and what was found; an ItemResult if nothing is left to do.

    `note` is a warning about a file that was accepted.
    """

    item: Item
    found: (
        PictureInPlace | KnownContent | PreparedUpload | RefusedFile | DeletedContent | ItemResult
    )
    note: str | None = None
