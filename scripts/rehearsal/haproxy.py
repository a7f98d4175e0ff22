"""HAProxy before several servers, as docs/scaling.md sets it up."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PROGRAM = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SERVER_HEADER = "X-Served-By"
START_SECONDS = 10
CONFIGURATION = """\
defaults
    mode http
    timeout connect 2s
    timeout client 75s
    timeout server 120s
    retries 2
    option redispatch 1
    retry-on conn-failure
frontend images
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
    balance roundrobin
    option httpchk GET /readyz
    http-response set-header {header} %s
    timeout check 10s
    default-server check inter 2s fall 3 rise 1
"""


@contextmanager
def balanced(folder: Path, ports: Sequence[int]) -> Iterator[int]:
    """The port on which HAProxy passes requests on to those of loopback, in turn."""
    if PROGRAM is None:
        sys.exit("HAProxy is not installed: apt-get install haproxy")
    port = free_port()
    servers = (f"    server s{n} 127.0.0.1:{one}\n" for n, one in enumerate(ports))
    path = folder / "haproxy.cfg"
    path.write_text(CONFIGURATION.format(port=port, header=SERVER_HEADER) + "".join(servers))
    with (
        (folder / "haproxy.log").open("ab") as log,
        subprocess.Popen([PROGRAM, "-db", "-f", path], stdout=log, stderr=log) as process,  # noqa: S603
    ):
        try:
            _wait_for(port)
            yield port
        finally:
            process.terminate()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
