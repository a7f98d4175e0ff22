"""Whether a request is sent again, and when."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from picture_search_client.errors import Outcome

ATTEMPTS = 5  # including the first
PASSING = {429, 502, 503, 504}
FIRST_SECONDS, MOST_SECONDS = 0.5, 60.0  # before another attempt
FIRST_POLL_SECONDS, MOST_POLL_SECONDS = 0.1, 5.0  # between two looks at a job


def seconds_before_next(outcome: Outcome, attempt: int) -> float | None:
    """How long to wait before the attempt after this one, counted from 1; None: do not try again.

    The service's Retry-After counts, unless it is longer than MOST_SECONDS: then the caller had
    better know.
    """
    response = outcome if isinstance(outcome, httpx.Response) else None
    if attempt >= ATTEMPTS or (response is not None and response.status_code not in PASSING):
        return None
    told = None if response is None else _retry_after(response)
    if told is not None:
        return told if told <= MOST_SECONDS else None
    longest = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1)  # noqa: S311  # so that clients do not come together


def _retry_after(response: httpx.Response) -> float | None:
    """In seconds; as the header says it, in seconds or as a date."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def poll_pauses() -> Iterator[float]:
    """The seconds between looks at a job: longer and longer."""
    pause = FIRST_POLL_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, MOST_POLL_SECONDS)
