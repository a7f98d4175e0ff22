"""The endpoints that programs of an earlier system call: exact in shape."""

from fastapi import APIRouter, Response

from app.search.search import DEFAULT_LIMIT
from app.web.dependencies import CurrentCaller, Home, LibraryService, TokenService
from app.web.middleware.guard import Guarded, needs
from app.web.payloads.feedback import FeedbackDetails, FeedbackToBe
from app.web.payloads.legacy import Matches, NamedMatch, RatingToBe, TextAsked
from app.web.problems import described
from app.web.routes.feedback import judged

router = APIRouter(prefix="/api/v1", tags=["flat"], route_class=Guarded)


@router.post("/search-image", responses=described(400, 404, 413, 422, 503))
@needs("reader", "search")
def search_image(home: Home, tokens: TokenService, asked: TextAsked) -> Matches:
    """The pictures that fit a text best, by the names of their files."""
    answer = home.search.by_text(asked.text, DEFAULT_LIMIT)
    return Matches(
        text=asked.text,
        model_name=home.index.space.name,
        matches=[NamedMatch.of(hit) for hit in answer.hits],
        jwt=tokens.write(home.index, answer.query, [hit.image.id for hit in answer.hits]),
    )


@router.post(
    "/create-feedback",
    status_code=201,
    responses={
        200: {"model": FeedbackDetails, "description": "It replaces an earlier one"},
        **described(400, 404, 409, 413, 422, 503),
    },
)
@needs("reader", "search")
def create_feedback(
    caller: CurrentCaller,
    registry: LibraryService,
    tokens: TokenService,
    response: Response,
    asked: RatingToBe,
) -> FeedbackDetails:
    """Rate an answer from 1 to 10, as `POST /api/v1/feedback` does."""
    rating = FeedbackToBe(token=asked.jwt, rating=asked.user_feedback)
    return judged(caller, registry, tokens.read(asked.jwt), response, rating)
