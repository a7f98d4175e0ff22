"""The form of an upload: its fields, and what becomes of its files."""

from typing import Annotated, NamedTuple

from fastapi import File, Form, Response, UploadFile

from app.catalog.external_ids import MAX_CHARACTERS
from app.errors import UploadRejected
from app.ingest.uploads import Outcome, Upload
from app.pictures.metadata.description import MAX_CAPTION_CHARACTERS
from app.runtime.collection_registry import OpenCollection
from app.sources.sidecars.annotations import (
    MAX_METADATA_CHARACTERS,
    Annotation,
    check_caption,
    parse_metadata,
)
from app.web.bodies.sent_pictures import in_memory
from app.web.dependencies import Storing
from app.web.payloads.field_types import STORABLE, printable
from app.web.payloads.flat import UploadResult
from app.web.problems.problems import code_of, problem, status_of

MAX_FILES = 100  # in one upload: the decoded pixels of all stay in memory until all are written

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


class SentWords(NamedTuple):
    """What is said of each file, as it was sent."""

    caption: str | None
    metadata: str | None
    external_id: str | None


def store_files(
    storing: Storing, opened: OpenCollection, files: list[UploadFile], words: SentWords
) -> list[Outcome]:
    """Store pictures, in the order they were sent. Raises AnnotationInvalid, UploadRejected."""
    described_by = {} if words.metadata is None else parse_metadata(words.metadata)
    if words.caption is not None:
        check_caption(words.caption)
    if len(files) > MAX_FILES:
        raise UploadRejected(f"{len(files)} files; {MAX_FILES} are allowed in one upload.")
    if words.external_id is not None and len(files) > 1:
        raise UploadRejected(f"{len(files)} files, and one external_id: send each file on its own.")
    with in_memory(*files) as contents:
        names = (printable(one.filename or "") for one in files)
        sent = [Upload(name, data) for name, data in zip(names, contents, strict=True)]
        outcomes = storing.store(opened, sent, words.caption, described_by)
    if words.external_id is not None and outcomes[0].image is not None:
        said = Annotation(words.caption, described_by)
        storing.gallery.replace(outcomes[0].image.id, words.external_id, said)
    return outcomes


def refusal_of(outcomes: list[Outcome]) -> Response | None:
    """The problem that answers an upload of which every file was refused; None for any other."""
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if len(errors) < len(outcomes):
        return None
    files = [UploadResult.of(outcome).model_dump() for outcome in outcomes]
    reasons = " ".join(f"{one['filename']}: {one['reason']}" for one in files)
    return problem(status_of(errors[0]), reasons, code=code_of(errors[0]), files=files)


def status_of_upload(outcomes: list[Outcome]) -> int:
    """207 where some files were refused, 201 where one is new, 200 where all were known."""
    statuses = {outcome.status for outcome in outcomes}
    if "refused" in statuses:
        return 207
    return 201 if "stored" in statuses else 200
