"""Where the time goes: of a new text over HTTP, of new texts from many clients, and of indexing.

What the server itself measures (`GET /metrics`), and the processor time of its processes. The
figures that miss a goal are explained by these.
"""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.figures.indexing import index
from benchmarks.load import HOST, by_text, drive
from benchmarks.processes import runtime
from benchmarks.results import Figure, Line
from benchmarks.server import REQUEST_SECONDS, Server
from benchmarks.workshop import Workshop

WARM_UP = 30  # searches not counted
CLIENTS = 32
PREFIX = "image_search_"


@dataclass
class Spent:
    """What a load took: seconds of the clock, and of the processor by each kind of process."""

    clock: float = 0.0
    server: float = 0.0
    postgres: float = 0.0
    encoding: float = 0.0  # of the clock: texts, in batches
    batches: float = 0.0
    texts: float = 0.0
    database: float = 0.0  # of the clock: each statement, or several that were sent together
    statements: float = 0.0

    @property
    def busy(self) -> float:
        """The share of all cores that server and Postgres used."""
        return (self.server + self.postgres) / (self.clock * (psutil.cpu_count() or 1))


def measure(shop: Workshop) -> Figure:
    """One client with few and with many pictures, many clients, and a job."""
    lines: list[Line] = []
    with shop.searching_few() as server:
        lines += _searches(f"{shop.sizes.few:,} pictures", server, shop)
    with shop.searching() as server:
        lines += _searches(f"{shop.sizes.gallery:,} pictures", server, shop)
        lines += _crowd(server, shop)
    with shop.indexing() as server, _spent(server) as spent:
        pictures = index(server, shop).pictures
    unit = "ms of processor time a picture"
    lines += [
        Line.one("indexing, server", unit, 1e3 * spent.server / pictures),
        Line.one("indexing, Postgres", unit, 1e3 * spent.postgres / pictures),
        Line.one("indexing, all cores", "% busy", 100 * spent.busy),
    ]
    note = f"Means; “the rest” includes the time of the clients themselves; {runtime(shop)}."
    return Figure([], lines, [note])


def _searches(title: str, server: Server, shop: Workshop) -> list[Line]:
    """A new text, as one client waits for it, and its parts."""
    drive(server.port, map(by_text, shop.texts(WARM_UP)))
    with _spent(server) as spent:
        count = len(drive(server.port, map(by_text, shop.texts(shop.sizes.texts))).times)
    whole, encoding, database = (
        1e3 * each / count for each in (spent.clock, spent.encoding, spent.database)
    )
    return [
        Line.one(f"{title}, new text", "ms", whole),
        Line.one(f"{title}, of which encoding", "ms", encoding),
        Line.one(f"{title}, of which Postgres", "ms", database),
        Line.one(
            f"{title}, of which the rest: HTTP, threads, Python", "ms", whole - encoding - database
        ),
        Line.one(f"{title}, round trips to Postgres", "a search", spent.statements / count),
        *_processor(title, spent, count),
    ]


def _crowd(server: Server, shop: Workshop) -> list[Line]:
    """New texts from many clients."""
    title = f"{CLIENTS} clients"
    drive(server.port, shop.requests(), CLIENTS, shop.sizes.rate_seconds / 5)
    with _spent(server) as spent:
        load = drive(server.port, shop.requests(), CLIENTS, shop.sizes.rate_seconds)
    return [
        Line.one(f"{title}, new texts", "answers/s", load.rate),
        Line.one(f"{title}, texts in a batch", "texts", spent.texts / max(1.0, spent.batches)),
        Line.one(f"{title}, the encoder", "% of the time", 100 * spent.encoding / spent.clock),
        *_processor(title, spent, len(load.times)),
        Line.one(f"{title}, all cores", "% busy", 100 * spent.busy),
    ]


def _processor(title: str, spent: Spent, count: int) -> list[Line]:
    unit = "ms of processor time a search"
    return [
        Line.one(f"{title}, server", unit, 1e3 * spent.server / count),
        Line.one(f"{title}, Postgres", unit, 1e3 * spent.postgres / count),
    ]


@contextmanager
def _spent(server: Server) -> Iterator[Spent]:
    """What was spent until the block ends, filled in then."""
    spent = Spent()
    before = _now(server)
    yield spent
    after = _now(server)
    for name, value in vars(after).items():
        setattr(spent, name, value - getattr(before, name))


def _now(server: Server) -> Spent:
    told = _metrics(server.port)
    own = server.process.cpu_times()
    return Spent(
        time.perf_counter(),
        own.user + own.system,
        _postgres(server),
        told.get(("encode_seconds_sum", "text"), 0.0),
        told.get(("encode_seconds_count", "text"), 0.0),
        told.get(("batch_items_sum", "text"), 0.0),
        told.get(("database_seconds_sum", ""), 0.0),
        told.get(("database_seconds_count", ""), 0.0),
    )


def _metrics(port: int) -> dict[tuple[str, str], float]:
    """The server's own measurements, by name without prefix, and kind."""
    connection = http.client.HTTPConnection(HOST, port, timeout=REQUEST_SECONDS)
    try:
        connection.request("GET", "/metrics")
        told = connection.getresponse().read().decode()
    finally:
        connection.close()
    return {
        (sample.name.removeprefix(PREFIX), sample.labels.get("kind", "")): sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def _postgres(server: Server) -> float:
    """Processor seconds of the server's Postgres; those of ended connections are its own."""
    told = (server.data / "postgres" / "postmaster.pid").read_text()
    postmaster = psutil.Process(int(told.splitlines()[0]))
    times = postmaster.cpu_times()
    found = times.user + times.system + times.children_user + times.children_system
    for process in postmaster.children(recursive=True):
        try:
            own = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        found += own.user + own.system
    return float(found)
