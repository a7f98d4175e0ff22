"""The bodies of answers."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from app.nearest import Neighbour
from app.tables import Image
from app.uploads import Outcome


class Hit(BaseModel):
    """One picture of an answer; other programs rely on `path` and `distance` coming first."""

    path: str = Field(description="where the file lies, relative to the project's folder")
    distance: float = Field(description="cosine distance to the query, 0 (same) to 2")
    id: int
    score: float = Field(description="1 − distance")
    url: str
    thumbnail_url: str
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    metadata: dict[str, Any]

    @classmethod
    def of(cls, neighbour: Neighbour) -> Self:
        """The answer's form of what the services return."""
        image = neighbour.image
        return cls(
            path=image.path,
            distance=neighbour.distance,
            id=image.id,
            score=1 - neighbour.distance,
            url=file_url(image),
            thumbnail_url=thumbnail_url(image),
            width=image.width,
            height=image.height,
            metadata=image.metadata,
        )


class Uploaded(BaseModel):
    """What became of one file of an upload."""

    filename: str = Field(description="the name it was sent under")
    path: str | None = Field(None, description="where it is kept; null if refused")
    id: int | None = None
    status: Literal["stored", "duplicate", "refused"]
    reason: str | None = Field(None, description="why it was refused")

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """The answer's form of what the services return."""
        return cls(
            filename=outcome.name,
            path=outcome.image.path if outcome.image else None,
            id=outcome.image.id if outcome.image else None,
            status=outcome.status,
            reason=str(outcome.error) if outcome.error else None,
        )


class ImageDetails(BaseModel):
    """Everything known of one picture."""

    id: int
    path: str
    url: str
    thumbnail_url: str
    content_hash: str = Field(description="SHA-256 of the file, hex")
    bytes: int
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    format: str
    caption: str | None
    metadata: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, image: Image) -> Self:
        """The answer's form of what the services return."""
        known = {**vars(image), "content_hash": image.content_hash.hex()}
        return cls(**known, url=file_url(image), thumbnail_url=thumbnail_url(image))


class Readiness(BaseModel):
    """What is running."""

    status: Literal["ready"]
    model: str = Field(description="`demo model` where the bundled one answers")
    device: str
    precision: str
    images: int


def file_url(image: Image) -> str:
    """Where the original is served."""
    return f"/images/{image.id}/file"


def thumbnail_url(image: Image) -> str:
    """Where its thumbnail is served."""
    return f"/images/{image.id}/thumbnail"
