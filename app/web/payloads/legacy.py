"""Payloads of the legacy endpoints; programs rely on their shapes."""

from typing import Self

from pydantic import BaseModel, Field

from app.catalog.images.image_names import original_filename
from app.index.hnsw_search import Neighbour
from app.search.feedback_submission import MAX_RATING, MIN_RATING
from app.search.queries.query_terms import MAX_QUERY_CHARACTERS
from app.web.payloads.examples import TOKEN, with_examples
from app.web.payloads.feedback import MAX_TOKEN_CHARACTERS


class LegacySearchRequest(BaseModel):
    """A search by text."""

    model_config = with_examples({"text": "tennis"}, extra="forbid")

    text: str = Field(max_length=MAX_QUERY_CHARACTERS, description="what the picture shows")


class LegacyMatch(BaseModel):
    """A hit, named by its file."""

    image_name: str = Field(description="the file's name without its folders")
    score: float = Field(description="cosine similarity")

    @classmethod
    def of(cls, hit: Neighbour) -> Self:
        """The hit for a neighbour that the search found."""
        return cls(image_name=original_filename(hit.image), score=1 - hit.distance)


class LegacySearchResponse(BaseModel):
    """The pictures that fit a text best."""

    model_config = with_examples(
        {
            "text": "a green tree",
            "model_name": "demo model",
            "matches": [{"image_name": "green-tree.jpg", "score": 0.6943}],
            "jwt": TOKEN,
        }
    )

    text: str = Field(description="the text that was searched for")
    model_name: str = Field(description="the model that answered")
    matches: list[LegacyMatch] = Field(description="best first, 10 at most")
    jwt: str = Field(description="token to rate this answer with")


class LegacyFeedback(BaseModel):
    """A rating of an answer as a whole."""

    model_config = with_examples({"user_feedback": 5, "jwt": TOKEN}, extra="forbid")

    user_feedback: int = Field(ge=MIN_RATING, le=MAX_RATING, description="1 to 10 (best)")
    jwt: str = Field(max_length=MAX_TOKEN_CHARACTERS, description="token of the answer")
