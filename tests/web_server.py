"""A web server on loopback whose every answer is the bytes, or the function, of its path."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = bytes | Callable[[BinaryIO], object]


class Site(ThreadingHTTPServer):
    """`answers` by path; `asked` holds the path and the headers of each request."""

    daemon_threads = False  # closing waits for every answer to end

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, Message]] = []
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    @property
    def port(self) -> int:
        return self.server_port

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers))
        given = self.server.answers.get(self.path, http(404))
        if isinstance(given, bytes):
            self.wfile.write(given)
        else:
            given(cast(BinaryIO, self.wfile))

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    with Site(tls) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()


def http(status: int, *headers: str, body: bytes = b"") -> bytes:
    """An answer as it goes over the wire; it ends where the connection does."""
    return "\r\n".join([f"HTTP/1.1 {status} x", *headers, "", ""]).encode() + body


def found(location: str) -> bytes:
    return http(302, f"Location: {location}")


def self_signed(folder: Path, name: str) -> Path:
    """A PEM file with a certificate for `name` and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    kind = serialization.PrivateFormat.PKCS8
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(pem, kind, serialization.NoEncryption()) + certificate.public_bytes(pem)
    )
    return path
