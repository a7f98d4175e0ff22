"""Bodies that have to be JSON say so: a page of another origin can send any other unasked."""

from email.message import Message

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

NOT_JSON = "Send the body as JSON, with the header Content-Type: application/json"


def check_is_json(headers: Headers) -> None:
    """Raise HTTPException (415) if there is a body, and its media type is not one of JSON."""
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if has_body and not is_json(headers.get("content-type", "")):
        raise HTTPException(415, NOT_JSON)


def is_json(content_type: str) -> bool:
    """Whether the media type is `application/json`, or one that is built on it."""
    message = Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    is_named = subtype == "json" or subtype.endswith("+json")
    return message.get_content_maintype() == "application" and is_named
