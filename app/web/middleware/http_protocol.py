"""uvicorn's HTTP/1.1, with bounds on clients that are slow to ask or slow to read."""

import resource
import socket
from asyncio import TimerHandle, Transport
from contextlib import suppress
from typing import ClassVar
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from app.web.middleware.client_address import client_address
from app.web.middleware.connection_limits import ConnectionLimits
from app.web.problems.problems import problem

HEADER_SECONDS = 10.0  # until the headers of a request are there, all of them
LEFTOVER_SECONDS = 30.0  # after an answer, for the rest of a body that nobody waited for
SEND_SECONDS = 60.0  # in which a client has to take some of what waits for it
MAX_HEADER_BYTES = 65_536  # that may arrive without the end of the headers in sight
MAX_ADDRESS_BYTES = 65_535  # of a path and its query: httptools reads no more
UNSENT_BYTES = 131_072  # that the kernel takes from us ahead of a client

MAX_CONNECTIONS = 2_000  # at a time; for one more an idle one is closed, or it is answered 503
RESERVED_FILES = 200  # for pictures, the database and all else that is no client

LATE = "The request's headers did not arrive within {:g} s."
HEALTH = {b"healthz", b"readyz"}  # below any prefix; answered also with too many connections
FULL = problem(503, "There are too many connections: try again.", {"Connection": "close"})
LARGE = f"The request's headers are larger than {MAX_HEADER_BYTES:,} bytes, the maximum."

LONG_ADDRESS = (
    f"The address has more than {MAX_ADDRESS_BYTES:,} bytes: send a long filter or cursor in the "
    "body of POST /api/v1/search."
)
INVALID = "This is not an HTTP/1.1 request: its first line or its headers are malformed."


def most_connections() -> int:
    """How many clients there may be at a time, with as many files open as the system allows."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + RESERVED_FILES
    if now == resource.RLIM_INFINITY or now >= wanted:
        return MAX_CONNECTIONS
    allowed = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    return max(1, allowed - RESERVED_FILES)


class BoundedProtocol(HttpToolsProtocol):
    """A connection that no client can hold by doing nothing, or next to nothing.

    uvicorn and httptools bound neither the time nor the bytes of headers, nor the time in which
    an answer is read. Bodies are bounded where they are read: see `body_timeout.py`.
    """

    header_seconds = HEADER_SECONDS
    leftover_seconds = LEFTOVER_SECONDS
    send_seconds = SEND_SECONDS

    _limits_of: ClassVar[WeakKeyDictionary[ServerState, ConnectionLimits]] = WeakKeyDictionary()

    _asking: TimerHandle | None = None  # runs only while the client is to send headers
    _reading: TimerHandle | None = None  # runs only while something waits to be sent
    _unended_bytes = 0  # since the last end of headers, piece of a body, or end of it
    _is_in_headers = False
    _is_in_body = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self.limit_concurrency = None  # uvicorn's own check, which makes no exception for health
        if not self._limits.add(self, client_address({"client": self.client})):
            transport.abort()
            return
        transport.set_write_buffer_limits(high=0)  # to hear of every byte that has to wait
        with suppress(AttributeError, OSError):  # else a slow reader looks like one that stopped
            end = transport.get_extra_info("socket")
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self._expect_headers(self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave no timer behind."""
        self._stop_timers()
        self._limits.discard(self)
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Hand over to a protocol with timers of its own."""
        self._stop_timers()
        self._limits.discard(self)
        super().handle_websocket_upgrade()

    def _stop_timers(self) -> None:
        for timer in (self._asking, self._reading):
            if timer:
                timer.cancel()
        self._asking = self._reading = None

    # What the client sends

    def data_received(self, data: bytes) -> None:
        """Parse; bytes that get a request no further are counted."""
        self._unended_bytes += len(data)
        super().data_received(data)
        if self._unended_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self._refuse_large(431, LARGE)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._is_in_headers = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The client has asked: what takes time from now on is ours, or the body's."""
        self._unended_bytes = 0
        self._is_in_headers, self._is_in_body = False, True
        if self._asking:
            self._asking.cancel()
        self._limits.set_busy(self)
        name = self.url.partition(b"?")[0].rpartition(b"/")[2]
        if self._limits.is_full(self) and name not in HEALTH:
            self._answer_full()
        else:
            super().on_headers_complete()

    def _answer_full(self) -> None:
        app, self.app = self.app, FULL
        super().on_headers_complete()
        self.app = app

    def close_idle(self) -> None:
        """Close the connection for another one's sake."""
        self.transport.close()

    @property
    def _limits(self) -> ConnectionLimits:
        """Those of the server, whose connections share them."""
        found = self._limits_of.get(self.server_state)
        if found is None:
            found = ConnectionLimits(self.config.limit_concurrency or MAX_CONNECTIONS)
            self._limits_of[self.server_state] = found
        return found

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._unended_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body's end, which may come after the answer."""
        self._unended_bytes = 0
        self._is_in_body = False
        super().on_message_complete()
        self._expect_next()

    def on_response_complete(self) -> None:
        """The answer's end."""
        super().on_response_complete()
        self._expect_next()

    def _expect_next(self) -> None:
        is_answered = self.cycle is not None and self.cycle.response_complete
        if is_answered and not self.transport.is_closing():
            next_seconds = self.timeout_keep_alive + self.header_seconds
            self._expect_headers(self.leftover_seconds if self._is_in_body else next_seconds)

    def _expect_headers(self, seconds: float) -> None:
        if self._asking:
            self._asking.cancel()
        self._limits.set_waiting(self)
        self._asking = self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        if self._is_in_headers and not self.transport.is_closing():
            self._refuse(408, LATE.format(self.header_seconds))
        else:  # who has asked for nothing is told nothing
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, or one whose address httptools does not read."""
        self._refuse_large(400, INVALID)

    def _refuse_large(self, status: int, detail: str) -> None:
        """Refuse the address if it is too long, or else as told."""
        if len(self.url) > MAX_ADDRESS_BYTES:
            status, detail = 414, LONG_ADDRESS
        self._refuse(status, detail)

    def _refuse(self, status: int, detail: str) -> None:
        """Answer with a problem and close; or only close, amid another answer."""
        if self.cycle is not None and not self.cycle.response_complete:
            return self.transport.abort()
        answer = problem(status, detail, headers={"Connection": "close"})
        headers = [*self.server_state.default_headers, *answer.raw_headers]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[status], lines, bytes(answer.body)))
        self.transport.close()
        return None

    # What the client reads

    def pause_writing(self) -> None:
        """The client is behind: it has to read on, a closed connection's rest too."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._reading:
            self._reading.cancel()
        super().resume_writing()

    def _expect_reading(self) -> None:
        waiting_bytes = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(self.send_seconds, self._look, waiting_bytes)

    def _look(self, waiting_bytes: int) -> None:
        if self.transport.get_write_buffer_size() < waiting_bytes:
            self._expect_reading()
        else:
            self.transport.abort()  # to close would wait for the client
