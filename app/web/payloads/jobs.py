"""The bodies about jobs."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from app.ingest.job_items import Item
from app.ingest.jobs import Job
from app.web.payloads import examples
from app.web.payloads.examples import shown

SHOWN_OF_SOURCE = {"folder", "bucket", "prefix", "urls", "files", "archive"}

JobState = Literal["pending", "running", "succeeded", "failed", "cancelling", "cancelled"]
ItemState = Literal["pending", "running", "succeeded", "skipped", "failed", "cancelled"]


class Accepted(BaseModel):
    """A job that was made."""

    model_config = shown(
        {"job_id": 2, "url": "/api/v1/jobs/2", "events_url": "/api/v1/jobs/2/events"}
    )

    job_id: int = Field(description="the job's id")
    url: str = Field(description="where its progress is told")
    events_url: str = Field(description="where it is told as server-sent events")

    @classmethod
    def of(cls, job_id: int) -> Self:
        """The answer's form of a job's id."""
        url = f"/api/v1/jobs/{job_id}"
        return cls(job_id=job_id, url=url, events_url=f"{url}/events")


class JobDetails(BaseModel):
    """How far a job is; the counts are files."""

    model_config = shown(examples.JOB)

    id: int = Field(description="the job's id")
    namespace: str = Field(description="of the collection")
    collection: str = Field(description="that the pictures go into")
    state: JobState = Field(description="succeeded, failed and cancelled are ends")
    source: dict[str, Any] = Field(
        description="a folder; a bucket and prefix; an archive's name; how many urls or files"
    )
    mode: Literal["add", "sync"] = Field(
        description="sync: pictures that the source lacks are forgotten"
    )
    dry_run: bool = Field(description="it only says what would be done")
    reason: str | None = Field(description="why the whole job failed")
    listed: bool = Field(description="whether `total` is final")
    total: int = Field(description="files of the source")
    done: int = Field(description="of these, dealt with")
    skipped: int = Field(description="of these, unchanged or known by their content")
    failed: int = Field(description="of these, refused or unreadable")
    added: int = Field(description="new pictures")
    changed: int = Field(description="known paths with new content")
    moved: int = Field(description="found under a new path: no new embedding")
    removed: int = Field(description="known pictures that the source lacks: forgotten (sync)")
    gone: int = Field(description="known pictures that the source lacks: kept (add)")
    unchanged: int = Field(description="as they were the last time")
    duplicate: int = Field(description="the content of another picture")
    cancelled: int = Field(description="not begun when the job was cancelled")
    created_at: datetime = Field(description="when it was handed in")
    started_at: datetime | None = Field(description="when work on it began; null: not yet")
    updated_at: datetime = Field(description="when a count or the state last changed")
    finished_at: datetime | None = Field(description="when it ended; null: not yet")
    pictures_per_second: float | None = Field(description="so far; null before the first")
    seconds_left: float | None = Field(description="an estimate; null while it is unknown")

    @classmethod
    def of(cls, job: Job) -> Self:
        """The answer's form of what the services return."""
        counts = {name: getattr(job, name) for name in cls.model_fields if hasattr(job, name)}
        source = {name: value for name, value in job.source.items() if name in SHOWN_OF_SOURCE}
        return cls(**{**counts, "source": source}, pictures_per_second=job.rate)


class JobPage(BaseModel):
    """Jobs, newest first."""

    model_config = shown({"jobs": [examples.JOB], "next_cursor": None})

    jobs: list[JobDetails] = Field(description="newest first")
    next_cursor: int | None = Field(description="null on the last page")

    @classmethod
    def of(cls, jobs: list[Job], limit: int) -> Self:
        """A page of at most `limit`."""
        more = jobs[-1].id if len(jobs) == limit else None
        return cls(jobs=[JobDetails.of(job) for job in jobs], next_cursor=more)


class JobItem(BaseModel):
    """One file of a job."""

    path: str = Field(description="where it lies, or the name it was sent under")
    state: ItemState = Field(description="how far it is")
    outcome: str | None = Field(description="added, changed, moved, removed, duplicate, failed, …")
    reason: str | None = Field(description="why it failed, or what else is to be known")
    attempts: int = Field(description="how often it was begun")
    worker: str | None = Field(description="host and process that took it last")
    image_id: int | None = Field(description="of the picture that it became")
    updated_at: datetime = Field(description="when its state last changed")


class ItemPage(BaseModel):
    """Files of a job, in the order of its listing."""

    model_config = shown({"items": [examples.ITEM], "next_cursor": 1})

    items: list[JobItem] = Field(description="in the order of the listing")
    next_cursor: int | None = Field(description="null on the last page")

    @classmethod
    def of(cls, items: list[Item], limit: int) -> Self:
        """A page of at most `limit`."""
        told = [JobItem.model_validate(item, from_attributes=True) for item in items]
        return cls(items=told, next_cursor=items[-1].id if len(items) == limit else None)
