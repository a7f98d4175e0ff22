"""An upload from stage to stage: the file as sent, as prepared, as written, and its outcome."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from app.catalog.images.new_images import NewImage
from app.database.tables import Image
from app.errors import ImageRejected
from app.ingest.further_pages import Pages
from app.sources.sidecars.annotations import Annotation
from app.understanding.labels.gates import Verdict

if TYPE_CHECKING:
    from app.encoders.interfaces import Pixels

Status = Literal["stored", "held", "replaced", "duplicate", "refused"]


@dataclass(frozen=True)
class Upload:
    """One uploaded file: its name, and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True)
class PreparedUpload:
    """A picture that is decoded and stored, but has no vector and no row yet.

    `read` returns its bytes again, in case its file is deleted meanwhile. `pages` are those after
    the first, if they are indexed too; `thumbnails` are kept of a video's frames, by their seconds.
    """

    new: NewImage
    said: Annotation
    read: Callable[[], bytes]
    pixels: "Pixels"
    pages: Pages = field(default_factory=dict)
    thumbnails: Mapping[float, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """What became of a draft: `image` is None if a gate refused it, as `verdict` says."""

    status: Status
    image: Image | None
    verdict: Verdict | None = None
    updated: bool = False  # as in `Outcome`


class Duplicate(NamedTuple):
    """A known picture; `updated` as in `Outcome`."""

    image: Image
    updated: bool


@dataclass(frozen=True)
class Outcome:
    """The outcome of one upload: `error` if it was refused, else `image`.

    `updated`: the picture was known, and what was sent with it changed what is said of it.
    `note` says why a picture is held for review.
    """

    name: str
    status: Status
    image: Image | None = None
    error: ImageRejected | None = None
    updated: bool = False
    note: str | None = None

    def stored(self) -> Image:
        """The picture. Raises the error for which it was refused."""
        if self.image is None:
            raise self.error or ImageRejected(f"{self.name} was refused.")
        return self.image
