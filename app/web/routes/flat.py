"""The flat endpoints: search by text, search by image, upload. Their shapes do not change.

The searches are `async` and use a thread only for the search itself: FastAPI would switch to one
once more to serialise the answer.
"""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter

from app.runtime.open_collection import OpenCollection
from app.search.feedback_tokens import FeedbackTokens
from app.search.queries.query_terms import MAX_QUERY_CHARACTERS
from app.search.search import DEFAULT_LIMIT, MAX_LIMIT, FlatAnswer, Search
from app.web.addresses import PictureAddresses
from app.web.bodies.sent_pictures import SentPicture, in_memory
from app.web.bodies.sent_uploads import (
    NOTHING_NEW,
    SentUpload,
    refusal_of,
    status_of_upload,
    store_files,
)
from app.web.callers import AnswerAddresses, FlatCollection
from app.web.dependencies import TokenService, Utf8Query
from app.web.files.file_threads import picture_limiter
from app.web.kept_answers import TOKEN_HEADER, KeptAnswer, Repeated
from app.web.middleware.guarded_route import needs
from app.web.model_header import MODEL_HEADER, ModelHeader, model_header
from app.web.payloads.flat import Hit, UploadResult
from app.web.problems.problems import problem_responses
from app.web.storing import StoringService

router = APIRouter(tags=["flat"], route_class=Repeated)

TRUNCATED_HEADER = "X-Query-Truncated"  # the text exceeds the model's context
SEARCH_HEADERS = {
    TOKEN_HEADER: {
        "schema": {"type": "string"},
        "description": "token to rate this answer with at /api/v1/feedback",
    },
    MODEL_HEADER: {"schema": {"type": "string"}, "description": "the model that answered"},
    TRUNCATED_HEADER: {
        "schema": {"type": "string"},
        "description": "true where the text exceeds the model's context",
    },
}

HITS = TypeAdapter(list[Hit])

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
    response_model=list[Hit],
    responses={200: {"headers": SEARCH_HEADERS}, **problem_responses(404, 422, 503)},
    dependencies=[Utf8Query],
)
@needs("reader", "search", by_replicas=True)
async def search_by_text(
    request: Request,
    opened: FlatCollection,
    addresses: AnswerAddresses,
    query: Annotated[
        str,
        Query(
            description=f"what the picture shows, at most {MAX_QUERY_CHARACTERS} characters",
            examples=["a green tree"],
        ),
    ],
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """The pictures that match the words best, best first."""
    answer = await run_in_threadpool(opened.search.by_text, query, limit)
    body = HITS.dump_json([Hit.of(hit, addresses) for hit in answer.hits])
    headers = {MODEL_HEADER: model_header(opened)}
    if answer.query.unused_text:
        headers[TRUNCATED_HEADER] = "true"
    ids = [hit.image.id for hit in answer.hits]
    kept = KeptAnswer(opened, answer.query, ids, answer.basis, body, headers)
    request.app.state.kept_answers.keep(request.scope, kept)
    return kept.response(request.app.state.services)


@router.post(
    "/search-by-image",
    responses={
        200: {"headers": SEARCH_HEADERS},
        **problem_responses(400, 404, 413, 415, 422, 503),
    },
    dependencies=[ModelHeader],
    openapi_extra=PICTURE_BODY,
)
@needs("reader", "search", by_replicas=True)
async def search_by_image(
    opened: FlatCollection,
    tokens: TokenService,
    addresses: AnswerAddresses,
    response: Response,
    picture: SentPicture,
    limit: Limit = DEFAULT_LIMIT,
) -> list[Hit]:
    """The pictures most like the one sent, as the field `file` or as the body itself."""
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
        200: {"model": list[UploadResult], "description": NOTHING_NEW},
        207: {"model": list[UploadResult], "description": "Some files were refused"},
        **problem_responses(400, 404, 409, 413, 415, 422, 503, 507),
    },
)
@needs("writer", "upload", creates=True)
def upload(
    opened: FlatCollection,
    storing: StoringService,
    sent: SentUpload,
) -> Response:
    """Store pictures and make them searchable at once; `caption` and `metadata` apply to each.

    `POST /api/v1/collections/{name}/images` does the same.
    """
    outcomes = store_files(storing, opened, sent)
    if refusal := refusal_of(outcomes):
        return refusal
    body = [UploadResult.of(outcome).model_dump() for outcome in outcomes]
    return JSONResponse(body, status_of_upload(outcomes))
