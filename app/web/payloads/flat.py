"""Payloads of the flat endpoints; programs rely on their shapes."""

from typing import Any, Self

from pydantic import BaseModel, Field

from app.index.hnsw_search import Neighbour
from app.ingest.upload_stages import Outcome, Status
from app.web.addresses import PictureAddresses
from app.web.payloads import examples
from app.web.payloads.examples import with_examples

UPLOAD_STATUS = (
    "stored: kept and searchable; held: kept, but hidden until an admin approves it; "
    "replaced: as stored, in place of the picture that had its "
    "external id; duplicate: its content was known; refused: not kept"
)
UPDATED = (
    "The picture was here already; the caption, metadata or external id sent with it changed its "
    "own."
)
UPLOAD_REASON = (
    "why it was refused or is held, or that a duplicate's caption or metadata were changed"
)


class Hit(BaseModel):
    """One hit of a search; other programs rely on `path` and `distance` coming first."""

    model_config = with_examples(examples.HIT)

    path: str = Field(description="path of the file, relative to the project's folder")
    distance: float = Field(description="cosine distance to the query, 0 (same) to 2")
    id: int = Field(description="the picture's id")
    score: float = Field(description="cosine similarity: 1 − distance")
    url: str = Field(description="address of the original file, signed if a key was sent")
    thumbnail_url: str = Field(description="address of a small WebP, signed likewise")
    width: int = Field(description="in pixels")
    height: int = Field(description="in pixels")
    metadata: dict[str, Any] = Field(description="its metadata, a JSON object")

    @classmethod
    def of(cls, neighbour: Neighbour, addresses: PictureAddresses) -> Self:
        """The hit for a neighbour that the search found."""
        image = neighbour.image
        return cls(
            path=image.path,
            distance=neighbour.distance,
            id=image.id,
            score=1 - neighbour.distance,
            url=addresses.file(image),
            thumbnail_url=addresses.thumbnail(image),
            width=image.width,
            height=image.height,
            metadata=image.metadata,
        )


class UploadResult(BaseModel):
    """What became of one file of an upload."""

    model_config = with_examples(examples.UPLOADED, examples.REFUSED)

    filename: str = Field(description="the name it was uploaded under")
    path: str | None = Field(None, description="path where it is stored; null if refused")
    id: int | None = Field(None, description="the picture's id; null if refused")
    status: Status = Field(description=UPLOAD_STATUS)
    reason: str | None = Field(None, description=UPLOAD_REASON)

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """The entry for what became of a file."""
        return cls(
            filename=outcome.name,
            path=outcome.image.path if outcome.image else None,
            id=outcome.image.id if outcome.image else None,
            status=outcome.status,
            reason=reason_of(outcome),
        )


def reason_of(outcome: Outcome) -> str | None:
    """What is to be said of an upload besides its status."""
    if outcome.error:
        return str(outcome.error)
    return UPDATED if outcome.updated else outcome.note
