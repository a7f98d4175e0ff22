"""The FastAPI application: routes, middleware and error handlers around open services."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import iter_route_contexts
from limits import RateLimitItem

from app import VERSION
from app.catalog.suggestions import Suggestions
from app.errors import SettingsInvalid
from app.runtime.models import DEMO_MODEL
from app.runtime.services import Services
from app.web import page
from app.web.addresses import Addresses
from app.web.kept_answers import KeptAnswers
from app.web.map_tiles import MapTiles
from app.web.middleware.audit_log import AuditLog
from app.web.middleware.body_limit import BodyLimit
from app.web.middleware.body_timeout import BodyTimeout
from app.web.middleware.compression import JsonCompression
from app.web.middleware.concurrency_limits import (
    MAX_EVENT_STREAMS,
    MAX_KEY_LOOKUPS,
    MAX_KEY_REQUESTS,
    MAX_OTHER_REQUESTS,
)
from app.web.middleware.guard import Guard
from app.web.middleware.head_requests import HeadRequests
from app.web.middleware.rate_limits import Lane
from app.web.middleware.replica_reads import ReplicaReads
from app.web.middleware.request_metrics import RequestMetrics
from app.web.middleware.root_path import RootPath
from app.web.middleware.security_headers import SecurityHeaders
from app.web.openapi import api_documentation, openapi_document
from app.web.problems import error_handlers
from app.web.routes import (
    annotators,
    collections,
    duplicates,
    explanation,
    facets,
    feedback,
    flat,
    generations,
    health,
    jobs,
    keys,
    labels,
    legacy,
    review,
    search,
    search_batches,
    standing_searches,
)
from app.web.routes.evaluation import evaluations, golden_queries, recall
from app.web.routes.images import collection_images, external_ids, images, selections

SUBJECTS = (
    *(
        flat,
        legacy,
        images,
        external_ids,
        search,
        search_batches,
        collections,
        collection_images,
        selections,
        explanation,
        recall,
        feedback,
        generations,
        golden_queries,
        evaluations,
        duplicates,
    ),
    standing_searches,
    *(labels, annotators, review, facets, jobs, keys, health, page, api_documentation),
)
DEMO_NOTE = "It knows drawings of single things on plain scenes, not photographs."


@dataclass(frozen=True)
class HttpLimits:
    """What clients may do: bytes of a request, requests a second and at a time, and from where.

    `rates` are None where a lane has no limit; those in `unlimited_while_open` have none for this
    machine's users of a service without keys. `cors_origins` are the origins whose pages may call
    from a browser.
    """

    max_upload_bytes: int
    max_archive_bytes: int
    rates: Mapping[Lane, RateLimitItem | None]
    max_searches: int
    max_uploads: int
    cors_origins: Sequence[str] = ()
    unlimited_while_open: Collection[Lane] = ()


def create_app(
    services: Services, limits: HttpLimits, root_path: str = "", map_tiles: MapTiles | None = None
) -> FastAPI:
    """The application around services that are open, below the prefix `root_path` of a proxy's.

    Only with `map_tiles` does the page load anything from another server: those.

    Raises SettingsInvalid for a prefix that the application's own addresses begin with.
    """
    app = _routes(services.model_name, root_path)
    _add_middleware(app, limits)
    if root_path:
        app.add_middleware(RootPath, root_path=root_path)
    app.state.services = services
    app.state.kept_answers = KeptAnswers(services)
    app.state.suggestions = Suggestions(services.sessions)
    app.state.map_tiles = map_tiles
    app.state.guard = _guard(services, limits)
    app.state.replica_reads = ReplicaReads(services.replicas) if services.replicas else None
    app.state.is_stopping = lambda: False
    error_handlers.install(app)
    return app


def openapi(model_name: str, root_path: str = "") -> dict[str, Any]:
    """The OpenAPI document of the application, without services. Raises as `create_app`."""
    return _routes(model_name, root_path).openapi()


def _routes(model_name: str, root_path: str) -> FastAPI:
    """The application with its routes and their description; they need services to answer."""
    app = FastAPI(
        title="Image search",
        version=VERSION,
        description=_description(model_name),
        openapi_tags=openapi_document.TAGS,
        docs_url=None,  # see `api_documentation`
        redoc_url=None,
        redirect_slashes=False,  # Starlette's name http:// behind TLS: see `error_handlers`
        generate_unique_id_function=openapi_document.operation_id,
    )
    app.state.addresses = Addresses(root_path)
    for module in SUBJECTS:
        app.include_router(module.router)
    _check_root_path(app, root_path)
    openapi_document.install(app)
    return app


def _check_root_path(app: FastAPI, root_path: str) -> None:
    """Raises SettingsInvalid where a path could be read with the prefix or without it."""
    first = f"{root_path}/".split("/")[1]
    own = {(route.path or "/").split("/")[1] for route in iter_route_contexts(app.routes)}
    if root_path and first in own:
        raise SettingsInvalid(
            f"IMAGE_SEARCH_ROOT_PATH={root_path}: the service has addresses of its own below "
            f"/{first}. Choose another prefix."
        )


def _add_middleware(app: FastAPI, limits: HttpLimits) -> None:
    """A request passes through the last one added first."""
    app.add_middleware(JsonCompression)
    app.add_middleware(HeadRequests)
    app.add_middleware(BodyTimeout)
    app.add_middleware(
        BodyLimit,
        max_bytes=limits.max_upload_bytes,
        exceptions={jobs.ADD_IMAGES: limits.max_archive_bytes},
    )
    if limits.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=limits.cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "If-Match",
                "X-API-Key",
                "X-Request-Id",
            ],
            expose_headers=[
                *("ETag", "Idempotent-Replayed", "Location"),
                *("RateLimit", "RateLimit-Policy", "Retry-After"),
                *("X-Model", "X-Query-Truncated", "X-Request-Id", "X-Search-Token"),
            ],
            allow_credentials=False,  # keys are sent on purpose, never by the browser itself
        )
    app.add_middleware(AuditLog)
    app.add_middleware(RequestMetrics)
    app.add_middleware(SecurityHeaders, embeddable=bool(limits.cors_origins))


def _guard(services: Services, limits: HttpLimits) -> Guard:
    max_concurrent: dict[Lane, int] = {
        "search": limits.max_searches,
        "upload": limits.max_uploads,
        "events": MAX_EVENT_STREAMS,
        "other": MAX_OTHER_REQUESTS,
        "keys": MAX_KEY_REQUESTS,
        "lookups": MAX_KEY_LOOKUPS,
    }
    return Guard(
        services.access,
        services.address_signer,
        limits.rates,
        max_concurrent,
        limits.cors_origins,
        limits.unlimited_while_open,
    )


def _description(model_name: str) -> str:
    note = f" {DEMO_NOTE}" if model_name == DEMO_MODEL else ""
    return f"Find pictures by words and by picture. Model: {model_name}.{note}"
