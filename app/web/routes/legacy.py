"""The endpoints that programs of an earlier system call: exact in shape."""

from pathlib import PurePosixPath
from typing import Self

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from app.index.hnsw_search import Neighbour
from app.search.feedback_submission import LEAST_RATING, MOST_RATING
from app.search.query_encoding import MAX_QUERY_CHARACTERS
from app.search.search import DEFAULT_LIMIT
from app.web.dependencies import CurrentCaller, Home, LibraryService, TokenService
from app.web.middleware.guard import Guarded, needs
from app.web.payloads.examples import TOKEN, shown
from app.web.payloads.feedback import MAX_TOKEN_CHARACTERS, FeedbackDetails, FeedbackToBe
from app.web.problems import described
from app.web.routes.feedback import judged

router = APIRouter(prefix="/api/v1", tags=["flat"], route_class=Guarded)


class TextAsked(BaseModel):
    """What is searched for."""

    model_config = shown({"text": "tennis"})

    text: str = Field(max_length=MAX_QUERY_CHARACTERS, description="what the picture shows")


class NamedMatch(BaseModel):
    """A hit by the name of its file."""

    image_name: str = Field(description="the file's name without its folders")
    score: float = Field(description="cosine similarity")

    @classmethod
    def of(cls, hit: Neighbour) -> Self:
        """The answer's form of what the services return."""
        name = PurePosixPath(hit.image.origin or hit.image.path).name
        return cls(image_name=name, score=1 - hit.distance)


class Matches(BaseModel):
    """The pictures that fit a text best."""

    model_config = shown(
        {
            "text": "a green tree",
            "model_name": "demo model",
            "matches": [{"image_name": "green-tree.jpg", "score": 0.6943}],
            "jwt": TOKEN,
        }
    )

    text: str = Field(description="as it was asked")
    model_name: str = Field(description="the model that answered")
    matches: list[NamedMatch] = Field(description="best first, 10 at most")
    jwt: str = Field(description="to judge the answer by")


class RatingToBe(BaseModel):
    """A rating of a whole answer."""

    model_config = shown({"user_feedback": 5, "jwt": TOKEN})

    user_feedback: int = Field(
        ge=LEAST_RATING, le=MOST_RATING, description="from 1 to 10, the best"
    )
    jwt: str = Field(max_length=MAX_TOKEN_CHARACTERS, description="of the answer")


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
