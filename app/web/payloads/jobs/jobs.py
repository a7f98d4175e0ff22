"""Payloads about jobs and their files."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from app.ingest.jobs.job_control import WITHOUT_ITEMS
from app.ingest.jobs.job_items import Item
from app.ingest.jobs.jobs import Job
from app.web.addresses import Addresses
from app.web.pagination import CURSOR, page_of
from app.web.payloads import examples
from app.web.payloads.examples import with_examples

SHOWN_OF_SOURCE = {
    *("folder", "bucket", "prefix", "urls", "files", "archive", "archives"),
    *WITHOUT_ITEMS,
}

JobStatus = Literal["pending", "running", "succeeded", "failed", "cancelling", "cancelled"]
JOBS, ITEMS = "jobs", "items"  # as their cursors name them

ItemStatus = Literal["pending", "running", "succeeded", "skipped", "failed", "cancelled"]
NO_ACTION = {"failed", "cancelled"}  # outcomes that the status tells already


class JobAccepted(BaseModel):
    """A job that was accepted."""

    model_config = with_examples(
        {"job_id": 2, "url": "/api/v1/jobs/2", "events_url": "/api/v1/jobs/2/events"}
    )

    job_id: int = Field(description="the job's id")
    url: str = Field(description="address of its progress")
    events_url: str = Field(description="address of its progress as server-sent events")

    @classmethod
    def of(cls, job_id: int, addresses: Addresses) -> Self:
        """The payload for a new job."""
        url, events_url = addresses.job(job_id), addresses.job_events(job_id)
        return cls(job_id=job_id, url=url, events_url=events_url)


class WebhookDelivery(BaseModel):
    """A message to the address that a request named."""

    status: Literal["waiting", "pending", "delivered", "failed"] = Field(
        description="waiting: the job has not ended; pending: it is being delivered; failed: given "
        "up, or refused for good"
    )
    id: str | None = Field(description="its `webhook-id`; null until the job has ended")
    attempts: int = Field(description="how many attempts were made")
    reason: str | None = Field(description="why the last attempt failed; null: it did not")

    @classmethod
    def of(cls, job: Job) -> Self:
        """The report of a job with a webhook."""
        told = {name: getattr(job, f"webhook_{name}") for name in cls.model_fields}
        return cls(**told)


class JobDetails(BaseModel):
    """The progress of a job, counted in files."""

    model_config = with_examples(examples.JOB)

    id: int = Field(description="the job's id")
    namespace: str = Field(description="the collection's namespace")
    collection: str = Field(description="the collection that the pictures go into")
    status: JobStatus = Field(description="succeeded, failed and cancelled are final")
    source: dict[str, Any] = Field(
        description="a folder; a bucket and prefix; an archive's name or the paths of its parts; "
        "the number of urls or files; the generation that a reindexing fills; what an evaluation "
        "compares; the label set that pictures are labelled by; or the annotator that looks at them"
    )
    mode: Literal["add", "sync"] = Field(
        description="sync: pictures that are no longer in the source are removed"
    )
    dry_run: bool = Field(description="the job only says what it would do")
    reason: str | None = Field(description="why the job as a whole failed")
    code: str | None = Field(description="of `reason`, as of a problem; null: it has none")
    waiting: str | None = Field(
        None, description="why it makes no progress now: a full disk, say; it goes on by itself"
    )
    waiting_code: str | None = Field(description="of `waiting`, likewise")
    retryable: bool = Field(
        description="whether trying it again may help: false where all files that failed are "
        "refused for good, or their bytes are gone"
    )
    listed: bool = Field(description="whether `total` is final")
    total: int = Field(description="number of files in the source")
    done: int = Field(description="how many of them are done")
    skipped: int = Field(description="how many of them are unchanged, or known by their content")
    added: int = Field(description="new pictures")
    processed: int = Field(
        description="of a reindexing: new vectors; of an evaluation: searches; of a labelling: "
        "labelled pictures; of an annotator: pictures that were looked at; else 0"
    )
    changed: int = Field(
        description="known pictures with new content, or with another caption or metadata now"
    )
    moved: int = Field(
        description="known pictures found under a new path; they keep their embedding"
    )
    removed: int = Field(description="mode sync: known pictures no longer in the source, removed")
    gone: int = Field(description="mode add: known pictures no longer in the source, kept")
    unchanged: int = Field(description="files that have not changed since the last time")
    duplicate: int = Field(
        description="files with the content of another picture, which they did not change"
    )
    failed: int = Field(description="how many of them were refused or unreadable")
    cancelled: int = Field(description="files not begun when the job was cancelled")
    ignored: int = Field(
        description="names that were passed over by IMAGE_SEARCH_IGNORED_NAMES, with all below them"
    )
    companions: int = Field(description="sidecars and clips that belong to pictures beside them")
    created_at: datetime = Field(description="when it was accepted")
    started_at: datetime | None = Field(description="when work on it began; null: not yet")
    updated_at: datetime = Field(description="when a count or the status last changed")
    finished_at: datetime | None = Field(description="when it ended; null: not yet")
    webhook: WebhookDelivery | None = Field(
        None, description="the report of its end; null: its request named no `webhook_url`"
    )
    pictures_per_second: float | None = Field(
        description="mean rate so far; null before the first picture"
    )
    seconds_left: float | None = Field(description="estimated time left; null while unknown")

    @classmethod
    def of(cls, job: Job) -> Self:
        """The details of a job."""
        counts = {name: getattr(job, name) for name in cls.model_fields if hasattr(job, name)}
        source = {name: value for name, value in job.source.items() if name in SHOWN_OF_SOURCE}
        webhook = None if job.webhook_url is None else WebhookDelivery.of(job)
        told = {"processed": 0, **counts, "source": source, "webhook": webhook}
        if not job.source.keys().isdisjoint(WITHOUT_ITEMS):
            told |= {"added": 0, "processed": job.added}
        return cls(**told, status=job.state, pictures_per_second=job.rate)


class JobPage(BaseModel):
    """A page of jobs."""

    model_config = with_examples({"data": [examples.JOB], "next_cursor": None})

    data: list[JobDetails] = Field(description="newest first")
    next_cursor: str | None = Field(description="null on the last page")

    @classmethod
    def of(cls, jobs: list[Job], limit: int) -> Self:
        """A page of `limit`; one more job says that there is a next one."""
        shown, more = page_of(JOBS, jobs, limit)
        return cls(data=[JobDetails.of(job) for job in shown], next_cursor=more)


class JobItem(BaseModel):
    """One file of a job."""

    path: str = Field(description="path of the file, or the name it was uploaded under")
    status: ItemStatus = Field(description="how far it is")
    action: str | None = Field(
        description="what was done, or would be in a dry run: added, changed, moved, removed, "
        "unchanged, duplicate, gone; null: nothing, or not yet"
    )
    reason: str | None = Field(description="why it failed, or another remark")
    code: str | None = Field(
        description="of `reason`, as of a problem; held_for_review: a gate holds the picture; "
        "null: it has none"
    )
    attempts: int = Field(description="number of times it was begun")
    worker: str | None = Field(description="host and process id of the worker that took it last")
    image_id: int | None = Field(description="id of its picture")
    updated_at: datetime = Field(description="when its status last changed")

    @classmethod
    def of(cls, item: Item) -> Self:
        """The details of a file."""
        known = {name: value for name, value in vars(item).items() if name in cls.model_fields}
        action = None if item.outcome in NO_ACTION else item.outcome
        return cls(**known, status=item.state, action=action)


class ItemPage(BaseModel):
    """A page of a job's files."""

    model_config = with_examples({"data": [examples.ITEM], "next_cursor": CURSOR})

    data: list[JobItem] = Field(description="in the order in which the source was listed")
    next_cursor: str | None = Field(description="null on the last page")

    @classmethod
    def of(cls, items: list[Item], limit: int) -> Self:
        """A page of `limit`; one more item says that there is a next one."""
        shown, more = page_of(ITEMS, items, limit)
        return cls(data=[JobItem.of(item) for item in shown], next_cursor=more)
