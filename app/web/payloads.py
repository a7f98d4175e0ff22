"""The bodies of answers."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.annotations import MAX_CAPTION_CHARACTERS
from app.duplicates import Group, Kind, Page
from app.job_items import Item
from app.jobs import Job
from app.nearest import Neighbour
from app.tables import Image
from app.uploads import Outcome

STORABLE = r"^[^\x00]*$"  # what a text column can hold
Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
"""Of a collection or a namespace."""
SHOWN_OF_SOURCE = {"folder", "bucket", "prefix", "urls", "files", "archive"}


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
    origin: str | None = Field(
        description="the name it was sent under: a file's, an entry's, a URL"
    )
    taken_at: datetime | None = Field(description="from EXIF; UTC unless the camera says else")
    created_at: datetime

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


class Accepted(BaseModel):
    """A job that was made."""

    job_id: int
    url: str
    events_url: str

    @classmethod
    def of(cls, job_id: int) -> Self:
        """The answer's form of a job's id."""
        url = f"/api/v1/jobs/{job_id}"
        return cls(job_id=job_id, url=url, events_url=f"{url}/events")


class JobDetails(BaseModel):
    """How far a job is; the counts are files."""

    id: int
    state: Literal["pending", "running", "succeeded", "failed", "cancelling", "cancelled"]
    source: dict[str, Any]
    mode: Literal["add", "sync"]
    dry_run: bool
    reason: str | None = Field(description="why the whole job failed")
    listed: bool = Field(description="whether `total` is final")
    total: int = Field(description="files of the source")
    done: int = Field(description="of these, dealt with")
    skipped: int = Field(description="of these, unchanged or known by their content")
    failed: int
    added: int
    changed: int
    moved: int = Field(description="found under a new path: no new embedding")
    removed: int = Field(description="known pictures that the source lacks: forgotten (sync)")
    gone: int = Field(description="known pictures that the source lacks: kept (add)")
    unchanged: int
    duplicate: int
    cancelled: int
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    pictures_per_second: float | None
    seconds_left: float | None = Field(description="an estimate; null while it is unknown")

    @classmethod
    def of(cls, job: Job) -> Self:
        """The answer's form of what the services return."""
        counts = {name: getattr(job, name) for name in cls.model_fields if hasattr(job, name)}
        source = {name: value for name, value in job.source.items() if name in SHOWN_OF_SOURCE}
        return cls(**{**counts, "source": source}, pictures_per_second=job.rate)


class JobPage(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobDetails]
    next_cursor: int | None = Field(description="null on the last page")

    @classmethod
    def of(cls, jobs: list[Job], limit: int) -> Self:
        """A page of at most `limit`."""
        more = jobs[-1].id if len(jobs) == limit else None
        return cls(jobs=[JobDetails.of(job) for job in jobs], next_cursor=more)


class JobItem(BaseModel):
    """One file of a job."""

    path: str
    state: Literal["pending", "running", "succeeded", "skipped", "failed", "cancelled"]
    outcome: str | None = Field(description="added, changed, moved, removed, duplicate, failed, …")
    reason: str | None = Field(description="why it failed, or what else is to be known")
    attempts: int
    worker: str | None = Field(description="host and process that took it last")
    image_id: int | None
    updated_at: datetime


class ItemPage(BaseModel):
    """Files of a job, in the order of its listing."""

    items: list[JobItem]
    next_cursor: int | None = Field(description="null on the last page")

    @classmethod
    def of(cls, items: list[Item], limit: int) -> Self:
        """A page of at most `limit`."""
        shown = [JobItem.model_validate(item, from_attributes=True) for item in items]
        return cls(items=shown, next_cursor=items[-1].id if len(items) == limit else None)


class Alike(BaseModel):
    """One picture of a group."""

    id: int
    path: str
    url: str
    thumbnail_url: str
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    bytes: int

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

    kind: Kind
    threshold: int | float | None = Field(
        description="the one used: bits, or a cosine distance; null for exact"
    )
    groups: list[AlikeGroup]
    total_groups: int
    total_pictures: int = Field(description="in all groups")
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
