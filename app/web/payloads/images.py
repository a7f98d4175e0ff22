"""Payloads about single pictures."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.database.tables import Image
from app.sources.sidecars import MAX_CAPTION_CHARACTERS
from app.web.payloads import examples
from app.web.payloads.examples import shown


class ImageDetails(BaseModel):
    """Everything known of one picture."""

    model_config = shown(examples.IMAGE)

    id: int = Field(description="the picture's id")
    path: str = Field(description="where the file lies")
    url: str = Field(description="where the original is served")
    thumbnail_url: str = Field(description="where a small WebP of it is served")
    content_hash: str = Field(description="SHA-256 of the file, hex")
    bytes: int = Field(description="the size of the file")
    width: int = Field(description="in pixels")
    height: int = Field(description="in pixels")
    format: str = Field(description="JPEG, PNG, …")
    caption: str | None = Field(description="what people say of it, in words")
    metadata: dict[str, Any] = Field(description="what people say of it: any JSON object")
    origin: str | None = Field(
        description="the name it was sent under: a file's, an entry's, a URL"
    )
    taken_at: datetime | None = Field(description="from EXIF; UTC unless the camera says else")
    created_at: datetime = Field(description="when it was taken in")

    @classmethod
    def of(cls, image: Image) -> Self:
        """The answer's form of what the services return."""
        known = {**vars(image), "content_hash": image.content_hash.hex()}
        return cls(**known, url=file_url(image), thumbnail_url=thumbnail_url(image))


class ImageChanges(BaseModel):
    """What is to be said of a picture from now on; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"caption": "the pier", "metadata": {"stars": 5}}]},
    )

    caption: str | None = Field(
        None, max_length=MAX_CAPTION_CHARACTERS, description="null takes it away"
    )
    metadata: dict[str, Any] | None = Field(
        None, description="merged into what is there; a key with null is taken away"
    )


def file_url(image: Image) -> str:
    """Where the original is served."""
    return f"/images/{image.id}/file"


def thumbnail_url(image: Image) -> str:
    """Where its thumbnail is served."""
    return f"/images/{image.id}/thumbnail"
