"""How long GET /healthz takes with and without slow sockets: `make slow-sockets`.

The server must already be running on this machine. A third of the sockets send nothing, a third
send one byte of their headers each second, and a third one byte of an upload each second.
"""

import http.client
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

import numpy as np
import typer

from app.settings import Settings

SOCKETS = 500
MAX_SOCKETS = 2_000
SPARE_FILES = 100  # that this process may open besides the sockets
REQUESTS = 200  # in each measurement
PAUSE_SECONDS = 0.02  # between two requests
MEASURE_SECONDS = 8  # limit of a measurement; below the server's timeout for silent clients
OPEN_SECONDS = 5  # within which all slow sockets must be open
HOLD_SECONDS = 40  # from opening the slow sockets until those closed are counted
ANSWER_SECONDS = 2  # limit of a request; one that takes longer counts as this long
TICK_SECONDS = 1  # between two bytes
MAX_P99_SECONDS = 0.2

HEADERS = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
UPLOAD = (
    b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="'
)


def main(
    address: Annotated[str | None, typer.Option(help="of the server; else as in .env")] = None,
    sockets: Annotated[int, typer.Option(min=1, max=MAX_SOCKETS, help="slow ones")] = SOCKETS,
) -> None:
    """Print p50 and p99 of both; the exit status is 1 if slow sockets make p99 200 ms or more."""
    place = loopback(address or Settings.load().address)
    allow_files(sockets + SPARE_FILES)
    try:
        idle = measure(place)
        began = time.monotonic()
        with crowd(place, sockets) as slow:
            beside = measure(place)
            still_open = len(slow.open)
            while slow.open and time.monotonic() - began < HOLD_SECONDS:
                time.sleep(0.1)
            closed, seconds = sockets - len(slow.open), time.monotonic() - began
    except OSError as error:
        sys.exit(f"No server answers at {place[0]} port {place[1]} ({error}).")
    print(f"{'':28}{'p50':>10}{'p99':>10}   requests")
    for title, times in (("idle", idle), (f"beside {sockets} slow sockets", beside)):
        p50, p99 = np.percentile(times, [50, 99]) * 1e3
        print(f"{title:28}{p50:7.1f} ms{p99:7.1f} ms   {len(times)}")
    print(f"{still_open} slow sockets were open when the second measurement ended.")
    print(f"The server had closed {closed} of {sockets} after {seconds:.0f} s.")
    if np.percentile(beside, 99) >= MAX_P99_SECONDS:
        sys.exit(f"p99 beside slow sockets is not below {MAX_P99_SECONDS * 1e3:.0f} ms.")


def loopback(address: str) -> tuple[str, int]:
    """Host and port of an address on this machine; any other address ends the program."""
    with suppress(ValueError):
        parts = urlsplit(address)
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
        if parts.scheme == "http" and ip_address(host).is_loopback:
            return host, parts.port or 80
    sys.exit(f"{address} is not on this machine: give an address such as http://127.0.0.1:8000.")


def allow_files(number: int) -> None:
    """Raise the soft limit on open files to `number`; ends the program if the hard one forbids."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= number:
        return
    if hard != resource.RLIM_INFINITY and hard < number:
        sys.exit(f"This process may open {hard} files at most: ask for fewer sockets.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def measure(place: tuple[str, int]) -> list[float]:
    """Seconds that each request takes, on a new connection. Raises OSError if the first fails."""
    times: list[float] = []
    ends = time.monotonic() + MEASURE_SECONDS
    while len(times) < REQUESTS and time.monotonic() < ends:
        began = time.perf_counter()
        try:
            ask(place)
        except (OSError, http.client.HTTPException):
            if not times:
                raise
            times.append(ANSWER_SECONDS)
        else:
            times.append(time.perf_counter() - began)
        time.sleep(PAUSE_SECONDS)
    return times


def ask(place: tuple[str, int]) -> None:
    """GET /healthz once, on a new connection. Raises OSError or HTTPException."""
    connection = http.client.HTTPConnection(*place, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        sys.exit(f"GET /healthz answers {answer.status}.")


@dataclass(frozen=True)
class Crowd:
    """The slow sockets that are still open, and those that send bytes."""

    open: set[socket.socket]
    dribbling: list[socket.socket]

    def run(self, stop: threading.Event) -> None:
        """Each second, send a byte on each dribbling socket and drop those the server closed."""
        while not stop.wait(TICK_SECONDS):
            for one in self.dribbling:
                if one in self.open:
                    with suppress(OSError):
                        one.send(b"a")
            self.open.difference_update([one for one in self.open if is_closed(one)])


@contextmanager
def crowd(place: tuple[str, int], number: int) -> Iterator[Crowd]:
    """Open `number` slow sockets until the block ends. Raises OSError."""
    stop = threading.Event()
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        ends = time.monotonic() + OPEN_SECONDS
        for n in range(number):
            if time.monotonic() > ends:
                raise TimeoutError(f"only {n} sockets in {OPEN_SECONDS} s")
            one = stack.enter_context(socket.create_connection(place, ANSWER_SECONDS))
            one.sendall((b"", HEADERS, UPLOAD)[n % 3])
            one.setblocking(False)
            sockets.append(one)
        slow = Crowd(set(sockets), [one for n, one in enumerate(sockets) if n % 3])
        thread = threading.Thread(target=slow.run, args=(stop,))
        thread.start()
        try:
            yield slow
        finally:
            stop.set()
            thread.join()


def is_closed(one: socket.socket) -> bool:
    """Whether the server has closed the socket; anything else it sent is read and dropped."""
    try:
        while one.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


if __name__ == "__main__":
    typer.run(main)
