"""Payloads about evaluations by golden queries."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.database.tables import Collection
from app.encoders.model_pool import ModelName
from app.feedback.golden.paired_comparison import Verdict
from app.runtime.evaluation.evaluation_rows import StoredEvaluation
from app.runtime.evaluation.evaluations import DEFAULT_SAMPLE, MAX_SAMPLED, MAX_SYSTEMS, Asked
from app.web.addresses import Addresses
from app.web.payloads.collections import ModelText
from app.web.payloads.examples import with_examples

MAX_GENERATION_ID = 2**31 - 1  # Postgres's integer
INTERVAL: dict[str, float] = {"mean": 0.62, "low": 0.55, "high": 0.69}
SYSTEM: dict[str, Any] = {
    "generation": 3,
    "storage": "halfvec",
    "model": "demo model",
    "pretrained": "",
    "fingerprint": "9f" * 32,
    "dimensions": 128,
    "ndcg_at_10": INTERVAL,
    "recall_at_1": INTERVAL,
    "recall_at_5": INTERVAL,
    "recall_at_10": INTERVAL,
    "mrr": INTERVAL,
    "judged": INTERVAL,
    "vectors": 295,
    "bytes": 319488,
    "encode_ms": 4.1,
    "search_ms": 1.3,
    "search_p95_ms": 2.0,
    "picture_ms": 12.5,
}
OUTCOME: dict[str, Any] = {
    "golden_query_id": 1,
    "url": "/api/v1/collections/default/golden-queries/1?namespace=default",
    "search_url": "/?q=a+green+tree&collection=default",
    "text": "a green tree",
    "image_id": None,
    "ndcg": 1.0,
    "baseline_ndcg": 0.63,
    "hits": [112],
    "baseline_hits": [9, 112],
}
EVALUATION: dict[str, Any] = {
    "job_id": 7,
    "created_at": "2026-01-05T10:00:00Z",
    "queries": 200,
    "left_out": 0,
    "sample": None,
    "systems": [{**SYSTEM, "generation": 1}, SYSTEM],
    "comparisons": [
        {
            "system": 1,
            "won": 61,
            "lost": 12,
            "tied": 127,
            "gain": {"mean": 0.05, "low": 0.02, "high": 0.08},
            "p": 0.0014,
            "verdict": "better",
            "sentence": "Better on 61 of 200 queries, worse on 12, p = 0.001.",
            "won_queries": [OUTCOME],
            "lost_queries": [],
            "tied_queries": [],
        }
    ],
}

GenerationIds = list[Annotated[int, Field(ge=1, le=MAX_GENERATION_ID)]]


class ModelChoice(BaseModel):
    """A model, IMAGE_SEARCH_CLIP_MODEL or one of IMAGE_SEARCH_COLLECTION_MODELS."""

    model_config = ConfigDict(extra="forbid")

    model: ModelText = Field(description="its name")
    pretrained: ModelText = Field("", description="its pretrained tag")


class EvaluationRequest(BaseModel):
    """What is compared with the active generation."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"generations": [3]},
                {"models": [{"model": "ViT-B-16", "pretrained": "datacomp_xl_s13b_b90k"}]},
            ]
        },
    )

    generations: GenerationIds = Field(
        [],
        max_length=MAX_SYSTEMS + 1,
        description="ids of generations; the active one is the baseline, named or not",
    )
    models: list[ModelChoice] = Field(
        [],
        max_length=MAX_SYSTEMS,
        description="models; where one has no generation, all are compared on a sample of pictures",
    )
    sample: int = Field(
        DEFAULT_SAMPLE,
        ge=0,
        le=MAX_SAMPLED,
        description="random pictures in it, besides those that golden queries name",
    )

    def to_domain(self) -> Asked:
        """What is asked for."""
        models = [ModelName(one.model, one.pretrained) for one in self.models]
        return Asked(self.generations, models, self.sample)


class IntervalDetails(BaseModel):
    """A mean over the queries, with its 95 % bootstrap interval."""

    mean: float = Field(description="the mean")
    low: float = Field(description="lower bound")
    high: float = Field(description="upper bound")


class SampleDetails(BaseModel):
    """The pictures that all systems ranked exactly, since a model has no generation."""

    pictures: int = Field(description="number of pictures")
    named: int = Field(description="how many of them golden queries name")
    random: int = Field(description="how many are random others")
    unreadable: int = Field(description="pictures left out, since an original cannot be read")


class SystemDetails(BaseModel):
    """One system: a generation, or a model without one."""

    generation: int | None = Field(description="the generation's id; null: a model without one")
    storage: Literal["halfvec", "vector", "bit"] | None = Field(description="how it keeps vectors")
    model: str = Field(description="the model's name")
    pretrained: str = Field(description="its pretrained tag")
    fingerprint: str = Field(description="SHA-256 of the model")
    dimensions: int = Field(description="dimensions of its vectors")
    ndcg_at_10: IntervalDetails = Field(description="nDCG of the first ten hits, 0 to 1")
    recall_at_1: IntervalDetails = Field(description="share of queries whose first hit is right")
    recall_at_5: IntervalDetails = Field(description="with a right one among the first five")
    recall_at_10: IntervalDetails = Field(description="with a right one among the first ten")
    mrr: IntervalDetails = Field(description="mean of 1 / rank of the first right hit of ten")
    judged: IntervalDetails = Field(
        description="share of the hits that anybody has judged; the others count as wrong"
    )
    vectors: int = Field(description="number of its vectors")
    bytes: int = Field(
        description="their bytes: of a generation on disk, graph included; of a model without one, "
        "those of the sample as halfvec"
    )
    encode_ms: float | None = Field(description="milliseconds to encode a text, the median")
    search_ms: float | None = Field(
        description="milliseconds of a search in the index, the median; null: none was made"
    )
    search_p95_ms: float | None = Field(description="the same at the 95th percentile")
    picture_ms: float | None = Field(
        description="milliseconds to read and embed a picture; null: no original could be read"
    )


class QueryOutcome(BaseModel):
    """One query's answers by a system and by the baseline."""

    golden_query_id: int = Field(description="the golden query's id")
    url: str = Field(description="its address")
    search_url: str = Field(description="the page with what searches answer now")
    text: str | None = Field(description="its words")
    image_id: int | None = Field(description="or its picture")
    ndcg: float = Field(description="nDCG@10 of the system")
    baseline_ndcg: float = Field(description="nDCG@10 of the baseline")
    hits: list[int] = Field(description="the system's first ten pictures, best first")
    baseline_hits: list[int] = Field(description="those of the baseline")


class ComparisonDetails(BaseModel):
    """A system against the baseline, query by query, by nDCG@10."""

    system: int = Field(description="its place in `systems`, from 0")
    won: int = Field(description="queries it answers better")
    lost: int = Field(description="queries it answers worse")
    tied: int = Field(description="queries both answer equally well")
    gain: IntervalDetails = Field(description="mean gain in nDCG@10")
    p: float = Field(description="two-sided p of the paired randomisation test on the mean gain")
    verdict: Verdict = Field(description="better or worse where p is below 0.05")
    sentence: str = Field(description="the same in words")
    won_queries: list[QueryOutcome] = Field(description="at most 50, largest gains first")
    lost_queries: list[QueryOutcome] = Field(description="at most 50, largest losses first")
    tied_queries: list[QueryOutcome] = Field(description="at most 50")


class EvaluationDetails(BaseModel):
    """What an evaluation found."""

    model_config = with_examples(EVALUATION)

    job_id: int = Field(description="the job that made it; kept as long as the job")
    created_at: datetime = Field(description="when it was made")
    queries: int = Field(description="golden queries that were searched for")
    left_out: int = Field(description="golden queries for which a system has no vector")
    sample: SampleDetails | None = Field(
        description="what was ranked; null: the generations' own indexes were searched"
    )
    systems: list[SystemDetails] = Field(description="the active generation, as baseline, first")
    comparisons: list[ComparisonDetails] = Field(description="one for each other system")

    @classmethod
    def of(cls, stored: StoredEvaluation, collection: Collection, addresses: Addresses) -> Self:
        """The payload of a stored result."""
        result = {**stored.result, "job_id": stored.job_id, "created_at": stored.created_at}
        namespace, name = collection.namespace, collection.name
        result["comparisons"] = [
            {
                key: [
                    {
                        **one,
                        "url": addresses.golden_query(namespace, name, one["golden_query_id"]),
                        "search_url": addresses.search(name, one["text"], one["image_id"]),
                    }
                    for one in value
                ]
                if key.endswith("_queries")
                else value
                for key, value in comparison.items()
            }
            for comparison in result["comparisons"]
        ]
        return cls.model_validate(result)
