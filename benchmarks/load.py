"""A lightweight client: many connections on one thread, each with one request at a time.

It uses as little of the machine as it can, since server and client share its cores.
"""

import selectors
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

HOST = "127.0.0.1"
PIECE = 65_536  # bytes read at a time
ANSWER_SECONDS = 60.0  # to wait for an answer
FOREVER = float("inf")
HITS = 10  # asked for in each search


class RequestFailed(Exception):
    """The server answered with an error, or not at all."""


@dataclass(frozen=True)
class Load:
    """Seconds of each answer, in the order in which they ended, and of the whole load."""

    times: list[float]
    elapsed: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.times) / self.elapsed


def by_text(text: str) -> bytes:
    """A request for the flat search by text."""
    return request("GET", f"/search-by-text?query={quote(text)}&limit={HITS}")


def by_image(data: bytes) -> bytes:
    """A request for the flat search by picture, with a JPEG's bytes."""
    return request("POST", f"/search-by-image?limit={HITS}", data, "image/jpeg")


def request(method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
    """A request as the bytes that go over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n"
    if body:
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


@dataclass(eq=False)
class _Client:
    socket: socket.socket
    began: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    def send(self, data: bytes) -> None:
        self.received.clear()
        self.began = time.perf_counter()
        self.socket.sendall(data)

    def is_answered(self) -> bool:
        """Read what has arrived; whether the answer is complete. Raises RequestFailed."""
        data = self.socket.recv(PIECE)
        self.received += data
        head, parted, body = bytes(self.received).partition(b"\r\n\r\n")
        if not data:
            raise RequestFailed(f"the connection was closed after {head[:200]!r}")
        if not parted:
            return False
        if len(body) < _length(head):
            return False
        if not head.startswith(b"HTTP/1.1 2"):
            raise RequestFailed(f"{head[:12]!r}: {body[:500]!r}")
        return True


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise RequestFailed(f"no length in {head[:200]!r}")


def drive(
    port: int,
    requests: Iterable[bytes],
    clients: int = 1,
    seconds: float = FOREVER,
    pause: float = 0.0,
) -> Load:
    """Send requests over `clients` connections until they run out or `seconds` have passed.

    A lone client waits `pause` seconds between two requests. Raises RequestFailed.
    """
    waiting = iter(requests)
    times: list[float] = []
    began = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        try:
            _begin(selector, port, waiting, clients)
            while selector.get_map():
                for client in _answered(selector):
                    times.append(time.perf_counter() - client.began)
                    if pause:
                        time.sleep(pause)
                    _go_on(selector, client, waiting, time.perf_counter() - began < seconds)
        finally:
            for key in list((selector.get_map() or {}).values()):
                key.data.socket.close()
    return Load(times, time.perf_counter() - began)


def _begin(
    selector: selectors.BaseSelector, port: int, waiting: Iterator[bytes], clients: int
) -> None:
    for _ in range(clients):
        connection = socket.create_connection((HOST, port), ANSWER_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = _Client(connection)
        selector.register(connection, selectors.EVENT_READ, client)
        _go_on(selector, client, waiting, has_time=True)


def _answered(selector: selectors.BaseSelector) -> Iterator[_Client]:
    """Of the clients with something to read, those whose answers are complete."""
    ready = selector.select(ANSWER_SECONDS)
    if not ready:
        raise RequestFailed(f"no answer for {ANSWER_SECONDS:.0f} s")
    return (key.data for key, _ in ready if key.data.is_answered())


def _go_on(
    selector: selectors.BaseSelector, client: _Client, waiting: Iterator[bytes], has_time: bool
) -> None:
    following = next(waiting, None) if has_time else None
    if following is None:
        selector.unregister(client.socket)
        client.socket.close()
    else:
        client.send(following)
