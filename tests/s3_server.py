"""A local S3: moto behind real HTTP, with faults between it and whoever asks."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import unquote

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

from app.buckets import Bucket, Buckets

ACCOUNT = "123456789012"
ACCESS_KEY_ID = "AKIATESTING"
SECRET_ACCESS_KEY = "a-secret-that-nobody-may-see"

Respond = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], Respond], Iterable[bytes]]


@dataclass
class Fault:
    """What befalls the next `times` requests whose line contains `where`.

    First a delay; then an answer of that status, by default an error of S3's with that code, or
    the true answer, of whose body the second half may be missing, after some silence. A
    request's line is `GET /bucket/key?query`, its path and query unquoted.
    """

    where: str
    times: int = sys.maxsize
    delay_seconds: float = 0
    status: int | None = None
    code: str = "InternalError"
    body: bytes | None = None
    broken_off: bool = False
    silent_seconds: float = 0


@dataclass
class S3:
    """The server as seen from a test; `requests` are the lines of all it was asked."""

    endpoint: str = ""
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    ending: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)
    _known: dict[str, Buckets] = field(default_factory=dict)

    @property
    def client(self) -> Any:
        """boto3's client of the server."""
        return self.buckets().client()

    def buckets(self, **options: Any) -> Buckets:
        """Buckets on the server, the same ones each time; `options` are fields of Buckets."""
        given = {
            "endpoint_url": self.endpoint,
            "access_key_id": ACCESS_KEY_ID,
            "secret_access_key": SECRET_ACCESS_KEY,
        }
        return self._known.setdefault(repr(options), Buckets(**(given | options)))

    def bucket(self, name: str, **options: Any) -> Bucket:
        """One of them, made if it is absent."""
        self.make(name)
        return self.buckets(**options).bucket(name)

    def make(self, name: str, region: str = "us-east-1") -> None:
        """Make a bucket unless it is there."""
        if name not in _backend().buckets:
            _backend().create_bucket(name, region)

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Keep an object; its bucket is made if it is absent."""
        self.make(bucket)
        _backend().put_object(bucket, key, data)

    def put_all(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        """Keep many."""
        for key, data in objects.items():
            self.put(bucket, key, data)

    def delete(self, bucket: str, key: str) -> None:
        """Forget an object."""
        _backend().delete_object(bucket, key)

    def settings(self, bucket: str | None = None) -> dict[str, str]:
        """The environment of a process that is to use the server."""
        named = {} if bucket is None else {"S3_BUCKET": bucket}
        return named | {
            "S3_ENDPOINT_URL": self.endpoint,
            "S3_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "S3_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        }

    def asked(self, where: str) -> list[str]:
        """The lines of the requests so far that contain `where`."""
        return [line for line in self.requests if where in line]

    def reset(self) -> None:
        """Forget all buckets, faults and requests."""
        self.faults.clear()
        self.requests.clear()
        _backend().reset()

    def take_fault(self, line: str) -> Fault | None:
        """Note a request, and say what is to befall it."""
        with self._lock:
            self.requests.append(line)
            for fault in self.faults:
                if fault.times > 0 and fault.where in line:
                    fault.times -= 1
                    return fault
        return None


@contextmanager
def s3_server() -> Iterator[S3]:
    """Run a server of its own port on the loopback; what it held is gone afterwards.

    The buckets themselves are the process's: two servers at a time would share them.
    """
    s3 = S3()
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, _between(s3, app), threaded=True, request_handler=_Silent)
    s3.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield s3
    finally:
        s3.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()
        _backend().reset()


class _Silent(MotoRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # the base's name
        pass


def _between(s3: S3, app: Wsgi) -> Wsgi:
    """`app` behind the faults."""

    def serve(environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        fault = s3.take_fault(f"{environ['REQUEST_METHOD']} {unquote(environ['REQUEST_URI'])}")
        if fault is None:
            return app(environ, respond)
        s3.ending.wait(fault.delay_seconds)
        if fault.status is not None:
            return _error(fault, respond)
        answer = app(environ, respond)
        return _half(s3, fault, b"".join(answer)) if fault.broken_off else answer

    return serve


def _half(s3: S3, fault: Fault, data: bytes) -> Iterator[bytes]:
    yield data[: len(data) // 2]
    s3.ending.wait(fault.silent_seconds)


def _error(fault: Fault, respond: Respond) -> list[bytes]:
    body = fault.body
    if body is None:
        body = f"<Error><Code>{fault.code}</Code><Message>As asked.</Message></Error>".encode()
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    respond(f"{fault.status} Fault", headers)
    return [body]


def _backend() -> Any:
    return s3_backends[ACCOUNT]["aws"]
