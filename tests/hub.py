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
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            data = self._find()
            if hub.fault or data is None:
                return self._refuse(hub.fault or 404)
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(data)))
            if hub.truncated:
                self.send_header("Connection", "close")
            self.end_headers()
            if with_body:
                self.wfile.write(data[: len(data) // 2] if hub.truncated else data)
            self.close_connection = hub.truncated

        def _find(self) -> bytes | None:
            prefix = f"/{hub.repository}/resolve/main/"
            path = unquote(urlsplit(self.path).path)
            return hub.files.get(path.removeprefix(prefix)) if path.startswith(prefix) else None

        def _refuse(self, status: int) -> None:
            self.send_response(status)
            if status == 404:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
            pass

    return Handler
