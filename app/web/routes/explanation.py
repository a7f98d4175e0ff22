"""How good the answers are: why a picture is where it is, and how much the graph finds."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.errors import QueryRejected
from app.index.recall import DEFAULT_K, DEFAULT_SAMPLE, MAX_K, MAX_SAMPLE, MIN_SAMPLE
from app.search.query_encoding import MAX_QUERY_CHARACTERS
from app.web.dependencies import InCollection, LibraryService, Utf8
from app.web.middleware.guard import Guarded, needs
from app.web.payloads.filter_parameter import FilterText
from app.web.payloads.images import MAX_ID, STORABLE
from app.web.payloads.recall import ExplanationDetails, RecallDetails, Tuning, TuningDetails
from app.web.problems import described
from app.web.routes.collections import Opened

router = APIRouter(prefix="/api/v1", tags=["inspection"], dependencies=[Utf8], route_class=Guarded)

MAX_PATH_CHARACTERS = 4_096


@router.get("/explain", summary="Explain an answer", responses=described(404, 422, 503))
@needs("reader", "search")
def explain(
    opened: InCollection,
    q: Annotated[
        str,
        Query(
            max_length=MAX_QUERY_CHARACTERS,
            description="what was searched for",
            examples=["a green tree"],
        ),
    ],
    image_id: Annotated[
        int | None, Query(alias="id", ge=1, le=MAX_ID, description="of the picture in question")
    ] = None,
    path: Annotated[
        str | None,
        Query(
            max_length=MAX_PATH_CHARACTERS,
            pattern=STORABLE,
            description="its path, or the name it was sent under, where it has no id",
            examples=["data/test_images/green-tree.jpg"],
        ),
    ] = None,
    where: FilterText = None,
) -> ExplanationDetails:
    """Why a picture is in the answer to a text, or is not: by its id, or by its path."""
    if (image_id is None) == (path is None):
        raise QueryRejected("Name the picture by its id or by its path, one of them.")
    target = image_id if image_id is not None else path or ""
    found = opened.explainer.explain(opened.collection, q, target, where or {})
    return ExplanationDetails.of(found)


@router.get("/collections/{name}/recall", responses=described(404, 422, 503))
@needs("admin", "search")
def measure_recall(
    opened: Opened,
    k: Annotated[int, Query(ge=1, le=MAX_K, description="hits of each query")] = DEFAULT_K,
    sample: Annotated[
        int, Query(ge=MIN_SAMPLE, le=MAX_SAMPLE, description="queries: texts and pictures")
    ] = DEFAULT_SAMPLE,
) -> RecallDetails:
    """Ask sampled queries with the graph and without, and compare. Takes seconds."""
    return RecallDetails.model_validate(opened.recall.measure(k, sample), from_attributes=True)


@router.post(
    "/collections/{name}/tune",
    summary="Tune a collection",
    responses=described(400, 404, 413, 422, 503),
)
@needs("admin", "search")
def tune(registry: LibraryService, opened: Opened, asked: Tuning) -> TuningDetails:
    """Find the least `ef_search` that keeps a recall on held-out queries, and use it."""
    tuned = opened.recall.tune(asked.recall, asked.k, asked.sample)
    if tuned.ef_search is not None:
        registry.tune(opened, tuned.ef_search)
    return TuningDetails.model_validate(tuned, from_attributes=True)
