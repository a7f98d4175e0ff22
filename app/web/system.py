"""Is it alive, is it ready, and where to look."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse

from app.web.payloads import Liveness, Readiness
from app.web.problems import described

router = APIRouter(tags=["system"])


@router.get("/healthz", summary="Is it alive?")
async def healthz() -> Liveness:  # not on a thread: it answers while all of them are busy
    """The process answers, whatever else does not."""
    return Liveness(status="alive")


@router.get("/readyz", summary="Is it ready?", responses=described(503))
def readyz(request: Request) -> Readiness:
    """The database answers, the model is loaded and warm."""
    services = request.app.state.services
    return Readiness(
        status="ready",
        model=services.model_name,
        device=services.device,
        precision=services.precision,
        images=services.gallery.count(),
    )


@router.get("/", include_in_schema=False)
def root() -> RedirectResponse:
    """Until the page arrives: the interactive documentation."""
    return RedirectResponse("/docs")
