"""The bodies about collections."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.catalog.collections import DEFAULT_LANGUAGE
from app.catalog.fields import MAX_FIELDS
from app.index.statistics import Counts
from app.index.vector_indexes import HNSW_EF_CONSTRUCTION, HNSW_M
from app.runtime.collection_registry import KnownCollection
from app.search.cursors import Cursors
from app.search.search_response import SearchResponse
from app.web.payloads import examples
from app.web.payloads.examples import shown
from app.web.payloads.field_types import MAX_ID, STORABLE, Name
from app.web.payloads.images import ImageDetails
from app.web.payloads.search import Filter

MAX_MODEL_CHARACTERS = 500
MAX_REMOVED = 10_000  # pictures in one request

FieldType = Literal["text", "number", "boolean", "date", "tags"]
Fields = Annotated[
    dict[str, FieldType],
    Field(
        max_length=MAX_FIELDS,
        description="metadata keys that filters, orders and facets name, and their types; "
        "each gets an index",
        examples=[{"place": "text", "price": "number", "tags": "tags"}],
    ),
]
ModelText = Annotated[str, Field(max_length=MAX_MODEL_CHARACTERS, pattern=STORABLE)]
Language = Annotated[
    str,
    Field(
        max_length=63,
        pattern=STORABLE,
        description="a text search configuration of Postgres's: english, german, simple, …",
    ),
]


class CollectionToBe(BaseModel):
    """A collection to be made."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "holidays", "fields": {"place": "text", "stars": "number"}}]
        },
    )

    namespace: Name | None = Field(
        None, description="whose it is; unless given, the key's own, without keys default"
    )
    name: Name = Field(description="unique in its namespace")
    model: ModelText | None = Field(
        None, description="CLIP_MODEL or one of COLLECTION_MODELS; null: the server's own"
    )
    pretrained: ModelText = Field("", description="the model's pretrained tag")
    storage: Literal["halfvec", "vector", "bit"] = Field(
        "halfvec",
        description="two bytes a dimension; four; or two with a graph of one bit, re-ranked",
    )
    m: int = Field(HNSW_M, ge=2, le=100, description="links of a vector in the HNSW graph")
    ef_construction: int = Field(
        HNSW_EF_CONSTRUCTION,
        ge=4,
        le=1000,
        description="candidates while the graph is built; at least 2 m",
    )
    language: Language = DEFAULT_LANGUAGE
    fields: Fields = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.ef_construction < 2 * self.m:
            raise ValueError("ef_construction must be at least 2 m")
        if self.model is None and self.pretrained:
            raise ValueError("pretrained needs a model")
        return self


class CollectionChanges(BaseModel):
    """What is to be changed; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"fields": {"place": "text"}}]}
    )

    language: Language | None = Field(None, description="of its words, for searches by words")
    fields: Fields | None = Field(None, description="the whole set: what it lacks is undeclared")


class CollectionDetails(BaseModel):
    """A collection and its index."""

    model_config = shown(examples.COLLECTION)

    namespace: str = Field(description="whose it is")
    name: str = Field(description="unique in its namespace")
    model: str = Field(description="that its pictures are embedded with")
    pretrained: str = Field(description="the model's pretrained tag; empty where its name says all")
    fingerprint: str = Field(description="SHA-256 of the model")
    dimensions: int = Field(description="of a vector")
    storage: Literal["halfvec", "vector", "bit"] = Field(description="how vectors are kept")
    m: int = Field(description="links of a vector in the HNSW graph")
    ef_construction: int = Field(description="candidates while the graph is built")
    ef_search: int | None = Field(description="candidates of a search, as tuned; null: untuned")
    language: str = Field(description="of its words")
    fields: dict[str, FieldType] = Field(description="declared metadata keys and their types")
    pictures: int = Field(description="how many it has")
    coverage: float = Field(description="the share of them that has a vector, 0 to 1")
    created_at: datetime = Field(description="when it was made")

    @classmethod
    def of(cls, known: KnownCollection, counts: Counts) -> Self:
        """The answer's form of what the services return."""
        facts = {**vars(known.index), **vars(known.collection)}
        told = {name: value for name, value in facts.items() if name in cls.model_fields}
        return cls(**told, pictures=counts.pictures, coverage=counts.coverage)


class CollectionPage(BaseModel):
    """Collections, by name."""

    model_config = shown({"collections": [examples.COLLECTION], "next_cursor": None})

    collections: list[CollectionDetails] = Field(description="by name")
    next_cursor: str | None = Field(description="null on the last page")


class ImagePage(BaseModel):
    """Pictures in an order."""

    model_config = shown({"images": [examples.IMAGE], "total": 1, "next_cursor": None})

    images: list[ImageDetails] = Field(description="in the order that was asked for")
    total: int = Field(description="how many pass the filter")
    next_cursor: str | None = Field(description="null on the last page")

    @classmethod
    def of(cls, answer: SearchResponse, cursors: Cursors) -> Self:
        """The answer's form of what the services return."""
        return cls(
            images=[ImageDetails.of(hit.image) for hit in answer.hits],
            total=answer.total or 0,
            next_cursor=cursors.write(answer.following) if answer.following else None,
        )


class Removal(BaseModel):
    """Which pictures are to be forgotten: by ids or by a filter."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"ids": [1, 2]}, {"filter": {"format": "GIF"}}]},
    )

    ids: list[Annotated[int, Field(ge=1, le=MAX_ID)]] | None = Field(
        None, max_length=MAX_REMOVED, description="of pictures; unknown ones are passed over"
    )
    filter: Filter | None = Field(None, description="not empty: that would be all of them")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.ids is None) == (self.filter is None) or self.filter == {}:
            raise ValueError("send ids or a filter that is not empty, one of them")
        return self


class Removed(BaseModel):
    """What was forgotten."""

    model_config = shown({"removed": 2, "ids": [1, 2], "more": False})

    removed: int = Field(description="how many")
    ids: list[int] = Field(description="which, ascending")
    more: bool = Field(
        description=f"whether the filter holds for others yet, beyond {MAX_REMOVED:,} in one "
        "request: repeat it"
    )
