"""Searches with no, one and two replicas: `make benchmark-replicas`.

All servers are on this machine, so what is measured is where the work goes, and what is left of the
speed. Each Postgres counts the transactions that it has committed.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from app.database.embedded.embedded_postgres import embedded_server
from app.database.embedded.postgres_programs import temporary_folder
from app.database.embedded.standby import copy_server
from scripts.rehearsal.clients import Balancer, Load, RequestFailed
from scripts.rehearsal.servers import Server, draw_library

REPLICAS = 2
STATISTICS_SECONDS = 2.0  # until a Postgres tells what its connections have counted
COMMITTED = "SELECT sum(xact_commit)::bigint FROM pg_stat_database WHERE datname = 'postgres'"
INDEX_SECONDS = 600  # within which the pictures must be indexed


def main(
    pictures: Annotated[int, typer.Option(min=10)] = 2_000,
    clients: Annotated[int, typer.Option(min=1, help="that search without pause")] = 8,
    seconds: Annotated[float, typer.Option(min=1, help="of searches, for each number")] = 20,
) -> None:
    """Print searches a second, and transactions in each Postgres, by the number of replicas."""
    with temporary_folder("replicas-") as folder, ExitStack() as stack:
        draw_library(folder / "library", pictures)
        primary = stack.enter_context(embedded_server(folder / "postgres"))
        with _served(folder, primary, []) as balancer:
            _wait_for_pictures(balancer, pictures)
        urls = []
        for number in range(REPLICAS):
            copy_server(primary, folder / f"replica-{number}")
            urls.append(stack.enter_context(embedded_server(folder / f"replica-{number}")))
        print("replicas  searches/s  transactions: primary, replicas")
        for count in range(REPLICAS + 1):
            with _served(folder, primary, urls[:count]) as balancer:
                _measure(balancer, [primary, *urls], count, clients, seconds)


@contextmanager
def _served(folder: Path, primary: str, replicas: Sequence[str]) -> Iterator[Balancer]:
    server = Server(folder, primary, "", "embedded", {"READ_DATABASE_URL": ",".join(replicas)})
    server.start()
    try:
        server.wait_until_ready()
        yield Balancer([server.port])
    finally:
        server.stop()


def _wait_for_pictures(balancer: Balancer, number: int) -> None:
    deadline = time.monotonic() + INDEX_SECONDS
    while balancer.get("/readyz")["images"] < number:
        if time.monotonic() > deadline:
            raise RequestFailed(f"Not indexed within {INDEX_SECONDS} s.")
        time.sleep(1)


def _measure(
    balancer: Balancer, databases: Sequence[str], count: int, clients: int, seconds: float
) -> None:
    load = Load(balancer)
    before = [_committed(one) for one in databases]
    with load.running(clients, is_uploading=False):
        threading.Event().wait(seconds)
    time.sleep(STATISTICS_SECONDS)
    done = [_committed(one) - earlier for one, earlier in zip(databases, before, strict=True)]
    rate = len(load.replies) / seconds
    print(f"{count:8}  {rate:10.0f}  {', '.join(f'{one:,}' for one in done)}", flush=True)
    if load.failures:
        raise RequestFailed(f"{len(load.failures)} searches failed: {load.failures[0]}")


def _committed(url: str) -> int:
    with psycopg.connect(url) as connection:
        (found,) = connection.execute(COMMITTED).fetchone() or (0,)
        return int(found)


if __name__ == "__main__":
    typer.run(main)
