"""Jobs: adding many pictures, progress, cancelling and retrying."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.catalog.collections import DEFAULT_NAMESPACE
from app.errors import JobNotFound, KeyRejected, SourceNotAllowed
from app.ingest.jobs.job_submission import JobOptions
from app.ingest.jobs.jobs import Job
from app.search.search_request import DEFAULT_LIMIT
from app.web.addresses import Addresses
from app.web.callers import CurrentCaller, InCollection, InNamespace, JobId
from app.web.dependencies import JobSubmissionService, RegistryService, ServiceAddresses
from app.web.middleware.guard import presented_key
from app.web.middleware.guarded_route import Guarded, needs
from app.web.pagination import Cursor, Limit, read_number
from app.web.payloads import examples
from app.web.payloads.field_types import Name
from app.web.payloads.jobs.job_submission import FORM_SCHEMA, Form, ImportRequest, Submitted
from app.web.payloads.jobs.jobs import (
    ITEMS,
    JOBS,
    ItemPage,
    ItemStatus,
    JobAccepted,
    JobDetails,
    JobPage,
    JobStatus,
)
from app.web.problems.problems import problem_responses

router = APIRouter(prefix="/api/v1", tags=["jobs"], route_class=Guarded)

ADD_IMAGES = "/api/v1/images"  # the route whose body may be a large archive
NOT_YOURS = (
    "Only keys for the namespace default may use folders and buckets of this service: send files, "
    "an archive or URLs."
)
EVENT_SECONDS = 0.5  # between two looks at a job for its event stream


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of the JSON body without `$defs`, which only work for bodies FastAPI knows."""
    parts = schema.pop("$defs")
    source = schema["properties"]["source"]
    source["anyOf"] = [parts["FolderOrBucket"], {"type": "null"}]
    return schema


BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": FORM_SCHEMA},
            "application/json": {"schema": _inlined(ImportRequest.model_json_schema())},
        },
    }
}


EVENTS: dict[str, Any] = {
    "example": f"event: end\ndata: {json.dumps(examples.JOB)}\n\n",
}
LOCATION = {"Location": {"schema": {"type": "string"}, "description": "address of the job"}}


def _checked(request: Request, submitted: Submitted) -> ImportRequest | Form:
    """What was submitted, whose webhook may be called. Raises UrlNotAllowed, WebhookRejected."""
    if submitted.webhook_url is not None:
        request.app.state.services.webhooks.check(submitted.webhook_url)
    return submitted


@router.post(
    "/images",
    status_code=202,
    responses={
        202: {"headers": LOCATION},
        **problem_responses(400, 403, 404, 413, 415, 422, 503, 507),
    },
    openapi_extra=BODY,
)
@needs("writer", "upload", creates=True)
def import_images(
    caller: CurrentCaller,
    opened: InCollection,
    addresses: ServiceAddresses,
    submitted: Annotated[ImportRequest | Form, Depends(_checked)],
    response: Response,
) -> JobAccepted:
    """Add pictures, an archive, URLs or a source by a job in the background."""
    job_submission = opened.job_submission
    if isinstance(submitted, Form):
        job_id = job_submission.sent(
            submitted.files,
            submitted.archive,
            submitted.annotation,
            dry_run=submitted.dry_run,
            webhook_url=submitted.webhook_url,
        )
    elif submitted.source:
        if not caller.reaches(DEFAULT_NAMESPACE):
            raise SourceNotAllowed(NOT_YOURS)
        options = JobOptions(
            sync=submitted.mode == "sync",
            dry_run=submitted.dry_run,
            forget_empty=submitted.forget_empty,
            include_deleted=submitted.include_deleted,
            reread=submitted.reread,
            webhook_url=submitted.webhook_url,
        )
        job_id = job_submission.requested(submitted.source.model_dump(exclude_none=True), options)
    else:
        urls, annotation = submitted.urls or [], submitted.annotation
        job_id = job_submission.urls(
            urls, annotation, dry_run=submitted.dry_run, webhook_url=submitted.webhook_url
        )
    return accept(job_id, addresses, response)


def accept(job_id: int, addresses: Addresses, response: Response) -> JobAccepted:
    """The answer about a job that was accepted, with its address in a header too."""
    accepted = JobAccepted.of(job_id, addresses)
    response.headers["Location"] = accepted.url
    return accepted


@router.get("/jobs", responses=problem_responses(404, 422, 503))
@needs("reader")
def list_jobs(
    registry: RegistryService,
    job_submission: JobSubmissionService,
    namespace: InNamespace,
    collection: Annotated[
        Name | None,
        Query(
            description="only jobs of this collection; if omitted, of all in the namespace",
            examples=["holidays"],
        ),
    ] = None,
    status: Annotated[JobStatus | None, Query(description="only those with this status")] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> JobPage:
    """Jobs, newest first, of one collection or of all in the namespace."""
    chosen = None if collection is None else registry.find(namespace, collection).collection.id
    before = None if cursor is None else read_number(JOBS, cursor)
    found = job_submission.jobs(chosen, status, before, limit + 1, namespace)
    return JobPage.of(found, limit)


def _found(job_submission: JobSubmissionService, job_id: JobId) -> Job:
    return job_submission.job(job_id)


@router.get("/jobs/{job_id}", responses=problem_responses(404, 422, 503))
@needs("reader")
def get_job(job: Annotated[Job, Depends(_found)]) -> JobDetails:
    """The progress of a job."""
    return JobDetails.of(job)


@router.get("/jobs/{job_id}/items", responses=problem_responses(404, 422, 503))
@needs("reader")
def list_job_items(
    job_submission: JobSubmissionService,
    job_id: JobId,
    status: Annotated[ItemStatus | None, Query(description="only those with this status")] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> ItemPage:
    """The files of a job; unchanged files are only counted, not listed."""
    after = 0 if cursor is None else read_number(ITEMS, cursor)
    found = job_submission.items(job_id, limit + 1, state=status, after=after)
    return ItemPage.of(found, limit)


@router.get(
    "/jobs/{job_id}/events",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": EVENTS}}, **problem_responses(404, 422, 503)},
)
@needs("reader", "events")
async def stream_job_events(
    request: Request, job_submission: JobSubmissionService, job: Annotated[Job, Depends(_found)]
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `progress` at each change, `end` with the final status."""
    seen = None  # async: many clients may follow for long
    presented = presented_key(request.headers)
    while job.finished_at is None and not request.app.state.is_stopping():
        if job != seen:
            yield ServerSentEvent(event="progress", data=JobDetails.of(job))
        seen = job
        await asyncio.sleep(EVENT_SECONDS)
        try:
            await run_in_threadpool(request.app.state.services.access.caller, presented)
        except KeyRejected:  # the key was revoked or has expired meanwhile
            return
        try:
            job = await run_in_threadpool(job_submission.job, job.id)
        except JobNotFound:  # its collection was deleted meanwhile
            return
    yield ServerSentEvent(event="end", data=JobDetails.of(job))


@router.post("/jobs/{job_id}/cancel", responses=problem_responses(404, 409, 422, 503))
@needs("writer")
def cancel_job(job_submission: JobSubmissionService, job_id: JobId) -> JobDetails:
    """Stop a job: files in progress are finished, pictures already added stay."""
    return JobDetails.of(job_submission.cancel(job_id))


@router.post("/jobs/{job_id}/retry", responses=problem_responses(404, 409, 422, 503))
@needs("writer")
def retry_job(job_submission: JobSubmissionService, job_id: JobId) -> JobDetails:
    """Try the failed files of an ended job again, and the listing of its source if that failed."""
    return JobDetails.of(job_submission.retry(job_id))
