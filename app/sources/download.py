"""Fetches user-supplied URLs without giving access to our own network (SSRF).

`checked_connections` makes each connection; redirects are checked like the first hop. The Host
header remains that of the name. Cookies and credentials are ignored.
"""

import socket
import ssl
import string
import time
from dataclasses import dataclass, field
from http.client import HTTPResponse
from typing import cast
from urllib.parse import quote, urljoin

from app.errors import ImageTooLarge, SourceUnavailable, UrlUnreadable
from app.sources.checked_connections import (
    CONNECT_SECONDS,
    PIECE_BYTES,
    Connector,
    Resolve,
    Wire,
    addresses_of,
    request_head,
    seconds_left,
    translated_errors,
)
from app.sources.url_check import CheckedUrl, Network, checked_url, not_allowed

TOTAL_SECONDS = 20.0
MAX_REDIRECTS = 3
MAX_ETAG = 256  # characters
OVERHEAD_BYTES = 1 << 20  # for headers, and for what frames the chunks of a body
HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity"}
REDIRECTS = {301, 302, 303, 307, 308}


@dataclass(frozen=True)
class Download:
    """A fetched file; `url` is the one that the redirects ended at."""

    data: bytes
    url: str
    etag: str | None


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
            with translated_errors(checked.host):
                answer = self._hop(url, checked, deadline)
            if isinstance(answer, Download):
                return answer
            url = answer
        raise UrlUnreadable(f"{checked.host} redirects more than {MAX_REDIRECTS} times in a row.")

    def _hop(self, url: str, checked: CheckedUrl, deadline: float) -> Download | str:
        """The file, or the URL of the next hop."""
        connector = Connector(self.allow, self.resolve, self.tls, self.connect_seconds)
        with connector.connect(checked, deadline) as sock:
            sock.settimeout(seconds_left(deadline))
            sock.sendall(request_head("GET", checked, HEADERS))
            wire = Wire(sock, deadline, self.max_bytes + OVERHEAD_BYTES)
            with HTTPResponse(cast(socket.socket, wire), method="GET") as response:
                response.begin()
                if response.status in REDIRECTS:
                    return _next_url(url, checked, response)
                _check_response(checked, response)
                return Download(self._body(checked, response), url, _etag(response))

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
