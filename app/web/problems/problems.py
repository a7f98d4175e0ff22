"""Every error as problem+json (RFC 9457): one table from the domain's errors to HTTP."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi.responses import JSONResponse

from app import errors
from app.access.authentication import ASK, HOW
from app.index.scan_settings import STATEMENT_TIMEOUT_MS

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
TOO_LONG = (
    f"This would take the database longer than {STATEMENT_TIMEOUT_MS // 1000} s. Ask for less: use "
    "a narrower filter, fewer facets or rarer words, or leave out `exact`."
)


class Kind(NamedTuple):
    """The HTTP status of an error, and the code that programs tell it by; neither changes."""

    status: HTTPStatus
    code: str


QUERY_TOO_SLOW = "query_too_slow"

KINDS: dict[type[errors.ImageSearchError], Kind] = {
    errors.QueryEmpty: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "query_empty"),
    errors.QueryRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "query_invalid"),
    errors.FilterRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "filter_invalid"),
    errors.QueryTooSlow: Kind(HTTPStatus.SERVICE_UNAVAILABLE, QUERY_TOO_SLOW),
    errors.Busy: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "busy"),
    errors.TokenRejected: Kind(HTTPStatus.UNAUTHORIZED, "token_invalid"),
    errors.KeyRejected: Kind(HTTPStatus.UNAUTHORIZED, "key_invalid"),
    errors.AddressRejected: Kind(HTTPStatus.FORBIDDEN, "address_invalid"),
    errors.RoleRejected: Kind(HTTPStatus.FORBIDDEN, "access_denied"),
    errors.KeyNotFound: Kind(HTTPStatus.NOT_FOUND, "key_not_found"),
    errors.NewKeyRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "new_key_invalid"),
    errors.NewKeyOutlives: Kind(HTTPStatus.FORBIDDEN, "new_key_outlives"),
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
    errors.LabelsRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "labels_invalid"),
    errors.StandingSearchNotFound: Kind(HTTPStatus.NOT_FOUND, "standing_search_not_found"),
    errors.StandingSearchRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "standing_search_invalid"),
    errors.AnnotatorUnavailable: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "annotator_unavailable"),
    errors.LabelSetNotFound: Kind(HTTPStatus.NOT_FOUND, "label_set_not_found"),
    errors.GateUnready: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "gate_unready"),
    errors.GenerationNotFound: Kind(HTTPStatus.NOT_FOUND, "generation_not_found"),
    errors.GenerationConflict: Kind(HTTPStatus.CONFLICT, "generation_conflict"),
    errors.ModelUnavailable: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "model_unavailable"),
    errors.UploadRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "upload_invalid"),
    errors.WebhookRejected: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "webhook_invalid"),
    errors.ImageUnsupported: Kind(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "image_unsupported"),
    errors.ImageCorrupt: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "image_corrupt"),
    errors.ImageTooLarge: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "image_too_large"),
    errors.ImageTooNarrow: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "image_too_narrow"),
    errors.ImageVanished: Kind(HTTPStatus.NOT_FOUND, "image_vanished"),
    errors.GateRefused: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "gate_refused"),
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
"""The kind of each leaf of ImageSearchError; of StartErrors, a request can meet only
ModelUnavailable and those below it, which have its kind."""

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

PROBLEM = "Problem"  # the schema's name in the document
PROBLEM_STUB = {"type": "object", "title": PROBLEM}
"""Stands for that schema in payloads: pydantic knows no schemas but its own."""
NO_ADDRESS = "There is no such address: /docs lists all."
NO_METHOD = "This address does not take this method: the header Allow names those that it takes."
DATABASE_SILENT = "The database cannot answer now; try again in a moment."
READS_GO_ON = (
    "The primary database does not answer: its replicas still answer searches, but nothing can be "
    "changed until it is back."
)
DATABASE_FULL = "The disk of the database is full: nothing can be changed until there is room."
EXAMPLES = {
    400: ("request_malformed", "The request ended before its body did."),
    401: (
        "key_invalid",
        f"This needs a key: {ASK}. {HOW}",
    ),
    403: (
        "access_denied",
        "Your key is for the namespace elsewhere, not for default: leave `namespace` out, or send "
        "a key that was made for it.",
    ),
    404: ("not_found", NO_ADDRESS),
    405: ("method_not_allowed", NO_METHOD),
    408: ("request_timeout", "The request's body came too slowly."),
    409: ("job_conflict", "Job 1 has ended as succeeded: there is nothing to cancel."),
    412: (
        "image_changed",
        "Picture 112 was changed since the version that If-Match names: read it again, and send "
        "the ETag that comes with it.",
    ),
    413: ("request_too_large", "The request is larger than 25 MB, the maximum."),
    415: ("content_type_unsupported", "Send the body as JSON."),
    416: ("range_not_satisfiable", "The file has 12367 bytes."),
    422: ("request_invalid", "query parameter limit: send a number of at most 100."),
    429: ("rate_limited", "More than 100 per 1 second from this key: try again later."),
    431: ("headers_too_large", "The request's headers are too large."),
    503: (DATABASE_UNAVAILABLE, DATABASE_SILENT),
    507: (
        "storage_unwritable",
        "/srv/uploads cannot be written: No space left on device. Make room there, or "
        "make it writable.",
    ),
}
"""Code and detail of an example for each status; `openapi/error_examples.py` has closer ones."""


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can answer with these statuses."""
    return {status: _response(status) for status in statuses}


def _response(status: int) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{PROBLEM}"}
    code, detail = EXAMPLES[status]
    shown = {"schema": reference, "example": problem_body(status, detail, code=code)}
    told = {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: shown}}
    retry = {"schema": {"type": "integer"}, "description": "seconds to wait before trying again"}
    return told | ({"headers": {"Retry-After": retry}} if status in {429, 503} else {})


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """A problem+json response; `more` are extension members."""
    body = problem_body(status, detail, **more)
    retry = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else {}
    return JSONResponse(body, status, {**retry, **(headers or {})}, media_type=MEDIA_TYPE)


def problem_body(status: int, detail: str, **more: Any) -> dict[str, Any]:
    """The document of a problem, with `more` as extension members."""
    kind = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    return {**kind, "code": CODES.get(status, CODES[400]), "detail": detail, **more}


def problem_of(error: errors.ImageSearchError) -> dict[str, Any]:
    """The document of a domain error."""
    return problem_body(status_of(error), str(error), code=code_of(error))


def status_of(error: errors.ImageSearchError) -> int:
    """The HTTP status of a domain error."""
    return _kind_of(error).status


def code_of(error: errors.ImageSearchError) -> str:
    """The code of a domain error."""
    return _kind_of(error).code


def _kind_of(error: errors.ImageSearchError) -> Kind:
    """That of its class, or of the nearest class above it that has one."""
    return next(KINDS[one] for one in type(error).__mro__ if one in KINDS)
