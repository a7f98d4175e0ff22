"""Payloads about several pictures of a collection at once."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.catalog.images.image_changes import Change
from app.pictures.metadata.description import MAX_CAPTION_CHARACTERS
from app.web.payloads.examples import with_examples
from app.web.payloads.field_types import MAX_ID, STORABLE, Name

MAX_SELECTED = 500  # pictures in one request
MAX_TAGS = 100  # in one request
MAX_TAG_CHARACTERS = 200

Ids = Annotated[
    list[Annotated[int, Field(ge=1, le=MAX_ID)]],
    Field(min_length=1, max_length=MAX_SELECTED, description="ids of pictures of the collection"),
]
Tags = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=MAX_TAG_CHARACTERS, pattern=STORABLE)]],
    Field(max_length=MAX_TAGS),
]


class Selection(BaseModel):
    """Some pictures of a collection."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"ids": [112, 113]}]})

    ids: Ids


class SelectionUpdate(Selection):
    """What to change of each of them; what is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"ids": [112, 113], "add_tags": ["beach"]}]},
    )

    caption: str | None = Field(
        None,
        max_length=MAX_CAPTION_CHARACTERS,
        pattern=STORABLE,
        description="null removes it",
    )
    metadata: dict[str, Any] = Field(
        default_factory=dict,
        description="merged into what each has; a key whose value is null is removed",
    )
    add_tags: Tags = Field(default_factory=list, description="added to the field `tags`")
    remove_tags: Tags = Field(default_factory=list, description="removed from it")

    def change(self) -> Change:
        """As the catalog takes it."""
        caption = self.caption
        if caption is None and "caption" in self.model_fields_set:
            caption = ""
        return Change(caption, self.metadata, self.add_tags, self.remove_tags)


class SelectionMove(Selection):
    """Where to move them."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"ids": [112], "collection": "holidays"}]}
    )

    collection: Name = Field(description="the name of another collection of the namespace")


class ImageUpdateResult(BaseModel):
    """What became of one picture."""

    id: int = Field(description="the picture's id")
    status: Literal["changed", "not_found", "refused"] = Field(
        description="refused: its metadata would become too large; see `reason`"
    )
    reason: str | None = Field(description="why it was refused")


class SelectionUpdateResult(BaseModel):
    """One result for each picture, in the order of the request."""

    model_config = with_examples(
        {"changed": 1, "results": [{"id": 112, "status": "changed", "reason": None}]}
    )

    changed: int = Field(description="number of changed pictures")
    results: list[ImageUpdateResult] = Field(description="one for each id")


class ImageMoveResult(BaseModel):
    """What became of one picture."""

    id: int = Field(description="the picture's id, which stays the same")
    status: Literal["moved", "not_found", "duplicate", "elsewhere"] = Field(
        description="duplicate: the other collection has the same file or external id already; "
        "elsewhere: the file was uploaded to another machine"
    )


class SelectionMoveResult(BaseModel):
    """One result for each picture, in the order of the request."""

    model_config = with_examples({"moved": 1, "results": [{"id": 112, "status": "moved"}]})

    moved: int = Field(description="number of moved pictures")
    results: list[ImageMoveResult] = Field(description="one for each id")


class ImageRestorationResult(BaseModel):
    """Which pictures are there again."""

    model_config = with_examples({"restored": 2, "ids": [112, 113]})

    restored: int = Field(description="number of restored pictures")
    ids: list[int] = Field(description="their ids, ascending")
