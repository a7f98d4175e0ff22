"""Clients that are slow to ask, to send and to read, against a live server."""

import asyncio
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import typer
import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response, UploadFile
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from typer.testing import CliRunner

from app.main import server_config
from app.settings import ROOT, Settings
from app.web.middleware.body_timeout import BodyTimeout
from app.web.middleware.http_protocol import MAX_ADDRESS_BYTES, MAX_HEADER_BYTES, BoundedProtocol
from app.web.problems import error_handlers
from scripts import slow_sockets

SECONDS = 1.0  # of each bound here
LONGER = 2 * SECONDS
PATIENCE_SECONDS = 60  # of the tests: whatever passes it never comes
LARGE = 20_000_000  # bytes: more than the kernel holds for a client

GET = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"
JSON = (
    b"POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: 200002\r\n\r\n"
)
FORM = (
    b"POST /form HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 100000\r\n\r\n"
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="'
)
UPGRADE = (
    b"GET /quick HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Quick(BoundedProtocol):
    header_seconds = leftover_seconds = send_seconds = SECONDS


@dataclass(frozen=True)
class Live:
    """A server that runs, and what its endless answers say when they end."""

    server: uvicorn.Server
    place: tuple[str, int]
    ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def client(self, *sent: bytes) -> Iterator[socket.socket]:
        with socket.create_connection(self.place, PATIENCE_SECONDS) as client:
            for data in sent:
                client.sendall(data)
            yield client

    def wait_until_alone(self) -> bool:
        """Whether the server holds no connection and no request any more."""
        ends, state = time.monotonic() + PATIENCE_SECONDS, self.server.server_state
        while (state.connections or state.tasks) and time.monotonic() < ends:
            time.sleep(0.05)
        return not (state.connections or state.tasks)


router = APIRouter()


@router.post("/json")
def read_json(body: dict[str, Any]) -> int:
    return len(body["text"])


@router.post("/form")
def read_form(file: UploadFile) -> str:
    return file.filename or ""


@router.post("/raw")
async def read_raw(request: Request) -> int:
    return len(await request.body())


@router.post("/short")
async def read_soon(request: Request) -> int:
    request.scope["state"]["body_seconds"] = SECONDS
    return len(await request.body())


@router.post("/upload")
def upload(file: UploadFile) -> str:
    return file.filename or ""


@router.post("/unread")
async def leave_unread() -> str:
    return "unread"


@router.post("/unread-stream")
async def stream_beside_a_body() -> StreamingResponse:
    return StreamingResponse(ticks())


@router.get("/quick")
async def quick() -> str:
    return "quick"


@router.get("/healthz")
async def healthz() -> str:
    return "alive"


@router.get("/thinking")
async def think() -> str:
    await asyncio.sleep(LONGER)
    return "thought"


@router.post("/thinking")
async def think_before_reading(request: Request) -> int:
    await asyncio.sleep(LONGER)
    return len(await request.body())


@router.get("/ticks")
async def stream() -> StreamingResponse:
    return StreamingResponse(ticks())


@router.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[ServerSentEvent]:
    async for tick in ticks():
        yield ServerSentEvent(event="tick", data=tick.decode())


@router.get("/large")
async def large() -> Response:
    return Response(b"a" * LARGE)


@router.get("/endless")
async def endless(request: Request) -> StreamingResponse:
    return StreamingResponse(pouring(request.app.state.ended))


def application(ended: threading.Event) -> FastAPI:
    """Routes that read bodies each in their way, and that answer each in theirs."""
    app = FastAPI()
    app.add_middleware(BodyTimeout, seconds=SECONDS)
    app.include_router(router)
    app.state.ended = ended
    error_handlers.install(app)
    return app


async def ticks() -> AsyncIterator[bytes]:
    for n in range(10):
        await asyncio.sleep(LONGER / 10)
        yield b"tick %d\n" % n


async def pouring(ended: threading.Event) -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"a" * 65_536
            await asyncio.sleep(0)
    finally:
        ended.set()


@contextmanager
def served(
    protocol: type[BoundedProtocol],
    loop: Literal["auto", "asyncio"] = "auto",
    most: int | None = None,
) -> Iterator[Live]:
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            application(ended),
            http=protocol,
            loop=loop,
            log_config=None,
            limit_concurrency=most,
            timeout_keep_alive=1,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield Live(server, listener.getsockname(), ended)
        finally:
            server.should_exit = True
            thread.join()


both_loops = pytest.mark.parametrize("shared", ["auto", "asyncio"], indirect=True)


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest) -> Iterator[Live]:
    with served(Quick, getattr(request, "param", "auto")) as live:
        yield live


@pytest.fixture
def live(shared: Live, caplog: pytest.LogCaptureFixture) -> Iterator[Live]:
    """The server; at the end of a test it holds nothing, and has logged nothing."""
    shared.ended.clear()
    with caplog.at_level(logging.WARNING):
        yield shared
        assert shared.wait_until_alone()
    assert [record.getMessage() for record in caplog.records] == []


def rest(client: socket.socket) -> bytes:
    """All that comes until the server closes."""
    received = bytearray()
    with suppress(ConnectionError):
        while piece := client.recv(65_536):
            received += piece
    return bytes(received)


def answer(client: socket.socket, end: bytes) -> bytes:
    """What comes until `end`, of a connection that stays open."""
    received = bytearray()
    while not received.endswith(end):
        piece = client.recv(65_536)
        assert piece, received
        received += piece
    return bytes(received)


def dribble(client: socket.socket) -> bytes:
    """Send a byte now and then until the server closes; all that it says."""
    received = bytearray()
    client.settimeout(SECONDS / 10)
    ends = time.monotonic() + PATIENCE_SECONDS
    with suppress(ConnectionError):
        while time.monotonic() < ends:
            client.sendall(b"a")
            with suppress(TimeoutError):
                piece = client.recv(65_536)
                if not piece:
                    return bytes(received)
                received += piece
    assert time.monotonic() < ends
    return bytes(received)


def check_problem(received: bytes, status: int) -> None:
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0].startswith(b"http/1.1 %d " % status), received[:300]
    assert b"connection: close" in lines
    assert b"content-type: application/problem+json" in lines
    told = json.loads(body)
    assert (told["type"], told["status"]) == ("about:blank", status)
    assert told["detail"].endswith(".")


# Headers


def test_a_client_that_says_nothing_is_hung_up_on(live: Live) -> None:
    with live.client() as client:
        assert rest(client) == b""


@pytest.mark.parametrize("begun", [b"G", b"GET /quick HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_headers_that_stop_are_a_408(live: Live, begun: bytes) -> None:
    with live.client(begun) as client:
        check_problem(rest(client), 408)


def test_headers_that_dribble_are_a_408(live: Live) -> None:
    with live.client(b"GET /quick HTTP/1.1\r\nHost: x\r\nX-Slow: ") as client:
        check_problem(dribble(client), 408)


@both_loops
def test_headers_without_an_end_are_a_431(live: Live) -> None:
    begun = b"GET /quick HTTP/1.1\r\nHost: x\r\nX-Long: "
    with live.client(begun + b"a" * (MAX_HEADER_BYTES + 1)) as client:
        check_problem(rest(client), 431)
    many = b"".join(b"X-%d: a\r\n" % n for n in range(10_000))
    with live.client(b"GET /quick HTTP/1.1\r\nHost: x\r\n" + many) as client:
        check_problem(rest(client), 431)


@both_loops
@pytest.mark.parametrize("end", [b"", b" HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_an_address_that_is_too_long_is_a_414(live: Live, end: bytes) -> None:
    """Issue 19, item 3: httptools refused it, in plain text."""
    with live.client(b"GET /quick?q=" + b"a" * MAX_ADDRESS_BYTES + end) as client:
        check_problem(rest(client), 414)


def test_what_is_no_request_is_a_400(live: Live) -> None:
    with live.client(b"quick, please\r\n\r\n") as client:
        check_problem(rest(client), 400)


def test_headers_without_an_end_beside_an_answer_end_both(live: Live) -> None:
    with live.client(GET % b"/thinking", b"GET /quick HTTP/1.1\r\nX-Long: ") as client:
        with suppress(ConnectionError):
            client.sendall(b"a" * (3 * MAX_HEADER_BYTES))
        assert rest(client) == b""


def test_trailers_without_an_end_are_cut(live: Live) -> None:
    chunked = b"POST /raw HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    with live.client(chunked) as client:
        with suppress(ConnectionError):
            for n in range(100):
                client.sendall(b"X-%d: %b\r\n" % (n, b"a" * 10_000))
        assert rest(client) == b""


def test_headers_as_large_as_allowed_are_taken(live: Live) -> None:
    long = b"a" * (MAX_HEADER_BYTES - 100)
    request = b"GET /quick HTTP/1.1\r\nHost: x\r\nX-Long: %b\r\n\r\n" % long
    with live.client(request) as client:
        assert answer(client, b'"quick"').startswith(b"HTTP/1.1 200 ")


# Connections that stay open


def test_a_connection_that_stays_has_the_same_bound_at_each_request(live: Live) -> None:
    with live.client(GET % b"/quick") as client:
        assert answer(client, b'"quick"').startswith(b"HTTP/1.1 200 ")
        client.sendall(GET % b"/quick")
        assert answer(client, b'"quick"').startswith(b"HTTP/1.1 200 ")
        client.sendall(b"GET /quick HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        check_problem(dribble(client), 408)


def test_an_idle_connection_outlives_those_of_proxies() -> None:
    """Issue 21, line 38: else a proxy sends a POST into one that is being closed, and says 502."""
    proxies_keep = 60  # seconds: nginx, and the load balancers of clouds
    assert Settings().keep_alive_seconds > proxies_keep
    assert server_config(FastAPI(), 620).timeout_keep_alive == 620


def test_an_idle_connection_is_closed(live: Live) -> None:
    with live.client(GET % b"/quick") as client:
        assert rest(client).endswith(b'"quick"')


def test_empty_lines_are_no_request(live: Live) -> None:
    with live.client(GET % b"/quick") as client:
        answer(client, b'"quick"')
        ends = time.monotonic() + PATIENCE_SECONDS
        with suppress(ConnectionError):
            while time.monotonic() < ends:
                client.sendall(b"\r\n")
                time.sleep(0.1)
        assert time.monotonic() < ends


def test_pipelined_requests_are_all_answered(live: Live) -> None:
    ways = (b"/quick", b"/thinking", b"/healthz")
    with live.client(b"".join(GET % way for way in ways) + b"GET /quick HTTP/1.1\r\n") as client:
        received = answer(client, b'"alive"')
        assert received.count(b"HTTP/1.1 200 ") == 3
        assert received.index(b'"quick"') < received.index(b'"thought"')
        check_problem(dribble(client), 408)


@both_loops
def test_an_upgrade_is_answered(live: Live) -> None:
    with live.client(UPGRADE) as client:
        assert rest(client).startswith(b"HTTP/1.1 403 ")


# Bodies


@pytest.mark.parametrize("request_", [JSON, FORM, JSON.replace(b"/json", b"/raw")])
def test_a_body_that_dribbles_is_a_408(live: Live, request_: bytes) -> None:
    with live.client(request_) as client:
        check_problem(dribble(client), 408)


def test_a_body_that_stops_is_a_408_however_much_has_come(live: Live) -> None:
    with live.client(JSON, b'"', b"a" * 190_000) as client:
        check_problem(rest(client), 408)


def test_a_body_that_nobody_reads_does_not_keep_its_connection(live: Live) -> None:
    with live.client(JSON.replace(b"/json", b"/unread")) as client:
        received = dribble(client)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.endswith(b'"unread"')


def test_a_body_that_dribbles_beside_an_answer_does_not_end_it(live: Live) -> None:
    with live.client(JSON.replace(b"/json", b"/unread-stream")) as client:
        received = dribble(client)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"tick 9" in received


def test_a_steady_body_is_taken_however_long_it_takes(live: Live) -> None:
    with live.client(JSON, b'{"text": "') as client:
        for _ in range(20):
            client.sendall(b"a" * 9_999)
            time.sleep(LONGER / 20)
        client.sendall(b"a" * (200_002 - 12 - 20 * 9_999) + b'"}')
        assert answer(client, b"199990").startswith(b"HTTP/1.1 200 ")


def test_the_client_is_not_charged_for_the_time_in_which_nobody_reads(live: Live) -> None:
    with live.client(JSON.replace(b"/json", b"/thinking")) as client:
        time.sleep(LONGER)
        client.sendall(b"a" * 200_002)
        assert answer(client, b"200002").startswith(b"HTTP/1.1 200 ")


def test_a_route_may_allow_a_body_less(live: Live) -> None:
    with live.client(JSON.replace(b"/json", b"/short"), b'"') as client:
        for _ in range(30):  # steady, and too long
            with suppress(ConnectionError):
                client.sendall(b"a" * 5_000)
            time.sleep(SECONDS / 10)
        check_problem(rest(client), 408)


# Answers


@pytest.mark.parametrize(
    ("path", "end"), [(b"/thinking", b'"thought"'), (b"/ticks", b"tick 9"), (b"/events", b"tick 9")]
)
def test_an_answer_that_takes_long_is_not_cut(live: Live, path: bytes, end: bytes) -> None:
    with live.client(GET % path) as client:
        received = rest(client)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert end in received


@both_loops
@pytest.mark.parametrize("path", [b"/large", b"/endless"])
def test_an_answer_that_is_not_read_is_dropped(live: Live, path: bytes) -> None:
    with live.client(GET % path) as client:
        assert client.recv(1)  # it is connected
        assert live.wait_until_alone()
        assert len(rest(client)) < LARGE
    if path == b"/endless":
        assert live.ended.wait(PATIENCE_SECONDS)


@both_loops
def test_a_closing_connection_waits_no_longer_for_its_reader(live: Live) -> None:
    closing = b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with live.client(closing) as client:
        assert client.recv(1)  # it is connected
        assert live.wait_until_alone()
        assert len(rest(client)) < LARGE


@both_loops
def test_an_answer_that_is_read_slowly_is_not_dropped(live: Live) -> None:
    received = 0
    with live.client(GET % b"/large") as client:
        while received < LARGE:
            piece = client.recv(500_000)
            assert piece
            received += len(piece)
            time.sleep(LONGER / 40)
    assert received > LARGE


# How many


def test_connections_leave_files_for_all_else() -> None:
    """In a process of its own, whose limits are the test's."""
    asked = (
        "import resource as r; from app.web.middleware.http_protocol import most_connections as m; "
        "r.setrlimit(r.RLIMIT_NOFILE, ({0}, {1})); print(m(), r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    for soft, hard, told in ((256, 700, "500 700"), (256, 4_000, "2000 2200"), (50, 90, "1 90")):
        command = [sys.executable, "-c", asked.format(soft, hard)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == told


# The script that measures


def test_the_script_sees_the_slow_sockets_closed(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_sockets, "REQUESTS", 20)
    monkeypatch.setattr(slow_sockets, "TICK_SECONDS", SECONDS / 10)
    app = typer.Typer()
    app.command()(slow_sockets.main)
    place = f"http://127.0.0.1:{live.place[1]}"
    told = CliRunner().invoke(app, ["--address", place, "--sockets", "9"]).output
    assert "beside 9 slow sockets" in told
    assert "The server had closed 9 of 9" in told


@pytest.mark.parametrize("address", ["http://192.0.2.1:8000", "http://example.org", "8000"])
def test_the_script_measures_only_this_machine(address: str) -> None:
    with pytest.raises(SystemExit, match="is not on this machine"):
        slow_sockets.loopback(address)
