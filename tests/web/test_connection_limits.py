"""Idle connections of one address keep nobody out: issue 21, line 52."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from app.web.middleware.connection_limits import SPARE_CONNECTIONS
from tests.web.test_timeouts import GET, Live, Quick, served

LIMIT = 40
ONE, ANOTHER = "127.0.0.1", "127.0.0.2"  # both lead from and to this machine


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """A server of so many connections; none is closed by a clock while a test runs."""

    class Patient(Quick):
        header_seconds = 30.0

    with served(Patient, most=LIMIT) as server:
        yield server


@pytest.fixture
def opened(live: Live) -> Iterator[ExitStack]:
    """Connections that are closed with the test."""
    with ExitStack() as stack:
        yield stack
    assert live.wait_until_alone()


def connect(live: Live, opened: ExitStack, address: str = ONE) -> socket.socket:
    return opened.enter_context(socket.create_connection(live.place, 10, (address, 0)))


def get(client: socket.socket, path: bytes = b"/quick") -> bytes:
    """The status line, or nothing where the server has closed the connection."""
    try:
        client.sendall(GET % path)
        return client.recv(65_536).partition(b"\r\n")[0]
    except OSError:
        return b""


def is_open(client: socket.socket) -> bool:
    return get(client) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("has_asked", [False, True])
def test_idle_connections_of_one_address_are_closed_for_new_ones(
    live: Live, opened: ExitStack, has_asked: bool
) -> None:
    clients = [connect(live, opened) for _ in range(4)]
    for _ in range(3 * LIMIT):
        clients.append(connect(live, opened))
        if has_asked:
            assert is_open(clients[-1])
    assert is_open(connect(live, opened, ANOTHER))
    assert is_open(connect(live, opened))
    assert get(connect(live, opened), b"/healthz") == b"HTTP/1.1 200 OK"
    assert len(live.server.server_state.connections) <= LIMIT
    assert not is_open(clients[0])
    assert is_open(clients[-1])


def test_idle_connections_of_many_addresses_are_closed_for_new_ones(
    live: Live, opened: ExitStack
) -> None:
    """The longest idle one of the address that has the most."""
    crowd = [connect(live, opened) for _ in range(LIMIT // 2)]
    few = [connect(live, opened, f"127.0.1.{n}") for n in range(LIMIT // 2)]
    assert is_open(connect(live, opened, ANOTHER))
    assert not is_open(crowd[0])
    assert all(is_open(client) for client in few)


def test_health_is_answered_where_all_connections_are_at_work(
    live: Live, opened: ExitStack
) -> None:
    for number in range(LIMIT):
        busy = connect(live, opened, f"127.0.2.{number}")
        busy.sendall(GET % b"/ticks")
        assert busy.recv(65_536).startswith(b"HTTP/1.1 200 OK")
    client = connect(live, opened)
    client.sendall(GET % b"/quick")
    refused = client.recv(65_536)
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After" in refused.title()
    assert b"application/problem+json" in refused
    assert get(connect(live, opened), b"/healthz") == b"HTTP/1.1 200 OK"
    # Below a ROOT_PATH too, which the server of these tests does not have.
    assert get(connect(live, opened), b"/our/pictures/healthz") == b"HTTP/1.1 404 Not Found"


def test_silent_connections_beside_those_at_work_have_an_end(live: Live, opened: ExitStack) -> None:
    for number in range(LIMIT):
        busy = connect(live, opened, f"127.0.3.{number}")
        busy.sendall(GET % b"/ticks")
        assert busy.recv(65_536).startswith(b"HTTP/1.1 200 OK")
    silent = [connect(live, opened, f"127.0.4.{n}") for n in range(2 * SPARE_CONNECTIONS)]
    assert get(silent[-1], b"/healthz") == b"HTTP/1.1 200 OK"
    assert not is_open(silent[0])
    assert len(live.server.server_state.connections) <= LIMIT + SPARE_CONNECTIONS
