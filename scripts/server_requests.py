"""Requests to the running server, repeated while it asks the client to wait."""

import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from app.command_names import typed

CREATE_READER_KEY = typed("create-key", NAMESPACE="default", ROLE="reader", NAME="me")
KEY = "KEY"  # the variable with the API key, of make or of the environment
TRIES = 5
LOOK_SECONDS = 5  # that a server may take to say that it is there
MAX_WAIT_SECONDS = 60  # a longer Retry-After is left to the user
WAITING = {429, 503}


def request(url: str, body: Mapping[str, Any] | None = None) -> Request:
    """A GET, or a POST of the body as JSON; with the API key in the variable KEY, if it is set."""
    headers = {"Content-Type": "application/json"} if body else {}
    if key := os.environ.get(KEY):
        headers["Authorization"] = f"Bearer {key}"
    data = json.dumps(body).encode() if body else None
    return Request(url, data, headers)  # noqa: S310  # ours, http


def upload_request(
    url: str, name: str, data: bytes, fields: Mapping[str, str] | None = None
) -> Request:
    """A POST of one file as a form, and of `fields` with it, with the key likewise."""
    boundary = secrets.token_hex(16)
    begin = f"--{boundary}\r\nContent-Disposition: form-data; name="
    parts = [
        f'{begin}"{field}"\r\n\r\n{value}\r\n'.encode("utf-8", "replace")
        for field, value in (fields or {}).items()
    ]
    written = name.encode("utf-8", "replace").replace(b'"', b"%22").replace(b"\n", b"%0A")
    head = f'{begin}"file"; filename="'.encode()
    end = f"\r\n--{boundary}--\r\n".encode()
    posted = request(url)
    posted.data = b"".join((*parts, head, written, b'"\r\n\r\n', data, end))
    posted.add_header("Content-Type", f"multipart/form-data; boundary={boundary}")
    return posted


def is_serving(address: str) -> bool:
    """Whether anything answers there."""
    try:
        urlopen(f"{address}/healthz", timeout=LOOK_SECONDS).close()  # noqa: S310  # ours, http
    except HTTPError:
        return True
    except (OSError, HTTPException):
        return False
    return True


@contextmanager
def sentences(address: str) -> Iterator[None]:
    """End the command with a sentence where the server at `address` refuses or is not there."""
    try:
        yield
    except HTTPError as error:
        sys.exit(_refusal(error, address))
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        sys.exit(f"No server answers at {address} ({reason}). Start it with `{typed('start')}`.")
    except (ValueError, LookupError):
        sys.exit(_another(address))


def _refusal(error: HTTPError, address: str) -> str:
    try:
        told = f"{error.code}: {json.load(error)['detail']}"
    except (ValueError, LookupError, TypeError):
        return _another(address)
    if error.code != 401:
        return told
    way = "Create another" if os.environ.get(KEY) else "Create one"
    return f"{told}\n{way} with `{CREATE_READER_KEY}`, and put KEY=isk_… before the command."


def _another(address: str) -> str:
    return (
        f"What answers at {address} is another program. Set IMAGE_SEARCH_API_PORT to this server's "
        "port."
    )


def ask(
    request: Request | str, timeout_seconds: float, sleep: Callable[[float], None] = time.sleep
) -> Any:
    """The answer's JSON, received as by `receive`. Raises HTTPError, URLError and ValueError."""
    return json.loads(receive(request, timeout_seconds, sleep))


def receive(
    request: Request | str, timeout_seconds: float, sleep: Callable[[float], None] = time.sleep
) -> bytes:
    """The answer's body; after a refusal with Retry-After it waits and tries again, a few times.

    Raises HTTPError and URLError.
    """
    for attempt in range(1, TRIES + 1):
        try:
            with urlopen(request, timeout=timeout_seconds) as answer:  # noqa: S310  # ours, http
                body: bytes = answer.read()
                return body
        except HTTPError as error:
            seconds = _retry_after(error)
            if attempt == TRIES or seconds is None:
                raise
            sleep(seconds)
    raise AssertionError


def _retry_after(error: HTTPError) -> float | None:
    """The seconds that a refusal asks the client to wait, if it asks and they are few."""
    text = error.headers.get("Retry-After", "")
    if error.code not in WAITING or not text.isdecimal() or int(text) > MAX_WAIT_SECONDS:
        return None
    return float(text)
