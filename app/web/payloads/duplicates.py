"""Payloads about duplicates."""

from typing import Self

from pydantic import BaseModel, Field

from app.catalog.duplicates.duplicate_groups import Group, Kind, Page
from app.catalog.images.image_names import original_filename, source_path
from app.database.tables import Image
from app.web.addresses import PictureAddresses
from app.web.pagination import write_cursor
from app.web.payloads import examples
from app.web.payloads.examples import with_examples


class DuplicateImage(BaseModel):
    """One picture of a group."""

    id: int = Field(description="the picture's id")
    path: str | None = Field(
        description="path of the file in its folder or bucket; null for uploads"
    )
    original_filename: str = Field(description="name of the file, as it was submitted")
    url: str = Field(description="address of the original file, signed if a key was sent")
    thumbnail_url: str = Field(description="address of a small WebP, signed likewise")
    width: int = Field(description="in pixels")
    height: int = Field(description="in pixels")
    bytes: int = Field(description="the size of the file")

    @classmethod
    def of(cls, image: Image, addresses: PictureAddresses) -> Self:
        """The details of an image's row."""
        known = {name: value for name, value in vars(image).items() if name in cls.model_fields}
        file, thumbnail = addresses.file(image), addresses.thumbnail(image)
        names = {"path": source_path(image), "original_filename": original_filename(image)}
        return cls(**{**known, **names}, url=file, thumbnail_url=thumbnail)


class DuplicateGroup(BaseModel):
    """Pictures that are the same, or nearly."""

    size: int = Field(description="number of pictures in the group")
    images: list[DuplicateImage] = Field(description="ordered by id; the first 1,000")

    @classmethod
    def of(cls, group: Group, addresses: PictureAddresses) -> Self:
        """The payload of a group."""
        images = [DuplicateImage.of(image, addresses) for image in group.pictures]
        return cls(size=group.size, images=images)


class DuplicateGroupPage(BaseModel):
    """Groups of duplicates, the largest first."""

    model_config = with_examples(examples.DUPLICATES)

    kind: Kind = Field(description="what the pictures of a group have in common")
    threshold: int | float | None = Field(
        description="the one that was used: differing bits, or a cosine distance; null for exact"
    )
    data: list[DuplicateGroup] = Field(description="the largest first")
    total_groups: int = Field(description="number of groups on all pages")
    total_images: int = Field(description="number of pictures in the groups of all pages")
    unhashed: int = Field(
        description="perceptual: pictures without a hash, because they were stored before hashes "
        "existed"
    )
    truncated: bool = Field(
        description="not all pictures were compared (too many, or out of time): repeat the request"
    )
    next_cursor: str | None = Field(description="null on the last page")

    @classmethod
    def of(cls, kind: Kind, page: Page, addresses: PictureAddresses) -> Self:
        """The payload of a page of groups."""
        totals = {name: value for name, value in vars(page).items() if name in cls.model_fields}
        following = page.next_offset
        groups = [DuplicateGroup.of(group, addresses) for group in page.groups]
        return cls(
            **{**totals, "data": groups, "total_images": page.total_pictures},
            kind=kind,
            next_cursor=None if following is None else write_cursor(kind, following),
        )
