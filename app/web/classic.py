"""The flat endpoints of the first users: their shapes do not change."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Response, UploadFile
from fastapi.responses import JSONResponse

from app.errors import UploadRejected
from app.search import DEFAULT_LIMIT, MAX_LIMIT, MAX_QUERY_CHARACTERS
from app.uploads import Outcome, Upload
from app.web.dependencies import NamedModel, SearchService, SentPicture, UploadService, Utf8
from app.web.payloads import Hit, Uploaded
from app.web.problems import described, problem, status_of

router = APIRouter(tags=["flat"])

MAX_CAPTION_CHARACTERS = 2_000
MAX_METADATA_CHARACTERS = 20_000
MAX_METADATA_DEPTH = 32
MAX_FILES = 100  # in one upload: each keeps its prepared pixels until all are written

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="how many pictures at most")]

PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.get("/search-by-text", responses=described(422, 503), dependencies=[NamedModel, Utf8])
def search_by_text(
    search: SearchService,
    query: Annotated[
        str, Query(description=f"what the picture shows, at most {MAX_QUERY_CHARACTERS} characters")
    ],
    limit: Limit = DEFAULT_LIMIT,
) -> list[Hit]:
    """The pictures that fit the words best, best first."""
    return [Hit.of(neighbour) for neighbour in search.by_text(query, limit)]


@router.post(
    "/search-by-image",
    responses=described(400, 413, 415, 422, 503),
    dependencies=[NamedModel],
    openapi_extra=PICTURE_BODY,
)
def search_by_image(
    search: SearchService, picture: SentPicture, limit: Limit = DEFAULT_LIMIT
) -> list[Hit]:
    """The pictures most like the one sent, best first."""
    return [Hit.of(neighbour) for neighbour in search.by_image(picture, limit)]


@router.post(
    "/upload",
    response_model=list[Uploaded],
    status_code=201,
    responses={
        200: {"model": list[Uploaded], "description": "Nothing new: all were known"},
        207: {"model": list[Uploaded], "description": "Some were refused"},
        **described(400, 413, 415, 422, 503),
    },
)
def upload(
    uploads: UploadService,
    file: Annotated[list[UploadFile], File(description="one or many pictures")],
    caption: Annotated[str | None, Form(max_length=MAX_CAPTION_CHARACTERS)] = None,
    metadata: Annotated[
        str | None, Form(max_length=MAX_METADATA_CHARACTERS, description="a JSON object")
    ] = None,
) -> Response:
    """Keep pictures and make them searchable at once; `caption` and `metadata` go to each."""
    described_by = _metadata(metadata)
    _check_storable(caption or "", "caption")
    if len(file) > MAX_FILES:
        raise UploadRejected(f"{len(file)} files; {MAX_FILES} are allowed in one upload.")
    files = [Upload(_printable(one.filename or ""), one.file.read()) for one in file]
    outcomes = uploads.store(files, caption, described_by)
    body = [Uploaded.of(outcome).model_dump() for outcome in outcomes]
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if len(errors) == len(outcomes):
        reasons = " ".join(f"{one['filename']}: {one['reason']}" for one in body)
        return problem(status_of(errors[0]), reasons, files=body)
    return JSONResponse(body, _upload_status(outcomes))


def _printable(name: str) -> str:
    """The name without halves of surrogate pairs, which no answer can hold."""
    return name.encode(errors="replace").decode()


def _upload_status(outcomes: list[Outcome]) -> int:
    statuses = {outcome.status for outcome in outcomes}
    if "refused" in statuses:
        return 207
    return 201 if "stored" in statuses else 200


def _metadata(sent: str | None) -> dict[str, Any]:
    """The `metadata` field as an object that Postgres can store. Raises UploadRejected."""
    if sent is None:
        return {}
    try:
        value = json.loads(sent, parse_constant=_refuse_constant)
        # Written out again: 1e999 is read as infinity, which no JSON can hold.
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise UploadRejected(f"metadata: this is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise UploadRejected('metadata: send a JSON object, for example {"place": "Lisbon"}.')
    if _depth(value) > MAX_METADATA_DEPTH:
        raise UploadRejected(f"metadata: nested deeper than {MAX_METADATA_DEPTH} levels.")
    _check_storable(text, "metadata")
    return value


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _check_storable(text: str, name: str) -> None:
    if "\0" in text or r"\u0000" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise UploadRejected(f"{name}: a NUL or half of a surrogate pair cannot be stored.")
