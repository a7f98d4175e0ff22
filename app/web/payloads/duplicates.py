"""Payloads about groups of duplicates."""

from typing import Self

from pydantic import BaseModel, Field

from app.catalog.duplicates import Group, Kind, Page
from app.database.tables import Image
from app.web.payloads import examples
from app.web.payloads.examples import shown
from app.web.payloads.images import file_url, thumbnail_url


class Alike(BaseModel):
    """One picture of a group."""

    id: int = Field(description="the picture's id")
    path: str = Field(description="where the file lies")
    url: str = Field(description="where the original is served")
    thumbnail_url: str = Field(description="where a small WebP of it is served")
    width: int = Field(description="in pixels")
    height: int = Field(description="in pixels")
    bytes: int = Field(description="the size of the file")

    @classmethod
    def of(cls, image: Image) -> Self:
        """The answer's form of a record."""
        known = {name: value for name, value in vars(image).items() if name in cls.model_fields}
        return cls(**known, url=file_url(image), thumbnail_url=thumbnail_url(image))


class AlikeGroup(BaseModel):
    """Pictures alike."""

    size: int = Field(description="how many there are")
    pictures: list[Alike] = Field(description="by id; the first thousand")

    @classmethod
    def of(cls, group: Group) -> Self:
        """The answer's form of what the services return."""
        return cls(size=group.size, pictures=[Alike.of(image) for image in group.pictures])


class DuplicatesPage(BaseModel):
    """Groups of pictures alike, the largest first."""

    model_config = shown(examples.DUPLICATES)

    kind: Kind = Field(description="in what they are alike")
    threshold: int | float | None = Field(
        description="the one used: bits, or a cosine distance; null for exact"
    )
    groups: list[AlikeGroup] = Field(description="the largest first")
    total_groups: int = Field(description="on all pages")
    total_pictures: int = Field(description="in the groups of all pages")
    unhashed: int = Field(
        description="perceptual: pictures left out, since they were kept before there were hashes"
    )
    truncated: bool = Field(
        description="not all pictures were compared: too many, or out of time; then ask again"
    )
    next_cursor: int | None = Field(description="null on the last page")

    @classmethod
    def of(cls, kind: Kind, page: Page) -> Self:
        """The answer's form of what the services return."""
        totals = {name: value for name, value in vars(page).items() if name in cls.model_fields}
        groups = [AlikeGroup.of(group) for group in page.groups]
        return cls(**{**totals, "groups": groups}, kind=kind, next_cursor=page.next_offset)
