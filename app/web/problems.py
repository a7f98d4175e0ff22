"""Every error as problem+json (RFC 9457): one table from the domain's errors to HTTP."""

import errno
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.routing import iter_route_contexts
from psycopg.errors import QueryCanceled, ReadOnlySqlTransaction
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from app import errors
from app.database.connections import is_unavailable
from app.index.hnsw_search import STATEMENT_TIMEOUT_MS
from app.web.validation_errors import JSON_INVALID, broken_json, entries, sentence

log = logging.getLogger(__name__)

Unexpected = Callable[[Request, Exception], JSONResponse]

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
TOO_LONG = (
    f"This would take the database longer than {STATEMENT_TIMEOUT_MS // 1000} s. Ask for less: a "
    "narrower filter, fewer facets, rarer words, or not for exact."
)


class Kind(NamedTuple):
    """The HTTP status of an error, and the code that programs tell it by; neither changes."""

    status: HTTPStatus
    code: str


KINDS: dict[type[errors.ImageSearchError], Kind] = {
    errors.QueryEmpty: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "query_empty"),
    errors.QueryRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "query_invalid"),
    errors.FilterRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "filter_invalid"),
    errors.Busy: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "busy"),
    errors.TokenRejected: Kind(HTTPStatus.UNAUTHORIZED, "token_invalid"),
    errors.KeyRejected: Kind(HTTPStatus.UNAUTHORIZED, "key_invalid"),
    errors.AddressRejected: Kind(HTTPStatus.FORBIDDEN, "address_invalid"),
    errors.RoleRejected: Kind(HTTPStatus.FORBIDDEN, "access_denied"),
    errors.KeyNotFound: Kind(HTTPStatus.NOT_FOUND, "key_not_found"),
    errors.NewKeyRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "new_key_invalid"),
    errors.LastAdminKey: Kind(HTTPStatus.CONFLICT, "last_admin_key"),
    errors.TooManyRequests: Kind(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited"),
    errors.IdempotencyKeyRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key_invalid"),
    errors.IdempotencyKeyReused: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
    errors.IdempotencyKeyInUse: Kind(HTTPStatus.CONFLICT, "idempotency_key_in_use"),
    errors.FeedbackRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "feedback_invalid"),
    errors.GoldenQueryNotFound: Kind(HTTPStatus.NOT_FOUND, "golden_query_not_found"),
    errors.GoldenQueryRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "golden_query_invalid"),
    errors.EvaluationNotFound: Kind(HTTPStatus.NOT_FOUND, "evaluation_not_found"),
    errors.EvaluationRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "evaluation_invalid"),
    errors.AnswerOutdated: Kind(HTTPStatus.CONFLICT, "answer_outdated"),
    errors.CursorRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "cursor_invalid"),
    errors.CollectionNotFound: Kind(HTTPStatus.NOT_FOUND, "collection_not_found"),
    errors.CollectionExists: Kind(HTTPStatus.CONFLICT, "collection_exists"),
    errors.CollectionRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "collection_invalid"),
    errors.GenerationNotFound: Kind(HTTPStatus.NOT_FOUND, "generation_not_found"),
    errors.GenerationConflict: Kind(HTTPStatus.CONFLICT, "generation_conflict"),
    errors.ModelUnavailable: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "model_unavailable"),
    errors.UploadRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "upload_invalid"),
    errors.ImageUnsupported: Kind(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "image_unsupported"),
    errors.ImageCorrupt: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "image_corrupt"),
    errors.ImageTooLarge: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "image_too_large"),
    errors.ImageTooNarrow: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "image_too_narrow"),
    errors.ImageVanished: Kind(HTTPStatus.NOT_FOUND, "image_vanished"),
    errors.SelectionTooLarge: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "selection_too_large"),
    errors.RangeNotSatisfiable: Kind(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "range_not_satisfiable"
    ),
    errors.UrlNotAllowed: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "url_not_allowed"),
    errors.UrlUnreadable: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "url_unreadable"),
    errors.EntryRefused: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "archive_entry_refused"),
    errors.AnnotationInvalid: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "annotation_invalid"),
    errors.ArchiveRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "archive_invalid"),
    errors.SourceUnavailable: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "source_unavailable"),
    errors.StorageUnwritable: Kind(HTTPStatus.INSUFFICIENT_STORAGE, "storage_unwritable"),
    errors.SourceNotAllowed: Kind(HTTPStatus.FORBIDDEN, "source_not_allowed"),
    errors.JobNotFound: Kind(HTTPStatus.NOT_FOUND, "job_not_found"),
    errors.JobConflict: Kind(HTTPStatus.CONFLICT, "job_conflict"),
    errors.ImageNotFound: Kind(HTTPStatus.NOT_FOUND, "image_not_found"),
    errors.PageNotFound: Kind(HTTPStatus.NOT_FOUND, "page_not_found"),
    errors.ImageChanged: Kind(HTTPStatus.PRECONDITION_FAILED, "image_changed"),
    errors.ExternalIdTaken: Kind(HTTPStatus.CONFLICT, "external_id_taken"),
    errors.Interrupted: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "interrupted"),
    errors.IndexGone: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "index_gone"),
}
"""The kind of each leaf of ImageSearchError; of StartErrors, a request can meet only one."""

CODES = {
    400: "request_malformed",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    414: "address_too_long",
    415: "content_type_unsupported",
    416: "range_not_satisfiable",
    422: "request_invalid",
    431: "headers_too_large",
    500: "internal_error",
    503: "unavailable",
    507: "disk_full",
}
"""The code of a problem that is none of these errors, by its status."""
DATABASE_BUSY = "database_busy"
DATABASE_READ_ONLY = "database_read_only"
DATABASE_UNAVAILABLE = "database_unavailable"
QUERY_TOO_SLOW = "query_too_slow"

PROBLEM = "Problem"  # the schema's name in the document
DETAILS = {
    400: "The request ended before its body did.",
    401: "An API key is needed: send Authorization: Bearer <key> or X-API-Key: <key>.",
    403: "This folder is not open to requests: IMAGE_SEARCH_IMAGES_DIR and "
    "IMAGE_SEARCH_SOURCE_DIRS name those that are.",
    404: "There is no picture with id 1000000.",
    405: "Method Not Allowed.",
    408: "The body did not arrive within 30 s.",
    409: "Job 1 has ended as succeeded: there is nothing to cancel.",
    412: "Picture 112 was changed since: read it again.",
    413: "The request is larger than 20 MB, the most that is taken.",
    415: "This is not a picture in one of these formats: AVIF, BMP, GIF, HEIF, JPEG, PNG, TIFF, "
    "WEBP, camera raw.",
    416: "The file has 12367 bytes.",
    431: "The headers have more than 65536 bytes.",
    429: "More than 100 per 1 second of this key: try again later.",
    422: "query limit: Input should be less than or equal to 100.",
    507: "/srv/uploads cannot be written: No space left on device. Nothing of this was kept.",
    503: "The database cannot answer now; try again in a moment.",
}
"""An example of a detail for each status, for the OpenAPI document."""


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can answer with these statuses."""
    return {status: _response(status) for status in statuses}


def _response(status: int) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{PROBLEM}"}
    shown = {"schema": reference, "example": _body(status, DETAILS[status])}
    told = {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: shown}}
    retry = {"schema": {"type": "integer"}, "description": "seconds to wait before trying again"}
    return told | ({"headers": {"Retry-After": retry}} if status in {429, 503} else {})


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """A problem+json response; `more` are extension members."""
    body = {**_body(status, detail), **more}
    retry = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else {}
    return JSONResponse(body, status, {**retry, **(headers or {})}, media_type=MEDIA_TYPE)


def _body(status: int, detail: str) -> dict[str, Any]:
    kind = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    return {**kind, "code": CODES.get(status, CODES[400]), "detail": detail}


def status_of(error: errors.ImageSearchError) -> int:
    """The HTTP status of a domain error."""
    return KINDS[type(error)].status


def code_of(error: errors.ImageSearchError) -> str:
    """The code of a domain error."""
    return KINDS[type(error)].code


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
        return problem(422, " ".join(map(sentence, faults)), errors=faults)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404 and (location := _moved(request)):
            return RedirectResponse(location)
        if full := _full_disk(error.__cause__):  # FastAPI calls it an error of the body
            return full
        headers = {"Allow": _methods(request)} if error.status_code == 405 else error.headers
        return problem(error.status_code, f"{error.detail.rstrip('.')}.", headers)

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
        if isinstance(error.orig, QueryCanceled):
            return problem(503, TOO_LONG, code=QUERY_TOO_SLOW)
        if isinstance(error.orig, ReadOnlySqlTransaction):
            return problem(
                503, "The database takes no changes now, only searches.", code=DATABASE_READ_ONLY
            )
        if is_unavailable(error):
            log.warning("database: %s", error.orig)
            return problem(503, DETAILS[503], code=DATABASE_UNAVAILABLE)
        return unexpected(request, error)


def _full_disk(error: BaseException | None) -> JSONResponse | None:
    """A 507 if the temporary folder is full; our own folders raise StorageUnwritable."""
    if not isinstance(error, OSError) or error.errno not in FULL:
        return None
    return problem(507, f"The disk of temporary files (TMPDIR) is full: {error.strerror}.")
