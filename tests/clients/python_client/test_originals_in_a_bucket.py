"""The Python client fetches a picture from the bucket that the service names, without the key."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from picture_search_client import ApiError, AsyncClient, Client

KEY = "isk_secret"
FILE = "/api/v1/images/7/file"


class Answers(ThreadingHTTPServer):
    """A server on this machine: bytes by path, or the address where they are; it notes the keys."""

    def __init__(self, bodies: dict[str, bytes], elsewhere: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.bodies, self.elsewhere = bodies, elsewhere
        self.keys: list[str | None] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        self.server.keys.append(self.headers["Authorization"])
        there = self.server.elsewhere.get(self.path)
        body = self.server.bodies.get(self.path, b"")
        self.send_response(307 if there else 200 if body else 403)
        self.send_header("Content-Length", str(len(body)))
        if there:
            self.send_header("Location", there)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def serving(bodies: dict[str, bytes], elsewhere: dict[str, str]) -> Iterator[Answers]:
    with Answers(bodies, elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def bucket() -> Iterator[Answers]:
    with serving({"/7.png?signature=a": b"bytes"}, {}) as server:
        yield server


@pytest.fixture
def service(bucket: Answers) -> Iterator[Answers]:
    elsewhere = {
        FILE: f"{bucket.address}/7.png?signature=a",
        "/api/v1/images/8/file": f"{bucket.address}/8.png?signature=expired",
        "/api/v1/images/9": f"{bucket.address}/7.png?signature=a",
    }
    with serving({}, elsewhere) as server:
        yield server


def test_a_picture_comes_from_its_bucket(service: Answers, bucket: Answers) -> None:
    with Client(service.address, key=KEY) as client:
        assert client.original(7) == b"bytes"
    assert service.keys == [f"Bearer {KEY}"]
    assert bucket.keys == [None]


def test_the_client_with_an_event_loop_fetches_it_there_too(
    service: Answers, bucket: Answers
) -> None:
    async def run() -> bytes:
        async with AsyncClient(service.address, key=KEY) as client:
            return await client.original(7)

    assert asyncio.run(run()) == b"bytes"
    assert service.keys == [f"Bearer {KEY}"]
    assert bucket.keys == [None]


def test_a_bucket_that_refuses_is_reported(service: Answers) -> None:
    with Client(service.address, key=KEY) as client, pytest.raises(ApiError, match="403"):
        client.original(8)


def test_nothing_else_is_fetched_elsewhere(service: Answers, bucket: Answers) -> None:
    with Client(service.address, key=KEY) as client, pytest.raises(ApiError, match="307"):
        client.image(9)
    assert bucket.keys == []
