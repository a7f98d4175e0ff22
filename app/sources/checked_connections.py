"""Connections to user-supplied hosts that do not lead into our own network (SSRF).

A host name is resolved once, all its addresses are checked, and the connection is made to one of
those addresses: a name server that would answer differently the second time (DNS rebinding) is
not asked again. SNI and certificate remain those of the name. Proxy settings are ignored.
"""

import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, IncompleteRead
from typing import Any

from app.errors import ImageTooLarge, SourceUnavailable, UrlUnreadable
from app.sources.url_check import PORTS, Address, CheckedUrl, Network, checked_address

Resolve = Callable[[str, int], list[str]]
"""Host and port to addresses in text form. Raises OSError."""

CONNECT_SECONDS = 5.0
PIECE_BYTES = 1 << 16
NUMBER_LAST = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")  # inet_aton takes it for an address


class Wire(io.RawIOBase):
    """A socket to read from, with an overall deadline and a limit in bytes."""

    def __init__(self, sock: socket.socket, deadline: float, max_bytes: int) -> None:
        self._sock = sock
        self._deadline = deadline
        self._bytes_left = max_bytes

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The one method that HTTPResponse calls on a socket."""
        return io.BufferedReader(self, PIECE_BYTES)

    def readable(self) -> bool:
        """Whether it can be read from: always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises TimeoutError, ImageTooLarge and what sockets raise."""
        self._sock.settimeout(seconds_left(self._deadline))
        count = self._sock.recv_into(buffer)
        self._bytes_left -= count
        if self._bytes_left < 0:  # http.client would follow a chunk of size -1 without end
            raise ImageTooLarge("The server sends more bytes than are allowed.")
        return count


def addresses_of(host: str, port: int) -> list[str]:
    """Ask the system's resolver. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


@dataclass(frozen=True)
class Connector:
    """Connects to hosts whose addresses are all public or in `allow`."""

    allow: tuple[Network, ...] = ()
    resolve: Resolve = addresses_of
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    connect_seconds: float = CONNECT_SECONDS  # for each address, and for the TLS handshake

    def connect(self, checked: CheckedUrl, deadline: float) -> socket.socket:
        """An open connection, over TLS for https, made before `deadline` on the monotonic clock.

        Raises UrlNotAllowed, SourceUnavailable for a name without an address, and OSError.
        """
        sock = self._reach(self._addresses(checked, deadline), checked.port, deadline)
        if checked.scheme == "http":
            return sock
        try:
            sock.settimeout(min(self.connect_seconds, seconds_left(deadline)))
            return self.tls.wrap_socket(sock, server_hostname=checked.host)
        except BaseException:
            sock.close()
            raise

    def _addresses(self, checked: CheckedUrl, deadline: float) -> list[Address]:
        """All addresses of the host; each must be allowed."""
        if ":" in checked.host or NUMBER_LAST.fullmatch(checked.host):
            return [checked_address(checked.host, self.allow)]
        try:
            texts = _resolved(self.resolve, checked, seconds_left(deadline))
        except TimeoutError:
            raise
        except OSError:
            texts = []
        if not texts:
            raise SourceUnavailable(f"No address is known for {checked.host}.")
        return [checked_address(text, self.allow) for text in texts]

    def _reach(self, addresses: list[Address], port: int, deadline: float) -> socket.socket:
        """A connection to the first address that accepts one."""
        failure = OSError()
        for address in addresses:
            try:
                seconds = min(self.connect_seconds, seconds_left(deadline))
                return socket.create_connection((str(address), port), seconds)
            except OSError as error:
                failure = error
        raise failure


def _resolved(resolve: Resolve, checked: CheckedUrl, seconds: float) -> list[str]:
    """Raises TimeoutError and what `resolve` raises.

    getaddrinfo has no time limit. A thread that takes too long is abandoned; it ends when the
    system's own attempts do, within half a minute or so.
    """
    answer: Future[list[str]] = Future()

    def work() -> None:
        try:
            answer.set_result(resolve(checked.host, checked.port))
        except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True, name="resolve").start()
    return answer.result(seconds)


def seconds_left(deadline: float) -> float:
    """Seconds until `deadline` on the monotonic clock. Raises TimeoutError if there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def request_head(method: str, checked: CheckedUrl, headers: Mapping[str, str]) -> bytes:
    """The request line and headers of a request whose connection is closed after its answer."""
    host = f"[{checked.host}]" if ":" in checked.host else checked.host
    if checked.port != PORTS[checked.scheme]:
        host += f":{checked.port}"
    own = {"Host": host, "User-Agent": "image-search", **headers, "Connection": "close"}
    lines = [f"{method} {checked.target} HTTP/1.1", *(f"{k}: {v}" for k, v in own.items())]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii")


@contextmanager
def translated_errors(host: str) -> Iterator[None]:
    """Turn the exceptions of sockets, TLS and http.client into ours."""
    try:
        yield
    except TimeoutError as error:
        raise SourceUnavailable(f"{host} did not answer in time.") from error
    except ssl.SSLError as error:
        raise SourceUnavailable(f"No trusted TLS connection to {host} can be made.") from error
    except (OSError, IncompleteRead) as error:
        raise SourceUnavailable(f"{host} cannot be reached, or broke off.") from error
    except (HTTPException, ValueError, OverflowError) as error:
        raise UrlUnreadable(f"{host} does not speak HTTP as it should.") from error
