"""What each operation's errors look like in the document: the code and the words of a real one."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from app.access.authentication import Caller
from app.web.bodies.content_types import NOT_JSON
from app.web.middleware.body_timeout import BODY_SECONDS, MIN_BYTES_PER_SECOND
from app.web.middleware.http_protocol import LARGE
from app.web.payloads.jobs.job_submission import WRONG_KIND
from app.web.problems.problems import MEDIA_TYPE, problem_body
from app.web.problems.sent_names import suggestion
from app.web.problems.validation_errors import FIELD_UNKNOWN, sentence

Node = dict[str, Any]

JSON = "application/json"

NO_JSON = "json_invalid", "The body is not JSON: Expecting value at line 1 column 1."
TOO_SLOW = (
    f"The request's body came too slowly: send {MIN_BYTES_PER_SECOND:,} bytes/s or more, without a "
    f"pause of {BODY_SECONDS:g} s."
)
IN_USE = "A request with this Idempotency-Key is being answered. Send it again in a moment."
NO_EVALUATION = (
    "Job 1000000 has no result of an evaluation of this collection: it is still running, "
    "ended without one, or is not an evaluation."
)
EXISTS = (
    "The collection holidays already exists in the namespace default: choose another name, or "
    "delete that one first."
)
BUILDING = "Job 1 reindexes this collection already: wait for its end, or cancel it."
NOT_READY = (
    "Generation 2 is building: only one that is ready, or was active before, can be activated."
)
TAKEN = (
    "Picture 112 already has the external_id 'sku-4711', and a collection can have each "
    "external_id only once."
)
NOT_A_PICTURE = (
    "This is not a picture in one of these formats: AVIF, BMP, GIF, HEIF, JPEG, PNG, TIFF, WEBP, "
    "camera raw."
)
SOURCES = (
    "This folder is not open to requests: IMAGE_SEARCH_IMAGES_DIR and IMAGE_SEARCH_SOURCE_DIRS "
    "name those that are."
)
OUTDATED = "This answer came from a model that is no longer used, and its query was a picture."
TOO_MANY_BYTES = (
    "These pictures have 2.3 GB together; a zip may have 2 GB. Download them in several parts."
)
IMPORT = "^POST /api/v1/images$"
PICTURES = r"^POST (/upload|/search-by-image|.*/images)$|by-external-id"  # bodies that are pictures


class Example(NamedTuple):
    """What operations that match `where` say with a status; `where` is searched in METHOD /path."""

    status: int
    where: str
    code: str
    detail: str


EXAMPLES = (
    Example(404, r"\{image_id\}", "image_not_found", "There is no picture with id 1000000."),
    Example(404, "/evaluations/", "evaluation_not_found", NO_EVALUATION),
    Example(404, r"\{job_id\}", "job_not_found", "There is no job with id 1000000."),
    Example(
        404,
        r"\{golden_query_id\}",
        "golden_query_not_found",
        "This collection has no golden query 1000000.",
    ),
    Example(404, r"\{set\}", "label_set_not_found", "This collection has no label set kind."),
    Example(404, r"\{key_id\}", "key_not_found", "There is no key 1000000."),
    Example(
        404,
        r"\{external_id\}",
        "image_not_found",
        "There is no picture with the external id sku-4711.",
    ),
    Example(
        404,
        "",
        "collection_not_found",
        "There is no collection holidays in the namespace default: create it first, by POST "
        "/api/v1/collections, or name one that is there.",
    ),
    Example(403, IMPORT, "source_not_allowed", SOURCES),
    Example(409, "^(POST|PATCH) /api/v1/collections(/{name})?$", "collection_exists", EXISTS),
    Example(
        409,
        "/jobs/",
        "job_conflict",
        "Job 1 has ended as succeeded: there is nothing to cancel.",
    ),
    Example(409, "/reindex$", "generation_conflict", BUILDING),
    Example(409, "/(generations/|rollback)", "generation_conflict", NOT_READY),
    Example(409, "^(PUT|PATCH) .*/images", "external_id_taken", TAKEN),
    Example(409, "feedback", "answer_outdated", OUTDATED),
    Example(409, "", "idempotency_key_in_use", IN_USE),
    Example(413, "/zip$", "selection_too_large", TOO_MANY_BYTES),
    Example(
        413,
        PICTURES,
        "image_too_large",
        "The picture has 12000 × 9000 pixels; 50 megapixels are allowed.",
    ),
    Example(415, IMPORT, "content_type_unsupported", f"{WRONG_KIND}."),
    Example(415, PICTURES, "image_unsupported", NOT_A_PICTURE),
    Example(415, "", "content_type_unsupported", f"{NOT_JSON}."),
    Example(408, "", "request_timeout", TOO_SLOW),
    Example(431, "", "headers_too_large", LARGE),
)
"""The first that fits counts; where none does, `problem_responses` has the example."""


def add_examples(operation: Node, method: str, path: str, schemas: Mapping[str, Any]) -> None:
    """Give each error of the operation an example of its own, in place of that of its status."""
    for status, answer in operation["responses"].items():
        if status < "400":
            continue
        shown = _example(operation, f"{method.upper()} {path}", int(status), schemas)
        if shown is not None:
            media = answer["content"][MEDIA_TYPE]
            answer["content"] = {MEDIA_TYPE: {**media, "example": shown}}


def _example(operation: Node, name: str, status: int, schemas: Mapping[str, Any]) -> Node | None:
    if status == 422:
        return _refusal(operation, schemas)
    if status == 400 and JSON in operation["requestBody"]["content"]:
        return problem_body(400, NO_JSON[1], code=NO_JSON[0])
    for one in EXAMPLES:
        if one.status == status and re.search(one.where, name):
            return problem_body(status, one.detail, code=one.code)
    if status == 403 and operation.get("x-role") != "reader":
        return problem_body(
            403,
            Caller("reader", "default", key_id=1).lacks(operation["x-role"]),
            code="access_denied",
        )
    return None


def _refusal(operation: Node, schemas: Mapping[str, Any]) -> Node:
    """The answer to a misspelt field of the JSON body, or else to a misspelt parameter."""
    fields = _json_fields(operation, schemas)
    parameters = operation.get("parameters", ())
    names = [one["name"] for one in parameters if one["in"] == "query"]
    place, code = ("body", FIELD_UNKNOWN) if fields else ("query", "parameter_unknown")
    kind = "field" if fields else "parameter"
    known = fields or names
    misspelt = _misspelt(known)
    entry = {
        "loc": [place, misspelt],
        "code": code,
        "message": f"there is no {kind} of this name{suggestion(misspelt, known)}",
    }
    return problem_body(422, sentence(entry), errors=[entry])


def _json_fields(operation: Node, schemas: Mapping[str, Any]) -> list[str]:
    content = operation.get("requestBody", {}).get("content", {})
    reference = content.get(JSON, {}).get("schema", {}).get("$ref", "")
    return sorted(schemas.get(reference.rpartition("/")[2], {}).get("properties", {}))


def _misspelt(names: Iterable[str]) -> str:
    """The longest name without its last letter: near enough to be recognised."""
    return max(names, key=len, default="limits")[:-1]
