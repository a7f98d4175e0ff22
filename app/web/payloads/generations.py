"""Payloads about the generations of a collection's vectors."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.database.tables import Regions
from app.encoders.presets import resolve
from app.runtime.reindexing.changes import Changes
from app.runtime.reindexing.reindexing import Activation, ListedGeneration
from app.vectors import Arithmetic
from app.web.payloads.collections import ModelText
from app.web.payloads.examples import with_examples


class Reindexing(BaseModel):
    """What is to be different in the new generation; what is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"storage": "bit"},
                {"model": "ViT-B-16", "pretrained": "datacomp_xl_s13b_b90k"},
            ]
        },
    )

    model: ModelText | None = Field(
        None,
        description=(
            "IMAGE_SEARCH_CLIP_MODEL or one of IMAGE_SEARCH_COLLECTION_MODELS: pictures are "
            "embedded again"
        ),
    )
    pretrained: ModelText = Field("", description="the model's pretrained tag")
    storage: Literal["halfvec", "vector", "bit"] | None = Field(
        None, description="as for a new collection; vectors of the same model are copied"
    )
    precision: Arithmetic | None = Field(
        None,
        description="float (fp32, bf16 or fp16 as IMAGE_SEARCH_PRECISION says, whose vectors can "
        "be compared) or int8 (other vectors, faster); by default that of IMAGE_SEARCH_PRECISION "
        "with a `model`, else as before",
    )
    m: int | None = Field(None, ge=2, le=100, description="edges of a vector in the HNSW graph")
    ef_construction: int | None = Field(
        None, ge=4, le=1000, description="candidates kept while the graph is built"
    )

    regions: Regions | None = Field(
        None,
        description="which parts of pictures have vectors too, in the new generation; they become "
        "the collection's `regions` when it is activated, and a rollback brings the former ones "
        "back",
    )
    dry_run: bool = Field(
        False,
        description="the job only says what it would take, in its `source`, and which originals "
        "are missing, among its items",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.model is None and self.pretrained:
            raise ValueError("pretrained needs a model")
        return self

    def to_domain(self) -> Changes:
        """The changes."""
        model = None if self.model is None else resolve(self.model, self.pretrained)
        names = ("storage", "m", "ef_construction", "precision", "regions")
        return Changes(model, **{name: getattr(self, name) for name in names})


GENERATION: dict[str, Any] = {
    "id": 3,
    "status": "ready",
    "model": "demo model",
    "pretrained": "",
    "fingerprint": "9f" * 32,
    "dimensions": 128,
    "precision": "float",
    "storage": "halfvec",
    "m": 16,
    "ef_construction": 64,
    "regions": "off",
    "vectors": 295,
    "missing": 0,
    "bytes": 319488,
    "recall": 0.99,
    "worst_decile": 0.95,
    "job_id": 7,
    "created_at": "2026-01-05T10:00:00Z",
    "retired_at": None,
}


class GenerationDetails(BaseModel):
    """One generation of a collection's vectors."""

    model_config = with_examples(GENERATION)

    id: int = Field(description="the generation's id, which answers name as `index_id`")
    status: Literal["building", "ready", "active", "retired"] = Field(
        description="searches use the active one; a ready or retired one can be activated"
    )
    model: str = Field(description="the model of its vectors")
    pretrained: str = Field(description="the model's pretrained tag; empty if the name is enough")
    fingerprint: str = Field(description="SHA-256 of the model")
    dimensions: int = Field(description="dimensions of its vectors")
    precision: Arithmetic | None = Field(
        description="what its pictures are computed in; null: a former version did not record it"
    )
    storage: Literal["halfvec", "vector", "bit"] = Field(description="how vectors are stored")
    m: int = Field(description="edges of a vector in the HNSW graph")
    ef_construction: int = Field(description="candidates kept while the graph is built")
    regions: Regions = Field(description="which parts of pictures have vectors too")
    vectors: int = Field(description="number of vectors")
    missing: int = Field(
        description="pictures without a vector that will get one; its job lists the unreadable"
    )
    bytes: int = Field(description="bytes on disk, graph included")
    recall: float | None = Field(
        description="recall@10 as its job measured it, 0 to 1; null: no job made it, or not yet"
    )
    worst_decile: float | None = Field(
        description="the same of the worst tenth of the queries measured"
    )
    job_id: int | None = Field(description="the job that made it; null: none did")
    created_at: datetime = Field(description="when it was begun")
    retired_at: datetime | None = Field(description="when another one took its place")

    @classmethod
    def of(cls, listed: ListedGeneration) -> Self:
        """The details of a generation."""
        generation = listed.generation
        facts = {**vars(generation.index), **vars(generation), **vars(listed.size), **vars(listed)}
        told = {name: value for name, value in facts.items() if name in cls.model_fields}
        measured = generation.measured or {}
        return cls(
            **told,
            status=generation.state,
            recall=measured.get("recall"),
            worst_decile=measured.get("worst_decile"),
        )


class GenerationList(BaseModel):
    """The generations of a collection."""

    model_config = with_examples({"data": [GENERATION]})

    data: list[GenerationDetails] = Field(description="the newest first")


class Activated(BaseModel):
    """The generation that searches use now."""

    model_config = with_examples({"id": 3, "model": "demo model", "missing": 0, "ratings_left": 0})

    id: int = Field(description="the active generation")
    model: str = Field(description="its model")
    missing: int = Field(description="pictures that came just now: they get a vector in seconds")
    ratings_left: int = Field(
        description="ratings that stay with the former generation, since their queries were "
        "pictures"
    )

    @classmethod
    def of(cls, activation: Activation) -> Self:
        """The outcome of an activation."""
        index = activation.index
        left = activation.ratings_left
        return cls(id=index.id, model=index.model, missing=activation.missing, ratings_left=left)
