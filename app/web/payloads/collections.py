"""Payloads about collections."""

from datetime import datetime
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.catalog.collections import DEFAULT_LANGUAGE
from app.catalog.filters.field_names import MAX_FIELDS
from app.database.tables import REGION_ANNOTATORS, Pages, Regions
from app.encoders.presets import understands_english_alone
from app.index import tuning as chosen
from app.index.recall_results import Kind
from app.index.statistics import Counts
from app.index.vector_indexes import HNSW_EF_CONSTRUCTION, HNSW_M
from app.pictures.frames import MAX_PAGES
from app.runtime.annotating.annotator import ChosenAnnotator
from app.runtime.known_collections import KnownCollection
from app.vectors import Arithmetic
from app.web.payloads import examples
from app.web.payloads.examples import with_examples
from app.web.payloads.field_types import STORABLE, Name

MAX_MODEL_CHARACTERS = 500
PAGES = (
    "which pages of documents and frames of animations and videos are indexed: the first, or all, "
    f"up to {MAX_PAGES}, of a video as many as the settings say"
)
REGIONS = (
    "which parts of pictures are embedded besides the whole, so that small things are found; grid: "
    "overlapping crops; detector: what the server's detector finds; off: none, and those that "
    "there were go"
)
SENTENCE_MODEL = (
    "one of IMAGE_SEARCH_SENTENCE_MODELS, by which the meaning of generated captions is compared "
    "where `hybrid.captions` gives that a weight; null: by the model of the searches"
)

FieldType = Literal["text", "number", "boolean", "date", "tags"]
Fields = Annotated[
    dict[str, FieldType],
    Field(
        max_length=MAX_FIELDS,
        description="metadata keys that filters, orders and facets may use, with their types; each "
        "gets an index",
        examples=[{"place": "text", "price": "number", "tags": "tags"}],
    ),
]
FieldChanges = Annotated[
    dict[str, FieldType | None],
    Field(
        max_length=2 * MAX_FIELDS,  # all can go, and as many others come
        examples=[{"place": "text", "stars": None}],
    ),
]
ModelText = Annotated[str, Field(max_length=MAX_MODEL_CHARACTERS, pattern=STORABLE)]
Language = Annotated[
    str,
    Field(
        max_length=63,
        pattern=STORABLE,
        description="a text search configuration of Postgres: english, german, simple, …",
    ),
]
Annotators = Annotated[
    list[ChosenAnnotator],
    Field(
        max_length=len(get_args(ChosenAnnotator)),
        description="what is found out about each picture besides its vector; text: words in it, "
        "for searches by words. The complete set: what others found goes",
        examples=[["text"]],
    ),
]


class CollectionCreate(BaseModel):
    """A new collection."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "holidays", "fields": {"place": "text", "stars": "number"}}]
        },
    )

    namespace: Name | None = Field(
        None, description="its namespace; if omitted, the key's own, or `default` without keys"
    )
    name: Name = Field(description="unique in its namespace")
    model: ModelText | None = Field(
        None,
        description=(
            "IMAGE_SEARCH_CLIP_MODEL or one of IMAGE_SEARCH_COLLECTION_MODELS; null: the server's "
            "model"
        ),
    )
    pretrained: ModelText = Field("", description="the model's pretrained tag")
    storage: Literal["halfvec", "vector", "bit"] = Field(
        "halfvec",
        description="halfvec: 2 bytes a dimension; vector: 4; bit: 2, with a graph of 1 bit a "
        "dimension whose candidates are re-ranked",
    )
    m: int = Field(HNSW_M, ge=2, le=100, description="edges of a vector in the HNSW graph")
    ef_construction: int = Field(
        HNSW_EF_CONSTRUCTION,
        ge=4,
        le=1000,
        description="candidates kept while the graph is built; at least 2 × m",
    )
    language: Language = DEFAULT_LANGUAGE
    fields: Fields = Field(default_factory=dict)
    pages: Pages = Field("first", description=PAGES)
    annotators: Annotators = Field(default_factory=list)
    regions: Regions = Field("off", description=REGIONS)
    sentence_model: ModelText | None = Field(None, description=SENTENCE_MODEL)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.ef_construction < 2 * self.m:
            raise ValueError("ef_construction must be at least 2 m")
        if self.model is None and self.pretrained:
            raise ValueError("pretrained needs a model")
        return self


class CollectionUpdate(BaseModel):
    """What to change; what is left out stays as it is, each of the fields too."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"fields": {"place": "text", "stars": None}}]},
    )

    name: Name | None = Field(None, description="a new name; the default collection keeps its own")
    language: Language | None = Field(
        None, description="the language of its texts, for searches by words"
    )
    fields: FieldChanges | None = Field(
        None,
        description="metadata keys to declare, or to declare with another type; null: no longer "
        "declared, its values stay. Fields that are not named stay as they are",
    )
    pages: Pages | None = Field(
        None,
        description=f"{PAGES}. Pictures that are there already: all when they are read again "
        "(`reread`) or by `make doctor FIX=1`; first at once",
    )
    annotators: Annotators | None = Field(None, description="which are on, as at creation")
    regions: Regions | None = Field(None, description=REGIONS)
    sentence_model: ModelText | None = Field(
        None, description=f"{SENTENCE_MODEL}, if it is sent as null"
    )

    @property
    def changes_sentence_model(self) -> bool:
        """Whether it is sent: null is a choice too."""
        return "sentence_model" in self.model_fields_set


class Tuning(BaseModel):
    """Why the graph's searches keep as many candidates as they do."""

    by: Literal["service", "admin"] = Field(
        description="who chose: the service itself, for IMAGE_SEARCH_TARGET_RECALL, or an admin by "
        "`POST …/tune`; the service chooses again for the same recall once the vectors have doubled"
    )
    k: int = Field(description="number of hits looked at for each query")
    wanted: float = Field(description="the recall to reach, of texts and of pictures")
    reached: bool = Field(description="false: no `ef_search` reaches it; the largest is used")
    recall: float = Field(description="on held-out queries, of the worse kind")
    worse: Kind = Field(description="the kind of queries of which less is found")
    p50_ms: float = Field(description="time of a search in milliseconds, median")
    vectors: int = Field(description="number of vectors in the index then")


class CollectionDetails(BaseModel):
    """A collection and its index."""

    model_config = with_examples(examples.COLLECTION)

    namespace: str = Field(description="its namespace")
    name: str = Field(description="unique in its namespace")
    model: str = Field(description="the model that embeds its pictures")
    pretrained: str = Field(description="the model's pretrained tag; empty if the name is enough")
    english_only: bool = Field(
        description="whether the model was trained on English texts alone; false where its name "
        "does not tell"
    )
    fingerprint: str = Field(description="SHA-256 of the model")
    dimensions: int = Field(description="dimensions of its vectors")
    precision: Arithmetic | None = Field(
        description="what its pictures are computed in, float (fp32, bf16 or fp16) or int8; null: "
        "a former version did not record it"
    )
    storage: Literal["halfvec", "vector", "bit"] = Field(description="how vectors are stored")
    m: int = Field(description="edges of a vector in the HNSW graph")
    ef_construction: int = Field(description="candidates kept while the graph is built")
    ef_search: int | None = Field(
        description="candidates that a search by the graph keeps, as tuned; null: not tuned"
    )
    tuning: Tuning | None = Field(
        description="how `ef_search` was chosen; null: not tuned, or by a former version"
    )
    language: str = Field(description="the language of its texts")
    fields: dict[str, FieldType] = Field(description="declared metadata keys and their types")
    pages: Pages = Field(description=PAGES)
    label_sets: list[str] = Field(description="names of its label sets, in order")
    annotators: list[ChosenAnnotator] = Field(description="annotators that are on, in order")
    regions: Regions = Field(description=REGIONS)
    sentence_model: str | None = Field(description=SENTENCE_MODEL)
    image_count: int = Field(description="number of pictures")
    coverage: float = Field(description="share of the pictures that have a vector, 0 to 1")
    created_at: datetime = Field(description="when it was created")

    @classmethod
    def of(cls, known: KnownCollection, counts: Counts, tuning: chosen.Tuning | None) -> Self:
        """The details of a collection and its index."""
        facts = {**vars(known.index), **vars(known.collection)}
        told = {name: value for name, value in facts.items() if name in cls.model_fields}
        told["label_sets"] = sorted(known.collection.label_sets)
        named = known.collection.annotators
        told["annotators"] = [name for name in named if name not in REGION_ANNOTATORS]
        told["regions"] = known.collection.regions
        return cls(
            **told,
            english_only=understands_english_alone(known.index.model),
            tuning=None if tuning is None else Tuning.model_validate(tuning, from_attributes=True),
            image_count=counts.pictures,
            coverage=counts.coverage,
        )


class CollectionPage(BaseModel):
    """A page of collections."""

    model_config = with_examples({"data": [examples.COLLECTION], "next_cursor": None})

    data: list[CollectionDetails] = Field(description="ordered by name")
    next_cursor: str | None = Field(description="null on the last page")
