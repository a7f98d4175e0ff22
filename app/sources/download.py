"""Fetches user-supplied URLs without giving access to our own network (SSRF).

A host name is resolved once per hop, all its addresses are checked, and the connection is made
to one of those addresses: a name server that would answer differently the second time (DNS
rebinding) is not asked again. Redirects are checked like the first hop. Host header, SNI and
certificate remain those of the name. Proxy settings, cookies and credentials are ignored.
"""

import io
import re
import socket
import ssl
import string
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any, cast
from urllib.parse import quote, urljoin

from app.errors import ImageTooLarge, SourceUnavailable, UrlUnreadable
from app.sources.url_check import (
    PORTS,
    Address,
    CheckedUrl,
    Network,
    checked_address,
    checked_url,
    not_allowed,
)

Resolve = Callable[[str, int], list[str]]
"""Host and port to addresses in text form. Raises OSError."""

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 20.0
MAX_REDIRECTS = 3
MAX_ETAG = 256  # characters
OVERHEAD_BYTES = 1 << 20  # for headers, and for what frames the chunks of a body
PIECE_BYTES = 1 << 16
REDIRECTS = {301, 302, 303, 307, 308}
NUMBER_LAST = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")  # inet_aton takes it for an address


@dataclass(frozen=True)
class Download:
    """A fetched file; `url` is the one that the redirects ended at."""

    data: bytes
    url: str
    etag: str | None


class _Wire(io.RawIOBase):
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
        self._sock.settimeout(_left(self._deadline))
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
class Downloader:
    """Fetches files over HTTP and HTTPS, up to `max_bytes`.

    `allow` permits networks that are blocked by default; an IPv4 address embedded in an IPv6 one
    must be permitted as well.
    """

    max_bytes: int
    allow: tuple[Network, ...] = ()
    resolve: Resolve = addresses_of
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    connect_seconds: float = CONNECT_SECONDS  # for each address, and for the TLS handshake
    total_seconds: float = TOTAL_SECONDS  # for everything, over all redirects

    def fetch(self, url: str) -> Download:
        """The file at `url`, after at most three redirects.

        Raises UrlNotAllowed, with the same message for every disallowed address or syntax;
        SourceUnavailable if trying again may help; UrlUnreadable if not; ImageTooLarge.
        Since a name without an address is SourceUnavailable, a client can learn that an internal
        name exists, but not its address nor whether anything answers there.
        """
        deadline = time.monotonic() + self.total_seconds
        for _ in range(MAX_REDIRECTS + 1):
            checked = checked_url(url)
            with _translated_errors(checked.host):
                answer = self._hop(url, checked, deadline)
            if isinstance(answer, Download):
                return answer
            url = answer
        raise UrlUnreadable(f"{checked.host} redirects more than {MAX_REDIRECTS} times in a row.")

    def _hop(self, url: str, checked: CheckedUrl, deadline: float) -> Download | str:
        """The file, or the URL of the next hop."""
        with self._connect(checked, self._addresses(checked, deadline), deadline) as sock:
            sock.settimeout(_left(deadline))
            sock.sendall(_request(checked))
            wire = _Wire(sock, deadline, self.max_bytes + OVERHEAD_BYTES)
            with HTTPResponse(cast(socket.socket, wire), method="GET") as response:
                response.begin()
                if response.status in REDIRECTS:
                    return _next_url(url, checked, response)
                _check_response(checked, response)
                return Download(self._body(checked, response), url, _etag(response))

    def _addresses(self, checked: CheckedUrl, deadline: float) -> list[Address]:
        """All addresses of the host; each must be allowed."""
        if ":" in checked.host or NUMBER_LAST.fullmatch(checked.host):
            return [checked_address(checked.host, self.allow)]
        try:
            texts = _resolved(self.resolve, checked, _left(deadline))
        except TimeoutError:
            raise
        except OSError:
            texts = []
        if not texts:
            raise SourceUnavailable(f"No address is known for {checked.host}.")
        return [checked_address(text, self.allow) for text in texts]

    def _connect(
        self, checked: CheckedUrl, addresses: list[Address], deadline: float
    ) -> socket.socket:
        sock = self._reach(addresses, checked.port, deadline)
        if checked.scheme == "http":
            return sock
        try:
            sock.settimeout(min(self.connect_seconds, _left(deadline)))
            return self.tls.wrap_socket(sock, server_hostname=checked.host)
        except BaseException:
            sock.close()
            raise

    def _reach(self, addresses: list[Address], port: int, deadline: float) -> socket.socket:
        """A connection to the first address that accepts one."""
        failure = OSError()
        for address in addresses:
            try:
                seconds = min(self.connect_seconds, _left(deadline))
                return socket.create_connection((str(address), port), seconds)
            except OSError as error:
                failure = error
        raise failure

    def _body(self, checked: CheckedUrl, response: HTTPResponse) -> bytes:
        """The body, counted while it is read."""
        body = bytearray()
        announced = response.length or 0
        while max(announced, len(body)) <= self.max_bytes:
            piece = response.read(PIECE_BYTES)
            body += piece
            if not piece:
                break
        else:
            raise ImageTooLarge(f"The file has more than the {self.max_bytes / 1e6:g} MB allowed.")
        if response.length:
            raise SourceUnavailable(f"{checked.host} broke off in the middle of the file.")
        if not body:
            raise UrlUnreadable(f"{checked.host} sends an empty file.")
        return bytes(body)


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


def _left(deadline: float) -> float:
    """Seconds until `deadline` on the monotonic clock. Raises TimeoutError if there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _request(checked: CheckedUrl) -> bytes:
    host = f"[{checked.host}]" if ":" in checked.host else checked.host
    if checked.port != PORTS[checked.scheme]:
        host += f":{checked.port}"
    return (
        f"GET {checked.target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: image-search\r\n"
        "Accept: */*\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
    ).encode("ascii")


def _next_url(url: str, checked: CheckedUrl, response: HTTPResponse) -> str:
    """The target of a redirect. Raises UrlNotAllowed from https to anything else."""
    location = response.headers.get("Location", "").strip()
    if not location:
        raise UrlUnreadable(f"{checked.host} redirects to nowhere.")
    try:
        following = urljoin(url, quote(location, safe=string.punctuation, encoding="latin-1"))
    except ValueError:
        raise not_allowed() from None
    if checked.scheme == "https" and not following.lower().startswith("https:"):
        raise not_allowed()
    return following


def _check_response(checked: CheckedUrl, response: HTTPResponse) -> None:
    status = response.status
    if status == 429 or status >= 500:
        raise SourceUnavailable(f"{checked.host} answers with status {status}; try again later.")
    if status != 200:
        raise UrlUnreadable(f"{checked.host} answers with status {status}.")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UrlUnreadable(f"{checked.host} sends the file compressed, though asked not to.")


def _etag(response: HTTPResponse) -> str | None:
    """The ETag, if it is printable and of a sensible length."""
    etag = response.headers.get("ETag", "")
    return etag if etag.isprintable() and 0 < len(etag) <= MAX_ETAG else None


@contextmanager
def _translated_errors(host: str) -> Iterator[None]:
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
