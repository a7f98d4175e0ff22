"""Explanations: why a picture is, or is not, in an answer."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.errors import QueryRejected
from app.search.queries.query_terms import MAX_QUERY_CHARACTERS
from app.web.callers import InCollection
from app.web.dependencies import Utf8Query
from app.web.filter_parameter import FilterText
from app.web.middleware.guarded_route import Guarded, needs
from app.web.payloads.explanation import ExplanationDetails
from app.web.payloads.field_types import MAX_ID, STORABLE
from app.web.problems.problems import problem_responses

router = APIRouter(
    prefix="/api/v1", tags=["inspection"], dependencies=[Utf8Query], route_class=Guarded
)

MAX_PATH_CHARACTERS = 4_096


@router.get("/explain", summary="Explain an answer", responses=problem_responses(404, 422, 503))
@needs("reader", "search")
def explain(
    opened: InCollection,
    q: Annotated[
        str,
        Query(
            max_length=MAX_QUERY_CHARACTERS,
            description="the query",
            examples=["a green tree"],
        ),
    ],
    image_id: Annotated[
        int | None, Query(alias="id", ge=1, le=MAX_ID, description="id of the picture in question")
    ] = None,
    path: Annotated[
        str | None,
        Query(
            max_length=MAX_PATH_CHARACTERS,
            pattern=STORABLE,
            description="its path, or the name it was uploaded under, if it has no id",
            examples=["data/test_images/green-tree.jpg"],
        ),
    ] = None,
    where: FilterText = None,
) -> ExplanationDetails:
    """Say why a picture, named by its id or its path, is or is not in the answer to a text."""
    if (image_id is None) == (path is None):
        raise QueryRejected("Name the picture either by its id or by its path.")
    target = image_id if image_id is not None else path or ""
    found = opened.explainer.explain(opened.collection, q, target, where or {})
    return ExplanationDetails.of(found)
