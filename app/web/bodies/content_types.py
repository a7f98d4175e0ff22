"""Bodies say what they are.

Those that have to be JSON do, since a page of another origin can send any other unasked; and forms
do, since a file that is sent as it is would be read as a form with odd names.
"""

from email.message import Message

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

NOT_JSON = "Send the body as JSON, with the header Content-Type: application/json"
NOT_FORM = (
    "Send the body as a form, with the header Content-Type: multipart/form-data, as "
    "`curl -F file=@picture.jpg` does"
)

ARCHIVES = {"zip", "x-zip-compressed", "x-tar", "gzip", "x-gzip", "x-gtar"}  # media types' ends
ARCHIVE_ROUTE = "For an archive: `curl -F archive=@pictures.zip …/api/v1/images`"


def check_is_json(headers: Headers) -> None:
    """Raise HTTPException (415) if there is a body, and its media type is not one of JSON."""
    if _has_body(headers) and not is_json(headers.get("content-type", "")):
        raise HTTPException(415, NOT_JSON)


def check_is_form(headers: Headers) -> None:
    """Raise HTTPException (415) if there is a body, and it is not said to be a form with files."""
    content_type = headers.get("content-type", "")
    if _has_body(headers) and not is_form(content_type):
        is_archive = _parsed(content_type).get_content_subtype() in ARCHIVES
        raise HTTPException(415, f"{NOT_FORM}. {ARCHIVE_ROUTE}" if is_archive else NOT_FORM)


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def is_json(content_type: str) -> bool:
    """Whether the media type is `application/json`, or one that is built on it."""
    message = _parsed(content_type)
    subtype = message.get_content_subtype()
    is_named = subtype == "json" or subtype.endswith("+json")
    return message.get_content_maintype() == "application" and is_named


def is_form(content_type: str) -> bool:
    """Whether the media type is that of a form which may hold files."""
    return _parsed(content_type).get_content_type() == "multipart/form-data"


def _parsed(content_type: str) -> Message:
    message = Message()
    message["content-type"] = content_type
    return message
