"""Payloads of the flat endpoints; programs rely on their shapes."""

from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from app.index.hnsw_search import Neighbour
from app.ingest.uploads import Outcome
from app.web.payloads import examples
from app.web.payloads.examples import shown
from app.web.payloads.images import file_url, thumbnail_url


class Hit(BaseModel):
    """One picture of an answer; other programs rely on `path` and `distance` coming first."""

    model_config = shown(examples.HIT)

    path: str = Field(description="where the file lies, relative to the project's folder")
    distance: float = Field(description="cosine distance to the query, 0 (same) to 2")
    id: int = Field(description="the picture's id")
    score: float = Field(description="cosine similarity: 1 − distance")
    url: str = Field(description="where the original is served")
    thumbnail_url: str = Field(description="where a small WebP of it is served")
    width: int = Field(description="in pixels")
    height: int = Field(description="in pixels")
    metadata: dict[str, Any] = Field(description="what people say of it: any JSON object")

    @classmethod
    def of(cls, neighbour: Neighbour) -> Self:
        """The answer's form of what the services return."""
        image = neighbour.image
        return cls(
            path=image.path,
            distance=neighbour.distance,
            id=image.id,
            score=1 - neighbour.distance,
            url=file_url(image),
            thumbnail_url=thumbnail_url(image),
            width=image.width,
            height=image.height,
            metadata=image.metadata,
        )


class Uploaded(BaseModel):
    """What became of one file of an upload."""

    model_config = shown(examples.UPLOADED, examples.REFUSED)

    filename: str = Field(description="the name it was sent under")
    path: str | None = Field(None, description="where it is kept; null if refused")
    id: int | None = Field(None, description="of the picture; null if refused")
    status: Literal["stored", "duplicate", "refused"] = Field(
        description="kept and searchable; known already, by its content; not taken"
    )
    reason: str | None = Field(None, description="why it was refused")

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """The answer's form of what the services return."""
        return cls(
            filename=outcome.name,
            path=outcome.image.path if outcome.image else None,
            id=outcome.image.id if outcome.image else None,
            status=outcome.status,
            reason=str(outcome.error) if outcome.error else None,
        )
