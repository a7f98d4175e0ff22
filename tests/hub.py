"""A local server that speaks the hub's protocol for one repository, faults included."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """`files` of `repository`; `fault` is answered instead where it is set."""

    repository: str
    files: dict[str, bytes]
    fault: int | None = None
    truncated: bool = False
    requests: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Run the hub on a free port of the loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    yield hub
    server.shutdown()
    server.server_close()


def of_folder(repository: str, folder: Path) -> Hub:
    """A hub whose repository holds the model files of a folder."""
    names = ("open_clip_config.json", "open_clip_model.safetensors")
    return Hub(repository, {name: (folder / name).read_bytes() for name in names})


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            _answer(self, hub)

        def do_GET(self) -> None:
            _answer(self, hub)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
            pass

    return Handler


def _answer(handler: BaseHTTPRequestHandler, hub: Hub) -> None:
    hub.requests.append(f"{handler.command} {handler.path}")
    prefix = f"/{hub.repository}/resolve/main/"
    path = unquote(urlsplit(handler.path).path)
    data = hub.files.get(path.removeprefix(prefix)) if path.startswith(prefix) else None
    if hub.fault or data is None:
        _refuse(handler, hub.fault or 404)
    else:
        _send(handler, data, hub.truncated)


def _send(handler: BaseHTTPRequestHandler, data: bytes, truncated: bool) -> None:
    handler.send_response(200)
    handler.send_header("X-Repo-Commit", COMMIT)
    handler.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
    handler.send_header("Accept-Ranges", "bytes")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(data[: len(data) // 2] if truncated else data)
    handler.close_connection = truncated


def _refuse(handler: BaseHTTPRequestHandler, status: int) -> None:
    handler.send_response(status)
    if status == 404:
        handler.send_header("X-Error-Code", "EntryNotFound")
    handler.send_header("Content-Length", "0")
    handler.end_headers()
