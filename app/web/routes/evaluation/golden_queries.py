"""Golden queries of a collection: searches with the pictures they should find."""

from typing import Annotated

from fastapi import APIRouter, Depends, File, Path, Query, Request, Response, UploadFile

from app.feedback.golden.golden_files import MAX_FILE_BYTES, line_of, parse
from app.feedback.golden.golden_queries import GoldenQueries
from app.feedback.golden.golden_rows import MAX_QUERIES
from app.feedback.golden.judged_queries import Judged
from app.feedback.golden.proposals import Source
from app.search.search_request import DEFAULT_LIMIT
from app.web.dependencies import ServiceAddresses, Utf8Query
from app.web.middleware.guarded_route import Guarded, needs
from app.web.pagination import Cursor, Limit, read_number
from app.web.payloads.evaluation.golden_queries import (
    GOLDEN_QUERIES,
    GoldenQueriesImported,
    GoldenQueryCreate,
    GoldenQueryDetails,
    GoldenQueryPage,
    Judgements,
)
from app.web.payloads.field_types import MAX_ID
from app.web.problems.problems import problem_responses
from app.web.routes.collections import Found

router = APIRouter(
    prefix="/api/v1/collections/{name}/golden-queries",
    tags=["evaluation"],
    dependencies=[Utf8Query],
    route_class=Guarded,
)

LOCATION = {"Location": {"schema": {"type": "string"}, "description": "address of the query"}}
DEFAULT_PROPOSALS = 200
PROPOSALS = {
    "application/x-ndjson": {
        "schema": {"type": "string"},
        "example": line_of(Judged("a green tree", None, [112], [], "captions")),
    }
}
ONE = "/{golden_query_id:int}"  # not `import`, whatever the method

GoldenQueryId = Annotated[int, Path(ge=1, le=MAX_ID, description="the golden query", examples=[1])]


async def _golden_queries(request: Request) -> GoldenQueries:
    service: GoldenQueries = request.app.state.services.golden_queries
    return service


GoldenQueryService = Annotated[GoldenQueries, Depends(_golden_queries)]


@router.get("", responses=problem_responses(404, 422, 503))
@needs("reader")
def list_golden_queries(
    found: Found,
    golden_queries: GoldenQueryService,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> GoldenQueryPage:
    """The collection's golden queries, in the order in which they were added."""
    after = 0 if cursor is None else read_number(GOLDEN_QUERIES, cursor)
    return GoldenQueryPage.of(golden_queries.page(found.collection.id, after, limit + 1), limit)


@router.post(
    "",
    status_code=201,
    responses={
        201: {"headers": LOCATION},
        200: {"model": GoldenQueryDetails, "description": "The same query was there already"},
        **problem_responses(400, 404, 413, 422, 503),
    },
)
@needs("writer", creates=True)
def add_golden_query(
    found: Found,
    golden_queries: GoldenQueryService,
    addresses: ServiceAddresses,
    response: Response,
    body: GoldenQueryCreate,
) -> GoldenQueryDetails:
    """Add a query with the pictures it should find, or add judgements to the same query."""
    query, is_new = golden_queries.add(found.collection.id, body.to_domain())
    response.status_code = 201 if is_new else 200
    if is_new:
        here = found.collection
        response.headers["Location"] = addresses.golden_query(here.namespace, here.name, query.id)
    return GoldenQueryDetails.of(query)


@router.post("/import", responses=problem_responses(400, 404, 413, 422, 503))
@needs("writer", "upload")
def import_golden_queries(
    found: Found,
    golden_queries: GoldenQueryService,
    file: Annotated[UploadFile, File(description="JSONL, or CSV with a header")],
) -> GoldenQueriesImported:
    """Add golden queries, or judgements to existing ones, from a file: all of it or nothing."""
    queries = parse(file.file.read(MAX_FILE_BYTES + 1))
    added = golden_queries.add_many(found.collection.id, queries)
    return GoldenQueriesImported(added=added, changed=len(queries) - added)


@router.get(
    "/proposals",
    response_class=Response,
    responses={200: {"content": PROPOSALS}, **problem_responses(404, 422, 503)},
)
@needs("writer")
def propose_golden_queries(
    found: Found,
    golden_queries: GoldenQueryService,
    source: Annotated[Source, Query(description="what they are made from", examples=["captions"])],
    limit: Annotated[
        int, Query(ge=1, le=MAX_QUERIES, description="how many at most")
    ] = DEFAULT_PROPOSALS,
) -> Response:
    """Golden queries made from ratings, captions or tags, to be read and then imported."""
    proposed = golden_queries.proposed(found.collection.id, source, limit)
    return Response("".join(map(line_of, proposed)), media_type="application/x-ndjson")


@router.get(ONE, responses=problem_responses(404, 422, 503))
@needs("reader")
def get_golden_query(
    found: Found, golden_queries: GoldenQueryService, golden_query_id: GoldenQueryId
) -> GoldenQueryDetails:
    """One golden query with its judgements."""
    return GoldenQueryDetails.of(golden_queries.get(found.collection.id, golden_query_id))


@router.put(ONE, responses=problem_responses(400, 404, 413, 422, 503))
@needs("writer")
def replace_golden_query(
    found: Found,
    golden_queries: GoldenQueryService,
    golden_query_id: GoldenQueryId,
    body: Judgements,
) -> GoldenQueryDetails:
    """Replace all its judgements; the query itself stays."""
    query = golden_queries.replace(
        found.collection.id, golden_query_id, body.relevant, body.irrelevant
    )
    return GoldenQueryDetails.of(query)


@router.delete(ONE, status_code=204, responses=problem_responses(404, 422, 503))
@needs("writer")
def delete_golden_query(
    found: Found, golden_queries: GoldenQueryService, golden_query_id: GoldenQueryId
) -> None:
    """Delete a golden query with its judgements."""
    golden_queries.remove(found.collection.id, golden_query_id)
