"""Liveness, readiness and metrics."""

import asyncio
import math
from functools import lru_cache
from typing import Any

from fastapi import APIRouter, Request, Response

from app import VERSION, metrics
from app.catalog.collections import DEFAULT_NAMESPACE
from app.database import database_identity
from app.database.connections import Sessions
from app.database.read_replicas import ReadReplicas, Replica
from app.errors import KeyRejected, RoleRejected
from app.web.callers import CurrentCaller
from app.web.database_metrics import DatabaseMetrics
from app.web.middleware.guarded_route import Guarded, needs
from app.web.payloads.health import Liveness, Readiness, ReleaseNotes, ReplicaState, ServiceStatus
from app.web.problems.problems import problem_responses
from app.web.release_notes import release_notes

router = APIRouter(tags=["system"], route_class=Guarded)

EXPOSITION = {
    "schema": {"type": "string", "description": "Prometheus's text format 0.0.4"},
    "example": "# TYPE image_search_pictures gauge\nimage_search_pictures 295.0\n",
}


@router.get("/healthz", summary="Is it alive?")
@needs(None)
async def healthz() -> Liveness:  # async: it answers while all threads are busy
    """The process answers, whatever else does not."""
    return Liveness(status="alive")


@router.get("/readyz", summary="Is it ready?", responses=problem_responses(503))
@needs(None)
def readyz(request: Request) -> Readiness:
    """The database answers, or a replica of it, and the model is loaded and warm."""
    services = request.app.state.services
    count = services.gallery.count()  # in any case: readiness depends on the database
    is_open = _is_open(services)
    replicas: ReadReplicas | None = services.replicas
    return Readiness(
        status="ready",
        accepts_changes=replicas is None or replicas.is_primary_up,
        replicas=[_replica_state(one) for one in replicas.replicas] if replicas else [],
        model=services.model_name,
        device=services.device,
        precision=services.precision,
        version=VERSION if is_open else None,
        images=count if is_open else None,
    )


def _replica_state(replica: Replica) -> ReplicaState:
    lag = None if replica.state == "down" or math.isinf(replica.lag) else round(replica.lag, 3)
    return ReplicaState(status=replica.state, lag_seconds=lag)


def _is_open(services: Any) -> bool:
    """Whether callers without a key may read."""
    try:
        services.access.caller(None)
    except KeyRejected:
        return False
    return True


@router.get("/api/v1/status", summary="Which version, how much room, backed up when?")
@needs("reader")
def get_status(caller: CurrentCaller, request: Request) -> ServiceStatus:
    """The program's version, your key's role, free disk space, the last backup and size limits."""
    services = request.app.state.services
    free, backed_up_at = None, None
    if caller.reaches(DEFAULT_NAMESPACE):
        with services.sessions.begin() as session:
            backed_up_at = database_identity.last_backup(session)
        free = services.gallery.stores.uploads.free_bytes()
    return ServiceStatus(
        version=VERSION,
        role=caller.role,
        free_disk_bytes=free,
        backed_up_at=backed_up_at,
        max_file_bytes=services.gallery.limits.max_file_bytes,
        max_megapixels=services.gallery.limits.max_megapixels,
    )


@router.get("/api/v1/release-notes", summary="What is new in this version?")
@needs("reader")
async def get_release_notes() -> ReleaseNotes:  # async: they are in memory
    """The notes of the running version, in English, from the program's changelog."""
    return ReleaseNotes.of(VERSION, release_notes())


@router.get(
    "/metrics",
    summary="What does it do?",
    response_class=Response,
    responses={200: {"content": {"text/plain": EXPOSITION}}},
)
@needs("admin")
async def get_metrics(caller: CurrentCaller, request: Request) -> Response:  # async: as `healthz`
    """Counts and times in Prometheus' text format; no queries, file names or other contents."""
    if not caller.reaches(DEFAULT_NAMESPACE):
        raise RoleRejected(
            "The metrics cover all namespaces: only keys for the namespace default may read them."
        )
    services = request.app.state.services
    space = services.encoder.space
    model = metrics.Model(space.name, space.fingerprint, services.device, services.precision)
    counts = await _database_metrics(services.gallery.sessions).counts()
    replicas = services.replicas.replicas if services.replicas else ()
    gauges = [metrics.ReplicaGauge(one.name, one.state == "in_use", one.lag) for one in replicas]
    text = await asyncio.to_thread(
        metrics.exposition, model, counts, gauges
    )  # not a thread of the routes
    return Response(text, media_type=metrics.MEDIA_TYPE)


@lru_cache(maxsize=1)  # a process serves one database
def _database_metrics(sessions: Sessions) -> DatabaseMetrics:
    return DatabaseMetrics(sessions)
