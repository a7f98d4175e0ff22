"""Is it alive, is it ready, and where to look."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse

from app.web.payloads import Readiness
from app.web.problems import described

router = APIRouter(tags=["system"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers. Not on a thread: it must answer while all of them are busy."""
    return {"status": "alive"}


@router.get("/readyz", responses=described(503))
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
