"""Payloads about the pictures of a collection: listing and deleting them."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.catalog.gallery import RESTORABLE
from app.search.cursors import Cursors
from app.search.search_response import SearchResponse
from app.web.addresses import PictureAddresses
from app.web.payloads import examples
from app.web.payloads.examples import with_examples
from app.web.payloads.field_types import MAX_ID
from app.web.payloads.images import ImageDetails
from app.web.payloads.search.request import Filter

MAX_REMOVED = 10_000  # pictures in one request


class ImagePage(BaseModel):
    """A page of pictures."""

    model_config = with_examples({"data": [examples.IMAGE], "total": 1, "next_cursor": None})

    data: list[ImageDetails] = Field(description="in the requested order")
    total: int = Field(description="number of pictures that pass the filter")
    next_cursor: str | None = Field(description="null on the last page")

    @classmethod
    def of(cls, answer: SearchResponse, cursors: Cursors, addresses: PictureAddresses) -> Self:
        """A page of a listing."""
        return cls(
            data=[ImageDetails.of(hit.image, addresses) for hit in answer.hits],
            total=answer.total or 0,
            next_cursor=cursors.write(answer.following) if answer.following else None,
        )


class ImageDeletion(BaseModel):
    """Which pictures to delete: by ids or by a filter."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"ids": [1, 2]}, {"filter": {"format": "GIF"}}]},
    )

    ids: list[Annotated[int, Field(ge=1, le=MAX_ID)]] | None = Field(
        None, max_length=MAX_REMOVED, description="ids of pictures; unknown ones are ignored"
    )
    filter: Filter | None = Field(
        None, description="must not be empty: that would be every picture"
    )
    restorable: bool = Field(
        False,
        description="only with ids: hide them for "
        f"{RESTORABLE.seconds // 60} minutes, in which `…/images/restore` brings them back, and "
        "delete them after that",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.restorable and self.ids is None:
            raise ValueError("restorable needs ids")
        if (self.ids is None) == (self.filter is None) or self.filter == {}:
            raise ValueError("send either ids or a filter that is not empty")
        return self


class ImageDeletionResult(BaseModel):
    """Which pictures were deleted."""

    model_config = with_examples({"deleted": 2, "ids": [1, 2], "more": False})

    deleted: int = Field(description="number of deleted pictures")
    ids: list[int] = Field(description="their ids, ascending")
    more: bool = Field(
        description=f"whether more pictures pass the filter than the {MAX_REMOVED:,} that one "
        "request deletes: repeat it"
    )
