"""The flat endpoints: search by text, search by image, upload. Their shapes do not change.

The searches are `async` and use a thread only for the search itself: FastAPI would switch to one
once more to serialise the answer.
"""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, File, Form, Query, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from app.errors import UploadRejected
from app.ingest.uploads import Outcome, Upload
from app.pictures.metadata.description import MAX_CAPTION_CHARACTERS
from app.runtime.collection_registry import OpenCollection
from app.search.feedback_tokens import FeedbackTokens
from app.search.query_terms import MAX_QUERY_CHARACTERS
from app.search.search import DEFAULT_LIMIT, MAX_LIMIT, FlatAnswer, Search
from app.sources.sidecars.annotations import (
    MAX_METADATA_CHARACTERS,
    Annotation,
    check_caption,
    parse_metadata,
)
from app.web.addresses import PictureAddresses
from app.web.dependencies import (
    AnswerAddresses,
    FlatCollection,
    GalleryService,
    ModelHeader,
    TokenService,
    Utf8Query,
)
from app.web.file_threads import picture_limiter
from app.web.middleware.guard import Guarded, needs
from app.web.payloads.field_types import ExternalId, printable
from app.web.payloads.flat import Hit, UploadResult
from app.web.problems import code_of, problem, problem_responses, status_of
from app.web.sent_pictures import SentPicture, in_memory

router = APIRouter(tags=["flat"], route_class=Guarded)

TRUNCATED_HEADER = "X-Query-Truncated"  # the text exceeds the model's context
TOKEN_HEADER = "X-Search-Token"  # noqa: S105
MAX_FILES = 100  # in one upload: the decoded pixels of all stay in memory until all are written

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="maximum number of pictures")]

PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "a picture file",
                        }
                    },
                }
            },
            "image/*": {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "the bytes of a picture file",
                }
            },
        },
    }
}


@router.get(
    "/search-by-text",
    responses=problem_responses(404, 422, 503),
    dependencies=[ModelHeader, Utf8Query],
)
@needs("reader", "search")
async def search_by_text(
    opened: FlatCollection,
    tokens: TokenService,
    addresses: AnswerAddresses,
    response: Response,
    query: Annotated[
        str,
        Query(
            description=f"what the picture shows, at most {MAX_QUERY_CHARACTERS} characters",
            examples=["a green tree"],
        ),
    ],
    limit: Limit = DEFAULT_LIMIT,
) -> list[Hit]:
    """The pictures that match the words best, best first."""
    answer = await run_in_threadpool(opened.search.by_text, query, limit)
    return _hits(opened, tokens, addresses, response, answer)


@router.post(
    "/search-by-image",
    responses=problem_responses(400, 404, 413, 415, 422, 503),
    dependencies=[ModelHeader],
    openapi_extra=PICTURE_BODY,
)
@needs("reader", "search")
async def search_by_image(
    opened: FlatCollection,
    tokens: TokenService,
    addresses: AnswerAddresses,
    response: Response,
    picture: SentPicture,
    limit: Limit = DEFAULT_LIMIT,
) -> list[Hit]:
    """The pictures most like the one sent, best first."""
    answer = await to_thread.run_sync(
        _search_by_image, opened.search, picture, limit, limiter=picture_limiter()
    )
    return _hits(opened, tokens, addresses, response, answer)


def _search_by_image(search: Search, picture: SentPicture, limit: int) -> FlatAnswer:
    with in_memory(picture) as (data,):
        return search.by_image(data, limit)


def _hits(
    opened: OpenCollection,
    tokens: FeedbackTokens,
    addresses: PictureAddresses,
    response: Response,
    answer: FlatAnswer,
) -> list[Hit]:
    """The hits as a plain list; what else is known of the answer goes into headers."""
    ids = [hit.image.id for hit in answer.hits]
    response.headers[TOKEN_HEADER] = tokens.write(opened.index, answer.query, ids)
    if answer.query.unused_text:
        response.headers[TRUNCATED_HEADER] = "true"
    return [Hit.of(hit, addresses) for hit in answer.hits]


@router.post(
    "/upload",
    summary="Upload pictures",
    response_model=list[UploadResult],
    status_code=201,
    responses={
        200: {"model": list[UploadResult], "description": "Nothing new: every file was known"},
        207: {"model": list[UploadResult], "description": "Some files were refused"},
        **problem_responses(400, 404, 409, 413, 415, 422, 503, 507),
    },
)
@needs("writer", "upload")
def upload(
    opened: FlatCollection,
    gallery: GalleryService,
    file: Annotated[
        list[UploadFile],
        File(
            description="one or many pictures",
            json_schema_extra={"minItems": 1, "maxItems": MAX_FILES},
        ),
    ],
    caption: Annotated[
        str | None,
        Form(max_length=MAX_CAPTION_CHARACTERS, description="caption of each picture"),
    ] = None,
    metadata: Annotated[
        str | None,
        Form(
            max_length=MAX_METADATA_CHARACTERS,
            description="metadata of each picture: a JSON object",
            examples=['{"season": "summer"}'],
        ),
    ] = None,
    external_id: Annotated[
        ExternalId | None,
        Form(
            description="of one file: it takes the place of the picture that has this external id",
            examples=["sku-4711"],
        ),
    ] = None,
) -> Response:
    """Store pictures and make them searchable at once; `caption` and `metadata` apply to each."""
    described_by = {} if metadata is None else parse_metadata(metadata)
    if caption is not None:
        check_caption(caption)
    if len(file) > MAX_FILES:
        raise UploadRejected(f"{len(file)} files; {MAX_FILES} are allowed in one upload.")
    if external_id is not None and len(file) > 1:
        raise UploadRejected(f"{len(file)} files, and one external_id: send each file on its own.")
    with in_memory(*file) as contents:
        names = (printable(one.filename or "") for one in file)
        files = [Upload(name, data) for name, data in zip(names, contents, strict=True)]
        outcomes = opened.uploads.store(files, caption, described_by)
    if external_id is not None and outcomes[0].image is not None:
        sent = Annotation(caption, described_by)
        gallery.replace(outcomes[0].image.id, external_id, sent)
    body = [UploadResult.of(outcome).model_dump() for outcome in outcomes]
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if len(errors) == len(outcomes):
        reasons = " ".join(f"{one['filename']}: {one['reason']}" for one in body)
        return problem(status_of(errors[0]), reasons, code=code_of(errors[0]), files=body)
    return JSONResponse(body, _upload_status(outcomes))


def _upload_status(outcomes: list[Outcome]) -> int:
    statuses = {outcome.status for outcome in outcomes}
    if "refused" in statuses:
        return 207
    return 201 if "stored" in statuses else 200
