"""Recall of a collection's searches: measuring it, and tuning `ef_search` by it."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.index.recall import DEFAULT_K, DEFAULT_SAMPLE, MAX_K, MAX_SAMPLE, MIN_SAMPLE
from app.index.tuning import Tuning
from app.web.dependencies import RegistryService, Utf8Query
from app.web.middleware.guarded_route import Guarded, needs
from app.web.payloads.evaluation.recall import RecallMeasurement, TuningRequest, TuningResult
from app.web.problems.problems import problem_responses
from app.web.routes.collections import Opened

router = APIRouter(
    prefix="/api/v1", tags=["inspection"], dependencies=[Utf8Query], route_class=Guarded
)


@router.get("/collections/{name}/recall", responses=problem_responses(404, 422, 503))
@needs("admin", "search")
def measure_recall(
    opened: Opened,
    k: Annotated[
        int, Query(ge=1, le=MAX_K, description="hits looked at for each query")
    ] = DEFAULT_K,
    sample: Annotated[
        int,
        Query(
            ge=MIN_SAMPLE,
            le=MAX_SAMPLE,
            description="number of queries, half of them pictures",
        ),
    ] = DEFAULT_SAMPLE,
) -> RecallMeasurement:
    """Compare the answers that sampled queries get now with exact ones. Takes seconds."""
    return RecallMeasurement.model_validate(opened.recall.measure(k, sample), from_attributes=True)


@router.post(
    "/collections/{name}/tune",
    summary="Tune a collection",
    responses=problem_responses(400, 404, 413, 422, 503),
)
@needs("admin", "search")
def tune_collection(registry: RegistryService, opened: Opened, body: TuningRequest) -> TuningResult:
    """Find and use the smallest `ef_search` that reaches a recall, also on held-out queries."""
    tuned = opened.recall.tune(body.recall, body.k, body.sample)
    if tuned.ef_search is not None:
        registry.tune(opened, tuned.ef_search, Tuning.of("admin", tuned))
    return TuningResult.model_validate(tuned, from_attributes=True)
