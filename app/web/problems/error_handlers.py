"""The handlers that turn each exception into a problem; `problems` has the table."""

import errno
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.routing import iter_route_contexts
from psycopg.errors import DiskFull, QueryCanceled, ReadOnlySqlTransaction
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from app import errors
from app.database.connections import is_unavailable
from app.database.outages import OUTAGES, is_lost
from app.database.read_replicas import ReadReplicas
from app.web.middleware.replica_reads import IS_TRIED_AGAIN
from app.web.problems.problems import (
    DATABASE_BUSY,
    DATABASE_FULL,
    DATABASE_READ_ONLY,
    DATABASE_SILENT,
    DATABASE_UNAVAILABLE,
    NO_ADDRESS,
    NO_METHOD,
    QUERY_TOO_SLOW,
    READS_GO_ON,
    RETRY_AFTER_SECONDS,
    TOO_LONG,
    code_of,
    problem,
    status_of,
)
from app.web.problems.validation_errors import JSON_INVALID, broken_json, detail_of, entries

log = logging.getLogger(__name__)

Unexpected = Callable[[Request, Exception], JSONResponse]

ROUTING = {"Not Found": NO_ADDRESS, "Method Not Allowed": NO_METHOD}  # by Starlette's words
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def install(app: FastAPI) -> None:
    """Register the handlers that turn each exception into a problem."""

    @app.exception_handler(errors.ImageSearchError)
    def domain(request: Request, error: errors.ImageSearchError) -> JSONResponse:
        headers = _headers_of(error, request)
        return problem(status_of(error), str(error), headers, code=code_of(error))

    @app.exception_handler(RequestValidationError)
    def validation(request: Request, error: RequestValidationError) -> JSONResponse:
        if fault := broken_json(error):
            return problem(400, fault, code=JSON_INVALID)
        faults = entries(error, _body_type(request))
        return problem(422, detail_of(error, faults), errors=faults)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404 and (location := _moved(request)):
            return RedirectResponse(location)
        if full := _full_disk(error.__cause__):  # FastAPI calls it an error of the body
            return full
        headers = {"Allow": _methods(request)} if error.status_code == 405 else error.headers
        detail = ROUTING.get(error.detail, f"{error.detail.rstrip('.')}.")
        return problem(error.status_code, detail, headers)

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "An error inside the server; its log has the details.")

    _install_outside_faults(app, unexpected)


def _body_type(request: Request) -> Any:
    """The type of the route's JSON body; None if it has none."""
    field = getattr(request.scope.get("route"), "body_field", None)
    return field.field_info.annotation if field else None


def _headers_of(error: errors.ImageSearchError, request: Request) -> dict[str, str]:
    if isinstance(error, errors.KeyRejected):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, errors.TooManyRequests):
        return {"Retry-After": str(error.seconds), **request.state.quota.headers()}
    if isinstance(error, errors.IdempotencyKeyInUse):
        return {"Retry-After": str(RETRY_AFTER_SECONDS)}
    if isinstance(error, errors.RangeNotSatisfiable) and error.size is not None:
        return {"Content-Range": f"bytes */{error.size}"}
    return {}


def _moved(request: Request) -> str | None:
    """Where the address without its last slash leads, relative to it; None if nowhere.

    A relative address is right behind TLS and below a proxy's prefix too. The prefix itself
    lacks the slash that the page's relative addresses need.
    """
    path = request.scope["path"]
    if not path:
        return f"{request.scope['root_path']}/"
    shorter = path.removesuffix("/")
    if shorter == path or not shorter or shorter.endswith("/"):
        return None
    scope = {**request.scope, "path": shorter}
    routes = iter_route_contexts(request.app.routes)
    if all(route.matches(scope)[0] == Match.NONE for route in routes):
        return None
    query = request.scope["query_string"].decode("latin-1")
    return f"../{quote(shorter.rpartition('/')[2])}" + (f"?{query}" if query else "")


def _methods(request: Request) -> str:
    """The methods of all routes at this path: Starlette names only those of one route."""
    found: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.matches(request.scope)[0] != Match.NONE:
            found |= route.methods or set()
    if "GET" in found:
        found.add("HEAD")
    return ", ".join(sorted(found))


def _install_outside_faults(app: FastAPI, unexpected: Unexpected) -> None:
    """Handlers for failures outside the process: of the client, of the database."""

    @app.exception_handler(ClientDisconnect)
    def hung_up(request: Request, error: ClientDisconnect) -> JSONResponse:
        return problem(400, "The request ended before its body did.")

    @app.exception_handler(OSError)
    def disk(request: Request, error: OSError) -> JSONResponse:
        return _full_disk(error) or unexpected(request, error)

    @app.exception_handler(PoolTimeout)
    def pool(request: Request, error: PoolTimeout) -> JSONResponse:
        return problem(
            503, "All database connections are taken; try again in a moment.", code=DATABASE_BUSY
        )

    @app.exception_handler(DBAPIError)
    def database(request: Request, error: DBAPIError) -> JSONResponse:
        if request.scope.get("state", {}).get(IS_TRIED_AGAIN):
            raise error
        return _fault_of_database(request, error) or unexpected(request, error)


def _fault_of_database(request: Request, error: DBAPIError) -> JSONResponse | None:
    """None where the SQL is wrong."""
    if isinstance(error.orig, QueryCanceled):
        return problem(503, TOO_LONG, code=QUERY_TOO_SLOW)
    if isinstance(error.orig, ReadOnlySqlTransaction):
        return problem(
            503, "The database accepts no changes now, only searches.", code=DATABASE_READ_ONLY
        )
    if not is_unavailable(error):
        return None
    return _unavailable(request, error)


def _is_primary_down(request: Request) -> bool:
    """Whether a replica answers searches meanwhile."""
    replicas: ReadReplicas | None = request.app.state.services.replicas
    if replicas is None or replicas.is_primary_up:
        return False
    return any(one.state != "down" for one in replicas.replicas)


def _unavailable(request: Request, error: DBAPIError) -> JSONResponse:
    if is_lost(error):
        OUTAGES.note(error)
    else:
        log.warning("database: %s", error.orig)
    if _is_primary_down(request):
        return problem(503, READS_GO_ON, code=DATABASE_READ_ONLY)
    told = DATABASE_FULL if isinstance(error.orig, DiskFull) else DATABASE_SILENT
    return problem(503, told, code=DATABASE_UNAVAILABLE)


def _full_disk(error: BaseException | None) -> JSONResponse | None:
    """A 507 if the temporary folder is full; our own folders raise StorageUnwritable."""
    if not isinstance(error, OSError) or error.errno not in FULL:
        return None
    return problem(507, f"The disk of temporary files (TMPDIR) is full: {error.strerror}.")
