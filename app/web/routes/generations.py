"""Generations of a collection's vectors: build another beside the active one, activate, go back."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.web.dependencies import ReindexingService, ServiceAddresses, Utf8Query
from app.web.middleware.guarded_route import Guarded, needs
from app.web.payloads.generations import (
    Activated,
    GenerationDetails,
    GenerationList,
    Reindexing,
)
from app.web.payloads.jobs.jobs import JobAccepted
from app.web.problems.problems import problem_responses
from app.web.routes.collections import Found
from app.web.routes.jobs import LOCATION, accept

router = APIRouter(
    prefix="/api/v1/collections",
    tags=["collections"],
    dependencies=[Utf8Query],
    route_class=Guarded,
)

MAX_GENERATION_ID = 2**31 - 1  # Postgres's integer

GenerationId = Annotated[
    int, Path(ge=1, le=MAX_GENERATION_ID, description="the generation", examples=[3])
]


@router.post(
    "/{name}/reindex",
    status_code=202,
    responses={202: {"headers": LOCATION}, **problem_responses(400, 404, 409, 413, 422, 503)},
)
@needs("admin", creates=True)
def reindex_collection(
    found: Found,
    reindexing: ReindexingService,
    addresses: ServiceAddresses,
    response: Response,
    body: Reindexing,
) -> JobAccepted:
    """Have a job build vectors of another model, storage, graph or regions, beside the active ones.

    Searches keep the active ones; the others are a new generation of the collection.
    """
    job_id = reindexing.submit(found, body.to_domain(), dry_run=body.dry_run)
    return accept(job_id, addresses, response)


@router.get("/{name}/generations", responses=problem_responses(404, 422, 503))
@needs("reader")
def list_collection_generations(found: Found, reindexing: ReindexingService) -> GenerationList:
    """Its active generation, the one that is being built or is ready, and former ones."""
    listed = reindexing.listed(found)
    return GenerationList(data=[GenerationDetails.of(one) for one in listed])


@router.post(
    "/{name}/generations/{generation_id}/activate",
    responses=problem_responses(404, 409, 422, 503),
)
@needs("admin")
def activate_generation(
    found: Found, reindexing: ReindexingService, generation_id: GenerationId
) -> Activated:
    """Have searches use this generation from now on; the former one is kept for a rollback."""
    return Activated.of(reindexing.activate(found, generation_id))


@router.post("/{name}/rollback", responses=problem_responses(404, 409, 422, 503))
@needs("admin")
def roll_back_collection(found: Found, reindexing: ReindexingService) -> Activated:
    """Activate the generation that was active before."""
    return Activated.of(reindexing.roll_back(found))


@router.delete(
    "/{name}/generations/{generation_id}",
    status_code=204,
    responses=problem_responses(404, 409, 422, 503),
)
@needs("admin")
def delete_generation(
    found: Found, reindexing: ReindexingService, generation_id: GenerationId
) -> None:
    """Drop a generation that is ready or retired, with its vectors; pictures stay."""
    reindexing.delete(found, generation_id)
