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
)


class RecallDetails(BaseModel):
    """How many of the true nearest the searches of a collection find."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "k": 10,
                    "recall": 0.991,
                    "text_recall": 0.986,
                    "picture_recall": 0.996,
                    "queries": 200,
                    "texts": 100,
                    "pictures": 100,
                    "ef_search": 200,
                    "p50_ms": 3.1,
                    "p95_ms": 5.0,
                    "vectors": 50000,
                    "graph": True,
                }
            ]
        }
    )

    k: int = Field(description="hits of each query")
    recall: float = Field(description="the share of the true k nearest that was found, 0 to 1")
    text_recall: float = Field(description="of queries that are texts")
    picture_recall: float | None = Field(description="of queries that are pictures")
    queries: int = Field(description="how many were asked")
    texts: int = Field(description="of these, texts")
    pictures: int = Field(description="of these, pictures of the collection")
    ef_search: int | None = Field(description="candidates kept; null: answers are exact")
    p50_ms: float = Field(description="milliseconds of an answer, median")
    p95_ms: float = Field(description="milliseconds that 95 of 100 answers stay below")
    vectors: int = Field(description="in the index")
    graph: bool = Field(description="false: there is none now, and answers are exact")


class Tuning(BaseModel):
    """What recall is wanted."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"recall": 0.97}]})

    recall: float = Field(
        ge=MIN_TARGET_RECALL, le=MAX_TARGET_RECALL, allow_inf_nan=False, description="to be kept"
    )
    k: int = Field(DEFAULT_K, ge=1, le=MAX_K, description="hits of each query")
    sample: int = Field(
        DEFAULT_SAMPLE, ge=MIN_SAMPLE, le=MAX_SAMPLE, description="queries: texts and pictures"
    )


class TriedDetails(BaseModel):
    """One `ef_search` that was tried."""

    ef_search: int = Field(description="candidates kept")
    recall: float = Field(description="on the queries that it is chosen by")
    held_out: float | None = Field(description="on the others; null: the first was too low")
    p50_ms: float = Field(description="milliseconds of an answer, median")


class TuningDetails(BaseModel):
    """What was chosen."""

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
                        {"ef_search": 40, "recall": 0.941, "held_out": None, "p50_ms": 1.7},
                        {"ef_search": 80, "recall": 0.978, "held_out": 0.973, "p50_ms": 2.4},
                    ],
                }
            ]
        }
    )

    k: int = Field(description="hits of each query")
    wanted: float = Field(description="the recall that was asked for")
    reached: bool = Field(description="false: none keeps it, and nothing was changed")
    ef_search: int | None = Field(description="the one that is used from now on")
    recall: float = Field(description="on the queries that it was chosen by")
    held_out: float | None = Field(description="on the queries held out")
    queries: int = Field(description="that it was chosen by")
    held_out_queries: int = Field(description="how many were held out")
    vectors: int = Field(description="in the index")
    tried: list[TriedDetails] = Field(description="in the order in which they were tried")
