"""Connection limits: how many clients may be connected, in all and from each address.

A connection without a request under way is closed to make room for a new one, the one that has
waited longest first. So idle connections never keep anybody out.
"""

from collections import Counter
from typing import Protocol

MAX_SHARE = 0.5  # of all connections, for one address
SPARE_CONNECTIONS = 50  # beyond the limit, in which only the health of the service is asked


class Connection(Protocol):
    """What the limits know of a connection."""

    def close_idle(self) -> None:
        """Close it; no request is under way."""


class ConnectionLimits:
    """The connections of one server, at most `limit`; used on its event loop only."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._limit_of_address = max(1, int(limit * MAX_SHARE))
        self._addresses: dict[Connection, str] = {}
        self._of_address: Counter[str] = Counter()
        self._waiting: dict[str, dict[Connection, None]] = {}  # by address, longest first

    def add(self, connection: Connection, address: str) -> bool:
        """Count a new connection, closing another where there are too many; False: no room."""
        if self._of_address[address] >= self._limit_of_address:
            self._close_one(address)
        elif len(self._addresses) >= self._limit and self._waiting:
            self._close_one(max(self._waiting, key=lambda one: len(self._waiting[one])))
        if len(self._addresses) >= self._limit + SPARE_CONNECTIONS:
            return False
        self._addresses[connection] = address
        self._of_address[address] += 1
        return True

    def discard(self, connection: Connection) -> None:
        """The connection is closed, or will be."""
        self.set_busy(connection)
        address = self._addresses.pop(connection, None)
        if address is not None:
            self._of_address.subtract([address])
            if not self._of_address[address]:
                del self._of_address[address]

    def set_waiting(self, connection: Connection) -> None:
        """The client is to send a request: until then the connection may be closed."""
        address = self._addresses.get(connection)
        if address is not None:
            self.set_busy(connection)
            self._waiting.setdefault(address, {})[connection] = None

    def set_busy(self, connection: Connection) -> None:
        """A request is under way."""
        address = self._addresses.get(connection, "")
        waiting = self._waiting.get(address, {})
        waiting.pop(connection, None)
        if not waiting:
            self._waiting.pop(address, None)

    def is_full(self, connection: Connection) -> bool:
        """Whether the connection is one too many, since no other one could be closed."""
        address = self._addresses.get(connection, "")
        too_many = self._of_address[address] > self._limit_of_address
        return too_many or len(self._addresses) > self._limit

    def _close_one(self, address: str) -> None:
        for connection in self._waiting.get(address, {}):
            self.discard(connection)
            connection.close_idle()
            return
