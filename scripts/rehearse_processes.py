"""Rehearse several servers behind HAProxy, one of them killed each minute.

`make rehearse-processes`: three servers on one database and one disk, sixteen clients who check in
each server what another one has done.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from app.database.embedded.embedded_postgres import embedded_server
from app.database.embedded.postgres_programs import temporary_folder
from scripts.rehearsal.haproxy import balanced
from scripts.rehearsal.servers import Server, draw_library
from scripts.rehearsal.visitors import Visits

SERVERS = 3
PICTURES = 300
MINUTE = 60.0  # seconds
RESTART_SECONDS = 5.0  # how long a server stays away
SHOWN = 20  # faults


def main(
    minutes: Annotated[float, typer.Option(min=0.5, help="one server is killed in each")] = 10,
    clients: Annotated[int, typer.Option(min=1, help="that ask without pause")] = 16,
) -> None:
    """Exit with 1 where anything was refused, missing, or wrong."""
    with temporary_folder("processes-") as folder, ExitStack() as stack:
        draw_library(folder / "library", PICTURES)
        url = stack.enter_context(embedded_server(folder / "postgres"))
        servers = stack.enter_context(_served(folder, url))
        port = stack.enter_context(balanced(folder, [one.port for one in servers]))
        visits = Visits(port)
        with _visiting(visits, clients):
            _kill_in_turn(servers, visits, minutes)
    _print(visits)
    if visits.faults:
        sys.exit(f"{len(visits.faults)} faults.")


@contextmanager
def _served(folder: Path, url: str) -> Iterator[list[Server]]:
    servers = [Server(folder, url, "", "embedded") for _ in range(SERVERS)]
    try:
        for server in servers:
            server.start()
            server.wait_until_ready()
        yield servers
    finally:
        for server in servers:
            server.stop()


@contextmanager
def _visiting(visits: Visits, clients: int) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=visits.visit, args=(seed, stop)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _kill_in_turn(servers: list[Server], visits: Visits, minutes: float) -> None:
    end = time.monotonic() + minutes * MINUTE
    turn = 0
    while time.monotonic() < end:
        time.sleep(min(MINUTE / 2, end - time.monotonic()))
        server = servers[turn % len(servers)]
        visits.kill(server)
        time.sleep(RESTART_SECONDS)
        server.start()
        server.wait_until_ready()
        turn += 1
        next_minute = visits.killed_at + MINUTE / 2
        time.sleep(max(0.0, min(next_minute, end) - time.monotonic()))


def _print(visits: Visits) -> None:
    print(f"{visits.kills} kills")
    for what, number in sorted(visits.done.items()):
        print(f"{number:8} times: {what}")
    for what, number in sorted(visits.from_another.items()):
        print(f"{number:8} by another server: {what}")
    for status, number in sorted(visits.repeated.items()):
        print(f"{number:8} requests sent once more after a kill, for {status}")
    print(f"{len(visits.faults):8} faults")
    for fault in visits.faults[:SHOWN]:
        print(f"FAULT: {fault}")


if __name__ == "__main__":
    typer.run(main)
