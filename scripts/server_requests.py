"""Requests to the running server, repeated while it asks the client to wait."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

TRIES = 5
MAX_WAIT_SECONDS = 60  # a longer Retry-After is left to the user
WAITING = {429, 503}


def ask(
    request: Request | str, timeout_seconds: float, sleep: Callable[[float], None] = time.sleep
) -> Any:
    """The answer's JSON; after a refusal with Retry-After it waits and tries again, a few times.

    Raises HTTPError and URLError.
    """
    for attempt in range(1, TRIES + 1):
        try:
            with urlopen(request, timeout=timeout_seconds) as answer:  # noqa: S310  # ours, http
                return json.load(answer)
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
