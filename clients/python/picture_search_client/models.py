"""What the service answers. Fields that a later version adds are ignored."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Hit(Model):
    """A picture that a search has found; `include` in the search decides on most fields."""

    id: int
    external_id: str | None
    score: float | None
    distance: float | None
    confidence: float | None
    page: int | None = None
    seconds: float | None = None
    path: str | None = None
    original_filename: str | None = None
    url: str | None = None
    thumbnail_url: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    caption: str | None = None
    metadata: dict[str, Any] | None = None
    taken_at: datetime | None = None
    created_at: datetime | None = None
    vector: list[float] | None = None
    duplicates: list[int]


class Warned(Model):
    """Why an answer is not quite what was asked for."""

    code: str
    message: str


class SearchAnswer(Model):
    """A page of hits; `token` rates it, and `next_cursor` leads to the next page."""

    hits: list[Hit]
    model: str
    method: str
    collection_size: int
    coverage: float
    no_match: bool | None
    warnings: list[Warned]
    unused_text: str | None
    total: int | None
    facets: dict[str, Any] | None
    next_cursor: str | None
    token: str | None


class Image(Model):
    """A picture's record."""

    id: int
    external_id: str | None
    path: str | None
    original_filename: str
    url: str
    thumbnail_url: str
    content_hash: str
    bytes: int
    width: int
    height: int
    format: str
    caption: str | None
    metadata: dict[str, Any]
    origin: str | None
    taken_at: datetime | None
    created_at: datetime


class ImagePage(Model):
    """Some of a collection's pictures."""

    data: list[Image]
    total: int
    next_cursor: str | None


class UploadOutcome(Model):
    """What became of a file that was sent; `reason` says why one was refused."""

    filename: str
    status: Literal["stored", "held", "replaced", "duplicate", "refused"]
    id: int | None = None
    path: str | None = None
    reason: str | None = None


class JobAccepted(Model):
    """A job that will be worked on in the background."""

    job_id: int
    url: str
    events_url: str


class Job(Model):
    """The state of a job, and how many files it has done."""

    id: int
    collection: str
    status: Literal["pending", "running", "succeeded", "failed", "cancelling", "cancelled"]
    reason: str | None
    total: int
    done: int
    failed: int
    added: int
    changed: int
    duplicate: int
    created_at: datetime
    finished_at: datetime | None
    pictures_per_second: float | None
    seconds_left: float | None

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in {"succeeded", "failed", "cancelled"}


class Feedback(Model):
    """A rating that was stored."""

    id: int
    query: str
    image_id: int | None
    rating: int
    comment: str | None
    updated_at: datetime


class Problem(Model):
    """Why a request was refused (RFC 9457); `code` is for programs, `detail` for people."""

    status: int
    title: str
    code: str
    detail: str
    files: list[UploadOutcome] = Field(default_factory=list)
