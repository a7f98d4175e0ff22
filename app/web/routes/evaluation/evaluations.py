"""Evaluations: generations compared by a collection's golden queries."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from app.runtime.evaluation.evaluations import Evaluations
from app.web.callers import JobId
from app.web.dependencies import ServiceAddresses, Utf8Query
from app.web.middleware.guarded_route import Guarded, needs
from app.web.payloads.evaluation.evaluations import EvaluationDetails, EvaluationRequest
from app.web.payloads.jobs.jobs import JobAccepted
from app.web.problems.problems import problem_responses
from app.web.routes.collections import Found
from app.web.routes.jobs import LOCATION, accept

router = APIRouter(
    prefix="/api/v1/collections/{name}",
    tags=["evaluation"],
    dependencies=[Utf8Query],
    route_class=Guarded,
)


async def _evaluations(request: Request) -> Evaluations:
    service: Evaluations = request.app.state.services.evaluations
    return service


EvaluationService = Annotated[Evaluations, Depends(_evaluations)]


@router.post(
    "/evaluate",
    status_code=202,
    responses={202: {"headers": LOCATION}, **problem_responses(400, 404, 409, 413, 422, 503)},
)
@needs("admin", creates=True)
def evaluate_collection(
    found: Found,
    evaluations: EvaluationService,
    addresses: ServiceAddresses,
    response: Response,
    body: EvaluationRequest,
) -> JobAccepted:
    """Compare generations and models with the active one by the golden queries, as a job."""
    return accept(evaluations.submit(found, body.to_domain()), addresses, response)


@router.get("/evaluations/{job_id}", responses=problem_responses(404, 422, 503))
@needs("reader")
def get_evaluation(
    found: Found, evaluations: EvaluationService, addresses: ServiceAddresses, job_id: JobId
) -> EvaluationDetails:
    """What the job of an evaluation found, once it has succeeded."""
    stored = evaluations.result(found, job_id)
    return EvaluationDetails.of(stored, found.collection, addresses)
