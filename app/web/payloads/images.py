"""Payloads about one picture."""

from datetime import UTC, datetime, timezone
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.catalog.images.image_changes import Change
from app.catalog.images.image_names import original_filename, source_path
from app.database.tables import Image
from app.ingest.uploads import Outcome, Status
from app.pictures.metadata.description import MAX_CAPTION_CHARACTERS
from app.sources.sidecars.annotations import check_caption
from app.web.addresses import PictureAddresses
from app.web.payloads import examples
from app.web.payloads.examples import with_examples
from app.web.payloads.field_types import ExternalId


class ImageDetails(BaseModel):
    """Everything known of one picture."""

    model_config = with_examples(examples.IMAGE)

    id: int = Field(description="the picture's id")
    external_id: str | None = Field(description="the id that your own system has for it")
    path: str | None = Field(
        description="path of the file in its folder or bucket; null for uploads, whose files the "
        "service keeps itself"
    )
    original_filename: str = Field(description="name of the file, as it was submitted")
    url: str = Field(description="address of the original file, signed if a key was sent")
    thumbnail_url: str = Field(description="address of a small WebP, signed likewise")
    content_hash: str = Field(description="SHA-256 of the file, hex")
    bytes: int = Field(description="the size of the file")
    width: int = Field(description="in pixels")
    height: int = Field(description="in pixels")
    format: str = Field(description="JPEG, PNG, …")
    caption: str | None = Field(description="what it shows, in words")
    metadata: dict[str, Any] = Field(description="a JSON object")
    origin: str | None = Field(
        description="where it came from: a file name, the name of an archive entry, or a URL"
    )
    taken_at: datetime | None = Field(
        description="when the photo was taken, by the clock of the place; in "
        "IMAGE_SEARCH_DEFAULT_TIMEZONE unless the offset is known"
    )
    created_at: datetime = Field(description="when it was added")

    @classmethod
    def of(cls, image: Image, addresses: PictureAddresses) -> Self:
        """The details of an image's row."""
        known = {
            **vars(image),
            "content_hash": image.content_hash.hex(),
            "taken_at": taken_at(image),
            "path": source_path(image),
            "original_filename": original_filename(image),
        }
        file, thumbnail = addresses.file(image), addresses.thumbnail(image)
        return cls(**known, url=file, thumbnail_url=thumbnail)


class FlatImageDetails(ImageDetails):
    """Everything known of one picture; an upload's path is given too."""

    model_config = with_examples(examples.IMAGE)

    path: str = Field(description="path of the file, relative to the project's folder")

    @classmethod
    def of(cls, image: Image, addresses: PictureAddresses) -> Self:
        """The details of an image's row."""
        details = ImageDetails.of(image, addresses)
        return cls(**{**vars(details), "path": image.path})


class UploadedImage(BaseModel):
    """What became of one uploaded file."""

    original_filename: str = Field(description="the name it was uploaded under")
    status: Status = Field(
        description="stored: kept and searchable; duplicate: its content was known; refused: not "
        "kept"
    )
    reason: str | None = Field(description="why it was refused")
    image: ImageDetails | None = Field(description="the picture; null if refused")

    @classmethod
    def of(cls, outcome: Outcome, addresses: PictureAddresses) -> Self:
        """The entry for what became of a file."""
        return cls(
            original_filename=outcome.name,
            status=outcome.status,
            reason=str(outcome.error) if outcome.error else None,
            image=ImageDetails.of(outcome.image, addresses) if outcome.image else None,
        )


class UploadResponse(BaseModel):
    """What became of each file of an upload."""

    model_config = with_examples({"data": [examples.UPLOADED_IMAGE]})

    data: list[UploadedImage] = Field(description="in the order in which they were sent")


class ImageUpdate(BaseModel):
    """A new caption, metadata, external id or several; what is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"caption": "the pier", "metadata": {"stars": 5}}]},
    )

    caption: str | None = Field(
        None, max_length=MAX_CAPTION_CHARACTERS, description="null removes it"
    )
    metadata: dict[str, Any] | None = Field(
        None, description="merged into the present metadata; a key whose value is null is removed"
    )
    external_id: ExternalId | None = Field(
        None, description="unique in the collection; null removes it", examples=["sku-4711"]
    )

    def to_domain(self) -> tuple[Change, str | None]:
        """The change, and the external id: "" to remove it. Raises AnnotationInvalid."""
        named = {name: getattr(self, name) or "" for name in self.model_fields_set - {"metadata"}}
        check_caption(named.get("caption", ""))
        return Change(named.get("caption"), self.metadata or {}), named.get("external_id")


def taken_at(image: Image) -> datetime | None:
    """When it was taken, with the offset from UTC of the place."""
    if image.taken_at is None or image.taken_local is None:
        return image.taken_at
    in_utc = image.taken_at.astimezone(UTC)
    return in_utc.astimezone(timezone(image.taken_local - in_utc.replace(tzinfo=None)))
