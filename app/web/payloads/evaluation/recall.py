"""Payloads about recall, and tuning by it."""

from pydantic import BaseModel, ConfigDict, Field

from app.index.recall import (
    DEFAULT_K,
    DEFAULT_SAMPLE,
    MAX_K,
    MAX_SAMPLE,
    MAX_TARGET_RECALL,
    MIN_SAMPLE,
    MIN_TARGET_RECALL,
    WALK_SECONDS,
)
from app.index.recall_results import Kind
from app.index.scan_plans import Method


class RecallMeasurement(BaseModel):
    """The share of the true nearest neighbours that a collection's searches find."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "k": 10,
                    "recall": 0.991,
                    "text_recall": 0.986,
                    "picture_recall": 0.996,
                    "worst_decile": 0.92,
                    "unreachable": 0,
                    "queries": 200,
                    "texts": 100,
                    "pictures": 100,
                    "method": "hnsw",
                    "ef_search": 200,
                    "p50_ms": 3.1,
                    "p95_ms": 5.0,
                    "vectors": 50000,
                    "graph": True,
                }
            ]
        }
    )

    k: int = Field(description="number of hits looked at for each query")
    recall: float = Field(description="share of the true k nearest that was found, 0 to 1")
    text_recall: float = Field(description="the same, of text queries")
    picture_recall: float | None = Field(description="the same, of picture queries")
    worst_decile: float = Field(
        description="mean recall of the worst tenth of the queries, 0 to 1: low where some "
        "pictures are lost though most are found"
    )
    unreachable: int | None = Field(
        description="number of vectors that a walk through the whole graph never comes to, 0 where "
        f"searches are exact; null: the graph is so large that the walk takes over {WALK_SECONDS} s"
    )
    queries: int = Field(description="number of queries")
    texts: int = Field(description="how many of them are texts")
    pictures: int = Field(
        description="how many of them are pictures of the collection: half of these chosen at "
        "random, half those least like each other"
    )
    method: Method = Field(description="how the queries were answered, as in searches")
    ef_search: int | None = Field(
        description="candidates that the graph search keeps; null: the graph did not answer"
    )
    p50_ms: float = Field(description="time of a search in milliseconds, median")
    p95_ms: float = Field(description="time of a search in milliseconds, 95th percentile")
    vectors: int = Field(description="number of vectors in the index")
    graph: bool = Field(
        description="whether there is an HNSW graph that answers where codes in memory do not; "
        "without one such searches are exact"
    )


class TuningRequest(BaseModel):
    """The recall to tune for."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"recall": 0.97}]})

    recall: float = Field(
        ge=MIN_TARGET_RECALL,
        le=MAX_TARGET_RECALL,
        allow_inf_nan=False,
        description="the recall to reach",
    )
    k: int = Field(DEFAULT_K, ge=1, le=MAX_K, description="number of hits looked at for each query")
    sample: int = Field(
        DEFAULT_SAMPLE,
        ge=MIN_SAMPLE,
        le=MAX_SAMPLE,
        description="number of queries, half of them pictures",
    )


class TuningStep(BaseModel):
    """One `ef_search` that was tried."""

    ef_search: int = Field(description="candidates that the graph search keeps")
    recall: float = Field(description="on the queries it is chosen by, of the worse kind")
    worse: Kind = Field(description="the kind of queries of which less is found")
    held_out: float | None = Field(
        description="the same on the held-out queries; null: not measured, as `recall` was too low"
    )
    p50_ms: float = Field(description="time of a search in milliseconds, median")


class TuningResult(BaseModel):
    """The result of tuning."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "k": 10,
                    "wanted": 0.97,
                    "reached": True,
                    "ef_search": 80,
                    "recall": 0.978,
                    "held_out": 0.973,
                    "queries": 100,
                    "held_out_queries": 100,
                    "vectors": 50000,
                    "tried": [
                        {
                            "ef_search": 40,
                            "recall": 0.941,
                            "worse": "texts",
                            "held_out": None,
                            "p50_ms": 1.7,
                        },
                        {
                            "ef_search": 80,
                            "recall": 0.978,
                            "worse": "texts",
                            "held_out": 0.973,
                            "p50_ms": 2.4,
                        },
                    ],
                }
            ]
        }
    )

    k: int = Field(description="number of hits looked at for each query")
    wanted: float = Field(description="the requested recall, of texts and of pictures")
    reached: bool = Field(description="false: no `ef_search` reaches it, and nothing was changed")
    ef_search: int | None = Field(description="the one in use from now on")
    recall: float = Field(
        description="on the queries it was chosen by, of texts or of pictures, whichever is lower"
    )
    held_out: float | None = Field(description="the same on the held-out queries")
    queries: int = Field(description="number of queries it was chosen by")
    held_out_queries: int = Field(description="number of held-out queries")
    vectors: int = Field(description="number of vectors in the index")
    tried: list[TuningStep] = Field(description="every `ef_search` that was tried, in order")
