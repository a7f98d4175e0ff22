"""The form of an upload: its fields, and what becomes of its files."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, File, Form, Response, UploadFile

from app.catalog.external_ids import MAX_CHARACTERS
from app.errors import UploadRejected
from app.ingest.upload_stages import Outcome, Upload
from app.pictures.metadata.description import MAX_CAPTION_CHARACTERS
from app.runtime.open_collection import OpenCollection
from app.sources.sidecars.annotations import (
    MAX_METADATA_CHARACTERS,
    Annotation,
    check_caption,
    parse_metadata,
)
from app.web.bodies.sent_pictures import in_memory
from app.web.payloads.field_types import STORABLE, printable
from app.web.payloads.flat import UploadResult
from app.web.problems.problems import code_of, problem, status_of
from app.web.storing import Storing

MAX_FILES = 100  # in one upload: the decoded pixels of all stay in memory until all are written
NOTHING_NEW = "Nothing new: every file was known, or replaced the picture of its external id"

SentFiles = Annotated[
    list[UploadFile],
    File(
        description="one or many pictures",
        json_schema_extra={"minItems": 1, "maxItems": MAX_FILES},
    ),
]
SentCaption = Annotated[
    str | None, Form(max_length=MAX_CAPTION_CHARACTERS, description="caption of each picture")
]
SentMetadata = Annotated[
    str | None,
    Form(
        max_length=MAX_METADATA_CHARACTERS,
        description="metadata of each picture: a JSON object",
        examples=['{"season": "summer"}'],
    ),
]
SentExternalId = Annotated[
    str | None,
    Form(
        max_length=MAX_CHARACTERS,
        pattern=STORABLE,
        description="of one file: it takes the place of the picture that has this external id; "
        "empty: none",
        examples=["sku-4711"],
    ),
]


@dataclass(frozen=True)
class _SentUpload:
    """The fields of the form, as they were sent; all but `file` are said of each file."""

    file: SentFiles
    caption: SentCaption = None
    metadata: SentMetadata = None
    external_id: SentExternalId = None


SentUpload = Annotated[_SentUpload, Depends()]


def store_files(storing: Storing, opened: OpenCollection, sent: _SentUpload) -> list[Outcome]:
    """Store pictures, in the order they were sent. Raises AnnotationInvalid, UploadRejected."""
    files = sent.file
    described_by = {} if sent.metadata is None else parse_metadata(sent.metadata)
    if sent.caption is not None:
        check_caption(sent.caption)
    if len(files) > MAX_FILES:
        raise UploadRejected(f"{len(files)} files; {MAX_FILES} are allowed in one upload.")
    if sent.external_id is not None and len(files) > 1:
        raise UploadRejected(
            f"{len(files)} files, but an external_id is for one: send each file on its own."
        )
    with in_memory(*files) as contents:
        names = (printable(one.filename or "") for one in files)
        uploads = [Upload(name, data) for name, data in zip(names, contents, strict=True)]
        outcomes = storing.store(opened, uploads, sent.caption, described_by)
    if sent.external_id is None or outcomes[0].image is None:
        return outcomes
    said = Annotation(sent.caption, described_by)
    image, placement = storing.name(outcomes[0], sent.external_id, said)
    (outcome,) = outcomes
    status = "replaced" if placement == "replaced" else outcome.status
    named = status == "duplicate" and placement == "new"
    return [replace(outcome, image=image, status=status, updated=outcome.updated or named)]


def refusal_of(outcomes: list[Outcome]) -> Response | None:
    """The problem that answers an upload of which every file was refused; None for any other."""
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if len(errors) < len(outcomes):
        return None
    files = [UploadResult.of(outcome).model_dump() for outcome in outcomes]
    reasons = " ".join(f"{one['filename']}: {one['reason']}" for one in files)
    return problem(status_of(errors[0]), reasons, code=code_of(errors[0]), files=files)


def status_of_upload(outcomes: list[Outcome]) -> int:
    """207 where some files were refused, 201 where one is new, else 200: NOTHING_NEW."""
    statuses = {outcome.status for outcome in outcomes}
    if "refused" in statuses:
        return 207
    return 201 if statuses & {"stored", "held"} else 200
