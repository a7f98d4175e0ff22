"""The legacy endpoints, which programs of an earlier system call. Their shapes do not change."""

from fastapi import APIRouter, Response

from app.search.search import DEFAULT_LIMIT
from app.web.callers import CurrentCaller, DefaultCollection
from app.web.dependencies import RegistryService, TokenService
from app.web.middleware.guarded_route import Guarded, needs
from app.web.payloads.feedback import FeedbackCreate, FeedbackDetails
from app.web.payloads.legacy import (
    LegacyFeedback,
    LegacyMatch,
    LegacySearchRequest,
    LegacySearchResponse,
)
from app.web.problems.problems import problem_responses
from app.web.routes.feedback import store_rating

router = APIRouter(prefix="/api/v1", tags=["flat"], route_class=Guarded)


@router.post("/search-image", responses=problem_responses(400, 404, 413, 422, 503))
@needs("reader", "search", by_replicas=True)
def legacy_search(
    opened: DefaultCollection, tokens: TokenService, body: LegacySearchRequest
) -> LegacySearchResponse:
    """Search by a text, for programs of an earlier system; pictures are named by their files."""
    answer = opened.search.by_text(body.text, DEFAULT_LIMIT)
    return LegacySearchResponse(
        text=body.text,
        model_name=opened.index.space.name,
        matches=[LegacyMatch.of(hit) for hit in answer.hits],
        jwt=tokens.write(opened.index, answer.query, [hit.image.id for hit in answer.hits]),
    )


@router.post(
    "/create-feedback",
    status_code=201,
    responses={
        200: {"model": FeedbackDetails, "description": "It replaces an earlier rating"},
        **problem_responses(400, 404, 409, 413, 422, 503),
    },
)
@needs("reader", "search", creates=True)
def create_legacy_feedback(
    caller: CurrentCaller,
    registry: RegistryService,
    tokens: TokenService,
    response: Response,
    body: LegacyFeedback,
) -> FeedbackDetails:
    """Rate an answer of `POST /api/v1/search-image` from 1 to 10, by its `jwt`."""
    rating = FeedbackCreate(token=body.jwt, rating=body.user_feedback)
    return store_rating(caller, registry, tokens.read(body.jwt), response, rating)
