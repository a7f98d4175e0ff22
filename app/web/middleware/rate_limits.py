"""Rate limits: how many requests an address and an API key may send in a time."""

import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal

from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from app.errors import TooManyRequests

Lane = Literal["search", "upload", "events", "other", "keys", "lookups"]
"""Requests that share limits.

`keys` makes, lists and revokes API keys; `lookups` looks them up, which any request can cause.
"""

KEYS_RATE = "60/minute"  # of the lane `keys`: the rows of keys are never deleted


QUOTA = "quota"  # in a request's state


@dataclass(frozen=True)
class Quota:
    """What a key or an address has left: `remaining` requests for the next `seconds`.

    `amount` requests in `window` seconds are allowed.
    """

    lane: Lane
    amount: int
    window: int
    remaining: int
    seconds: int

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers-10 has them."""
        return {
            "RateLimit-Policy": f'"{self.lane}";q={self.amount};w={self.window}',
            "RateLimit": f'"{self.lane}";r={self.remaining};t={self.seconds}',
        }


class RateLimits:
    """Counts requests in sliding windows, in this process only.

    `rates` are the limits by lane; a lane without one, or with None, is unlimited.
    """

    def __init__(self, rates: Mapping[Lane, RateLimitItem | None]) -> None:
        self._rates = rates
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def count(
        self,
        lane: Lane,
        kind: Literal["address", "key"],
        name: str,
        state: MutableMapping[str, Any],
        requests: int = 1,
    ) -> None:
        """Count requests of the address or key `name`, and put its quota into the request's state.

        A request that is counted twice has the quota with fewer requests left. Raises
        TooManyRequests.
        """
        rate = self._rates.get(lane)
        if rate is None:
            return
        is_allowed = self._limiter.hit(rate, lane, kind, name, cost=requests)
        stats = self._limiter.get_window_stats(rate, lane, kind, name)
        seconds = max(1, round(stats.reset_time - time.time()))
        quota = Quota(lane, rate.amount, rate.get_expiry(), stats.remaining, seconds)
        if QUOTA not in state or quota.remaining < state[QUOTA].remaining:
            state[QUOTA] = quota
        if not is_allowed:
            raise TooManyRequests(f"More than {rate} from this {kind}: try again later.", seconds)
