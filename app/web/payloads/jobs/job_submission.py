"""The body of `POST /api/v1/images`: a form with files, or JSON with URLs or a source."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from app.errors import UploadRejected
from app.ingest.jobs.job_submission import MAX_FILES, MAX_URLS, SentFile
from app.sources.sidecars.annotations import (
    Annotation,
    check_caption,
    check_metadata,
    parse_metadata,
)
from app.web.bodies.content_types import is_json
from app.web.payloads.field_types import STORABLE, printable
from app.web.problems.sent_names import Names, check_names

MAX_JSON_BYTES = 4_000_000  # of a JSON body: room for MAX_URLS long URLs
MAX_FIELDS = 10  # of a form, not counting files
MAX_PREFIX_CHARACTERS = 1_024  # the longest key of S3
SPOOL_BYTES = 65_536  # of each file that stay in memory: there may be a thousand files
MAX_URL_CHARACTERS = 2_000
Url = Annotated[str, Field(max_length=MAX_URL_CHARACTERS, pattern=STORABLE)]
WRONG_KIND = (
    "Send files or an archive with the header Content-Type: multipart/form-data, or urls or a "
    "source as JSON with Content-Type: application/json"
)
WEBHOOK = (
    "http or https address that is sent a signed message when the job has ended: see "
    "docs/ingest.md#webhooks"
)
FLAGS = {"": False, "0": False, "false": False, "1": True, "true": True}


class FolderOrBucket(BaseModel):
    """A source whose pictures stay where they are: a folder on the server, or a bucket."""

    model_config = ConfigDict(extra="forbid")

    folder: str | None = Field(
        None,
        description=(
            "below IMAGE_SEARCH_IMAGES_DIR or one of IMAGE_SEARCH_SOURCE_DIRS; relative to "
            "IMAGE_SEARCH_IMAGES_DIR"
        ),
    )
    bucket: str | None = Field(None, description="S3_BUCKET or one of S3_BUCKETS")
    prefix: str = Field(
        "",
        pattern=STORABLE,
        max_length=MAX_PREFIX_CHARACTERS,
        description="only keys of the bucket that start with this",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.folder is None) == (self.bucket is None):
            raise ValueError("name either a folder or a bucket")
        return self


class ImportRequest(BaseModel):
    """What to add: pictures by their URLs, or every picture of a source."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"source": {"folder": "2026"}, "mode": "sync"},
                {"urls": ["https://example.org/pier.jpg"], "caption": "the pier"},
            ]
        },
    )

    urls: list[Url] | None = Field(
        None,
        min_length=1,
        max_length=MAX_URLS,
        description="http or https addresses of one picture each",
    )
    source: FolderOrBucket | None = Field(
        None, description="a folder or a bucket, all of whose pictures are added"
    )
    mode: Literal["add", "sync"] = Field(
        "add", description="sync: pictures that are no longer in the source are removed"
    )
    dry_run: bool = Field(False, description="only say what would be done")
    forget_empty: bool = Field(
        False,
        description="with mode sync: also forget the pictures of folders that are empty or gone "
        "as a whole; by default they are kept, since their disk may not be mounted",
    )
    include_deleted: bool = Field(
        False,
        description="index files of the source again whose pictures were deleted here; by default "
        "they stay away until their content changes",
    )
    reread: bool = Field(
        False,
        description="read known files of the source again for what is written in and beside them; "
        "needs no new embedding",
    )
    webhook_url: Url | None = Field(None, description=WEBHOOK)
    caption: str | None = Field(None, description="of each URL's picture")
    metadata: dict[str, Any] = Field(default_factory=dict, description="of each URL's picture")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.urls is None) == (self.source is None):
            raise ValueError("send either urls or a source")
        if self.source is None and self.mode == "sync":
            raise ValueError("mode sync needs a source: URLs are only added")
        if self.mode != "sync" and self.forget_empty:
            raise ValueError("forget_empty needs mode sync: nothing is forgotten without it")
        if self.source is not None and (self.caption is not None or self.metadata):
            raise ValueError("caption and metadata are for URLs: for a source, use sidecar files")
        return self

    @property
    def annotation(self) -> Annotation:
        """The caption and metadata of each picture. Raises AnnotationInvalid."""
        caption = check_caption(self.caption) if self.caption else None
        return Annotation(caption, check_metadata(self.metadata))


@dataclass(frozen=True)
class Form:
    """What the form held; its files are closed when the request ends."""

    files: list[SentFile] = field(default_factory=list)
    archive: SentFile | None = None
    annotation: Annotation = field(default_factory=Annotation)
    dry_run: bool = False
    webhook_url: str | None = None


FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "files": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "pictures; or send an archive",
        },
        "archive": {
            "type": "string",
            "format": "binary",
            "description": "a zip or tar of pictures, which may hold tables and sidecar files",
        },
        "caption": {"type": "string", "description": "caption of each picture"},
        "metadata": {
            "type": "string",
            "description": "metadata of each picture: a JSON object",
            "examples": ['{"season": "summer"}'],
        },
        "dry_run": {
            "type": "string",
            "enum": sorted(FLAGS),
            "description": "1: only say what would be done",
        },
        "webhook_url": {
            "type": "string",
            "maxLength": MAX_URL_CHARACTERS,
            "description": WEBHOOK,
        },
    },
}
FORM_NAMES = Names(FORM_SCHEMA["properties"].keys(), {"files"})


async def _submitted(request: Request) -> AsyncIterator[ImportRequest | Form]:
    kind = request.headers.get("content-type", "")
    if is_json(kind):
        yield _parsed(await _body(request))
    elif kind.startswith("multipart/form-data"):
        try:
            form = await _parsed_form(request)
        except MultiPartException as error:
            raise HTTPException(400, error.message) from error
        except UnicodeError as error:  # the form is not in the charset it declares
            raise UploadRejected("The form is not in the charset that it declares.") from error
        try:
            yield _form(form)
        finally:
            await form.close()
    else:
        raise HTTPException(415, WRONG_KIND)


async def _parsed_form(request: Request) -> FormData:
    parser = MultiPartParser(
        request.headers, request.stream(), max_files=MAX_FILES + 1, max_fields=MAX_FIELDS
    )
    parser.spool_max_size = SPOOL_BYTES
    return await parser.parse()


async def _body(request: Request) -> bytes:
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_JSON_BYTES:
            raise HTTPException(413, f"The JSON has more than {MAX_JSON_BYTES:,} bytes.")
    return data


def _parsed(data: bytes) -> ImportRequest:
    try:
        return ImportRequest.model_validate_json(data)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from error


def _form(form: FormData) -> Form:
    check_names("body", (name for name, _ in form.multi_items()), FORM_NAMES)
    sent: dict[str, list[SentFile]] = {"files": [], "archive": []}
    texts: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) and name in sent:
            sent[name].append(SentFile(printable(value.filename or ""), value.file))
        elif isinstance(value, str) and name not in sent:
            texts[name] = value
        else:
            raise UploadRejected(f"{name}: send {'a file' if name in sent else 'a text'} here.")
    if texts.get("dry_run", "") not in FLAGS:
        raise UploadRejected("dry_run: send 1 or 0.")
    caption = check_caption(texts["caption"]) if texts.get("caption") else None
    metadata = parse_metadata(texts["metadata"]) if "metadata" in texts else {}
    return Form(
        sent["files"],
        next(iter(sent["archive"]), None),
        Annotation(caption, metadata),
        FLAGS[texts.get("dry_run", "")],
        texts.get("webhook_url") or None,
    )


Submitted = Annotated[ImportRequest | Form, Depends(_submitted)]
