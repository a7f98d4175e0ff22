"""Rate limits: how many requests an address and an API key may send in a time."""

import time
from collections.abc import Mapping
from typing import Literal

from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from app.errors import TooManyRequests

Lane = Literal["search", "upload", "events", "other", "keys"]
"""Requests that share limits. `keys` is the look-up of API keys, which any request can cause."""


class RateLimits:
    """Counts requests in sliding windows, in this process only.

    `rates` are the limits by lane; a lane without one, or with None, is unlimited.
    """

    def __init__(self, rates: Mapping[Lane, RateLimitItem | None]) -> None:
        self._rates = rates
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def count(self, lane: Lane, kind: Literal["address", "key"], name: str) -> None:
        """Count a request of the address or key `name`. Raises TooManyRequests."""
        rate = self._rates.get(lane)
        if rate is not None and not self._limiter.hit(rate, lane, kind, name):
            reset = self._limiter.get_window_stats(rate, lane, kind, name).reset_time
            raise TooManyRequests(
                f"More than {rate} of this {kind}: try again later.",
                max(1, round(reset - time.time())),
            )
