"""The bodies of answers."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.catalog.duplicates import Group, Kind, Page
from app.database.tables import Image
from app.index.hnsw_search import Neighbour
from app.ingest.uploads import Outcome
from app.sources.sidecars import MAX_CAPTION_CHARACTERS
from app.web.payloads import examples
from app.web.payloads.examples import shown

MAX_ID = 2**63 - 1  # Postgres's bigint
STORABLE = r"^[^\x00]*$"  # what a text column can hold
Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
"""Of a collection or a namespace."""


class Hit(BaseModel):
    """One picture of an answer; other programs rely on `path` and `distance` coming first."""

    model_config = shown(examples.HIT)

    path: str = Field(description="where the file lies, relative to the project's folder")
    distance: float = Field(description="cosine distance to the query, 0 (same) to 2")
    id: int = Field(description="the picture's id")
    score: float = Field(description="cosine similarity: 1 − distance")
    url: str = Field(description="where the original is served")
    thumbnail_url: str = Field(description="where a small WebP of it is served")
    width: int = Field(description="in pixels")
    height: int = Field(description="in pixels")
    metadata: dict[str, Any] = Field(description="what people say of it: any JSON object")

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

    model_config = shown(examples.UPLOADED, examples.REFUSED)

    filename: str = Field(description="the name it was sent under")
    path: str | None = Field(None, description="where it is kept; null if refused")
    id: int | None = Field(None, description="of the picture; null if refused")
    status: Literal["stored", "duplicate", "refused"] = Field(
        description="kept and searchable; known already, by its content; not taken"
    )
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

    model_config = shown(examples.IMAGE)

    id: int = Field(description="the picture's id")
    path: str = Field(description="where the file lies")
    url: str = Field(description="where the original is served")
    thumbnail_url: str = Field(description="where a small WebP of it is served")
    content_hash: str = Field(description="SHA-256 of the file, hex")
    bytes: int = Field(description="the size of the file")
    width: int = Field(description="in pixels")
    height: int = Field(description="in pixels")
    format: str = Field(description="JPEG, PNG, …")
    caption: str | None = Field(description="what people say of it, in words")
    metadata: dict[str, Any] = Field(description="what people say of it: any JSON object")
    origin: str | None = Field(
        description="the name it was sent under: a file's, an entry's, a URL"
    )
    taken_at: datetime | None = Field(description="from EXIF; UTC unless the camera says else")
    created_at: datetime = Field(description="when it was taken in")

    @classmethod
    def of(cls, image: Image) -> Self:
        """The answer's form of what the services return."""
        known = {**vars(image), "content_hash": image.content_hash.hex()}
        return cls(**known, url=file_url(image), thumbnail_url=thumbnail_url(image))


class ImageChanges(BaseModel):
    """What is to be said of a picture from now on; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"caption": "the pier", "metadata": {"stars": 5}}]},
    )

    caption: str | None = Field(
        None, max_length=MAX_CAPTION_CHARACTERS, description="null takes it away"
    )
    metadata: dict[str, Any] | None = Field(
        None, description="merged into what is there; a key with null is taken away"
    )


class Alike(BaseModel):
    """One picture of a group."""

    id: int = Field(description="the picture's id")
    path: str = Field(description="where the file lies")
    url: str = Field(description="where the original is served")
    thumbnail_url: str = Field(description="where a small WebP of it is served")
    width: int = Field(description="in pixels")
    height: int = Field(description="in pixels")
    bytes: int = Field(description="the size of the file")

    @classmethod
    def of(cls, image: Image) -> Self:
        """The answer's form of a record."""
        known = {name: value for name, value in vars(image).items() if name in cls.model_fields}
        return cls(**known, url=file_url(image), thumbnail_url=thumbnail_url(image))


class AlikeGroup(BaseModel):
    """Pictures alike."""

    size: int = Field(description="how many there are")
    pictures: list[Alike] = Field(description="by id; the first thousand")

    @classmethod
    def of(cls, group: Group) -> Self:
        """The answer's form of what the services return."""
        return cls(size=group.size, pictures=[Alike.of(image) for image in group.pictures])


class DuplicatesPage(BaseModel):
    """Groups of pictures alike, the largest first."""

    model_config = shown(examples.DUPLICATES)

    kind: Kind = Field(description="in what they are alike")
    threshold: int | float | None = Field(
        description="the one used: bits, or a cosine distance; null for exact"
    )
    groups: list[AlikeGroup] = Field(description="the largest first")
    total_groups: int = Field(description="on all pages")
    total_pictures: int = Field(description="in the groups of all pages")
    unhashed: int = Field(
        description="perceptual: pictures left out, since they were kept before there were hashes"
    )
    truncated: bool = Field(
        description="not all pictures were compared: too many, or out of time; then ask again"
    )
    next_cursor: int | None = Field(description="null on the last page")

    @classmethod
    def of(cls, kind: Kind, page: Page) -> Self:
        """The answer's form of what the services return."""
        totals = {name: value for name, value in vars(page).items() if name in cls.model_fields}
        groups = [AlikeGroup.of(group) for group in page.groups]
        return cls(**{**totals, "groups": groups}, kind=kind, next_cursor=page.next_offset)


class Liveness(BaseModel):
    """The process answers."""

    model_config = shown({"status": "alive"})

    status: Literal["alive"] = Field(description="always so: what is not alive does not answer")


class Readiness(BaseModel):
    """What is running."""

    model_config = shown(
        {
            "status": "ready",
            "model": "demo model",
            "device": "cpu",
            "precision": "fp32",
            "images": 295,
        }
    )

    status: Literal["ready"] = Field(description="always so: what is not ready answers 503")
    model: str = Field(description="`demo model` where the bundled one answers")
    device: str = Field(description="what the model runs on: cpu, cuda, …")
    precision: str = Field(description="of the model's numbers: fp32, bf16, …")
    images: int | None = Field(
        description="how many are in the default collection; null where a key is needed"
    )


def file_url(image: Image) -> str:
    """Where the original is served."""
    return f"/images/{image.id}/file"


def thumbnail_url(image: Image) -> str:
    """Where its thumbnail is served."""
    return f"/images/{image.id}/thumbnail"
