"""What requests under way are told when the server stops and they take too long."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn

from app.main import create_app, server_config
from app.runtime.services import Services
from app.settings import Settings

HEAD = (
    b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
)


@contextmanager
def serving(
    settings: Settings, services: Services
) -> Iterator[tuple[uvicorn.Server, socket.socket]]:
    """The application as it is served, and a connection to it; it waits for nobody at its end."""
    config = server_config(create_app(settings, services), settings.keep_alive_seconds)
    config.timeout_graceful_shutdown = 0
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            with socket.create_connection(listener.getsockname()) as client:
                client.settimeout(20)
                yield server, client
        finally:
            server.should_exit = True
            thread.join()


def test_a_request_under_way_is_told_to_come_again(
    settings: Settings, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), serving(settings, services) as (server, client):
        client.sendall(HEAD + b"Content-Length: 1000\r\n\r\n--b\r\n")
        while not server.server_state.tasks:
            time.sleep(0.01)
        server.should_exit = True
        received = b"".join(iter(lambda: client.recv(65_536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: " in head.lower()
    assert "stopping" in json.loads(body)["detail"]
    assert not [record for record in caplog.records if record.exc_info]
